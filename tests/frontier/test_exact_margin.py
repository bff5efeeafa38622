"""Margins against brute force."""

import numpy as np
import pytest
from frontier_kit import REQUESTS, columns, everything, keeps, law, random_costs, random_space

from lts_nb.core.metrics import latencies
from lts_nb.frontier.exact import exact_frontier

CASES = (
    ("decoder_params", "latency_s"),
    ("decoder_params", "prefill_s", "peak_bytes"),
    ("decoder_params", "prefill_s", "decode_s"),
    ("flops", "latency_s", "quality"),
)


def limits_of(values: dict, objectives: tuple) -> dict:
    "The second objective at most at its median, and not too few parameters."
    least = float(np.quantile(-values["decoder_params"], 0.1))
    return {f"max_{objectives[1]}": float(np.median(values[objectives[1]])), "min_decoder_params": least}


def margins_by_hand(found, P, F: np.ndarray) -> list:
    "Ratio of the nearest architecture of another depth or width that is as good in all else, for each member."
    timed, margins = np.isin(found.objectives, latencies()), []
    for member, goal in zip(found.population, found.F, strict=True):
        other = (P.n_layer != member.n_layer) | (P.d_model != member.d_model)
        as_good = F[other & (F[:, ~timed] <= goal[~timed]).all(1)]
        margins.append((as_good[:, timed] / goal[timed]).max(1).min(initial=np.inf))
    return margins


@pytest.mark.parametrize("seed", range(40))
def test_margins_equal_brute_force(seed):
    space, request = random_space(np.random.default_rng(seed), 3), REQUESTS[seed % 4]
    costs, objectives, P = random_costs(space, seed, 1000, seed % 2 == 1), CASES[seed // 4 % 4], space.enumerate()
    values = everything(P, costs, request)
    limits = limits_of(values, objectives) if seed % 2 else {}
    found = exact_frontier(space, costs, objectives, limits, request, law)
    if found.problem.bounds_peak:
        pytest.skip("rivals are given the benefit of the bound")
    from_below = {name: bound for name, bound in limits.items() if name[:3] == "min"}
    rivals = keeps(P, values, from_below)
    by_hand = margins_by_hand(found, P[rivals], columns(values, objectives)[rivals])
    np.testing.assert_allclose(found.margin(), by_hand, rtol=1e-12)
    assert (found.margin() >= 1).all()
    assert np.array_equal(found.margin(0), found.margin([0]))
