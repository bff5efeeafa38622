"""The exact frontier against brute force on a thousand random problems, and what wins ties."""

from collections import Counter

import numpy as np
import pytest
from frontier_kit import PAIRS_AND_TRIPLES, prove

from lts_nb.core.workload import Workload
from lts_nb.frontier.cost_table import AdditiveCost
from lts_nb.frontier.exact import exact_frontier
from lts_nb.space.space import SearchSpace

TIED = SearchSpace(
    "gpt2", n_layer=[1, 2, 3], d_model=[8], d_inner=[16, 24, 32, 56], n_head=[2, 4], vocab_size=[10], max_len=64
)


def test_every_pair_and_triple_of_objectives_equals_brute_force():
    n = len(PAIRS_AND_TRIPLES)
    found = (prove(seed, PAIRS_AND_TRIPLES[seed % n], most=1_500) for seed in range(6 * n))
    seen = Counter(branch for branches in found for branch in branches)
    assert len(seen) == 21 and min(seen.values()) >= 20, seen  # every branch of the solver was proved


@pytest.mark.slow
def test_larger_spaces_equal_brute_force():
    n = len(PAIRS_AND_TRIPLES)
    for seed in range(10_000, 12_000):
        prove(seed, PAIRS_AND_TRIPLES[seed % n], deepest=5, most=200_000)


def flat(slope: float) -> AdditiveCost:
    "Affine in the feed-forward width, so that every split of a sum costs the same."
    layer = slope * np.array(TIED.inners(8), float)[:, None] + [3.0, 3.0]
    return AdditiveCost(TIED, {(8, 10, 8, 1): 1.0}, {8: layer})


@pytest.mark.parametrize(
    "objectives",
    [
        ("decoder_params", "latency_s"),
        ("decoder_params", "latency_s", "peak_bytes"),
        ("decoder_params", "prefill_s", "decode_s"),
    ],
)
def test_alike_layers_win_ties(objectives):
    costs = {"latency_s": flat(0.1), "prefill_s": flat(0.1), "decode_s": flat(0.7)}
    P = exact_frontier(TIED, costs, objectives, workload=Workload(logits="all")).population
    could = np.array([sum(a.d_inner) / a.n_layer in TIED.d_inner for a in P])
    assert np.array_equal(could, [a.homogeneous for a in P])
    assert could.sum() > 5
