"""With `epsilon`, every architecture that keeps the limits with room to spare has a member within this factor."""

import numpy as np
import pytest
from frontier_kit import REQUESTS, columns, everything, keeps, random_costs, some_is_near, with_room

from lts_nb.frontier.cost_table import AdditiveCost
from lts_nb.frontier.exact import exact_frontier
from lts_nb.frontier.pareto import is_nondominated
from lts_nb.space.space import SearchSpace

COMPETING = (
    ("prefill_s", "decode_s"),
    ("decoder_params", "prefill_s", "decode_s"),
    ("prefill_s", "decode_s", "peak_bytes"),
    ("flops", "latency_s", "peak_bytes"),
)


def space_of(n_layer, d_model, d_inner) -> SearchSpace:
    "A small GPT-2 space."
    fields = {"n_head": [1, 2], "vocab_size": [7], "max_len": 64, "min_ratio": 0}
    return SearchSpace("gpt2", n_layer=n_layer, d_model=d_model, d_inner=d_inner, **fields)


def competing_costs(space: SearchSpace, seed: int) -> dict:
    "Latencies of which decoding is slow where prefill is fast."
    costs = random_costs(space, seed, high=1000, multiplies=seed % 5 > 2, ends=seed % 3 == 1)
    latency, prefill = costs["latency_s"], costs["prefill_s"]
    slow = {d: 1001 - table + latency.layer[d] % 99 for d, table in prefill.layer.items()}
    return costs | {"decode_s": AdditiveCost(space, latency.once, slow, factor=latency.factor)}


def check_near(found, P, values: dict, limits: dict, epsilon: float):
    "Every architecture with room to spare has a member near; members keep the limits and have the values claimed."
    F, spare = columns(values, found.objectives), keeps(P, values, with_room(limits, epsilon))
    for f in F[spare][is_nondominated(F[spare])]:
        assert some_is_near(f, found.F, epsilon)


@pytest.mark.parametrize("seed", range(40))
def test_vectors(seed):
    epsilon, request = [0.05, 0.2, 0.6][seed % 3], REQUESTS[seed % 4]
    space = space_of([2, 4], [4 + 4 * (seed % 3)], [8, 16, 24, 48])
    costs, objectives, P = competing_costs(space, seed), COMPETING[seed // 3 % 4], space.enumerate()
    values, limits = everything(P, costs, request), {}
    if seed % 2:
        limits["max_prefill_s"] = float(np.quantile(values["prefill_s"], 0.6))
        limits["min_peak_bytes"] = float(np.quantile(values["peak_bytes"], 0.2))
    if not keeps(P, values, with_room(limits, epsilon)).any():
        pytest.skip("the limits leave no room")
    found = exact_frontier(space, costs, objectives, limits, request, epsilon=epsilon)
    check_near(found, P, values, limits, epsilon)
    again = everything(found.population, costs, request)
    assert keeps(found.population, again, limits).all() and space.contains(found.population).all()
    assert np.array_equal(columns(again, objectives), found.F)
    assert found.certificate["approximation"] == epsilon


@pytest.mark.parametrize("seed", range(60))
def test_merged_peaks(seed):
    epsilon, request = [0.02, 0.1, 0.5][seed % 3], REQUESTS[seed % 4]
    space = space_of([2, 3], [4, 8], [8, 11, 16, 24, 40])
    costs, P = (
        {"latency_s": random_costs(space, seed, multiplies=seed % 4 > 1, ends=seed % 3 == 2)["latency_s"]},
        space.enumerate(),
    )
    values, objectives = everything(P, costs, request), ("decoder_params", "latency_s", "peak_bytes")
    limits = {"max_peak_bytes": float(np.quantile(values["peak_bytes"], 0.5))} if seed % 2 else {}
    found = exact_frontier(space, costs, objectives, limits, request, epsilon=epsilon)
    check_near(found, P, values, limits, epsilon)
    again = everything(found.population, costs, request)
    assert keeps(found.population, again, limits).all()
    assert np.array_equal(columns(again, objectives), found.F)
    assert found.certificate["approximation"] == epsilon


@pytest.mark.parametrize("seed", range(6))
def test_losses_of_many_layers_do_not_add_up(seed):
    deep = SearchSpace("gpt2", n_layer=[24], d_model=[8], d_inner=[16], n_head=[1, 2, 4, 8], vocab_size=[7], max_len=64)
    rng = np.random.default_rng(seed)
    prefill = rng.integers(1, 1000, (1, 4))
    decode = 1001 - prefill + rng.integers(0, 200, (1, 4))
    tables = {"prefill_s": prefill, "decode_s": decode}
    costs = {name: AdditiveCost(deep, {(8, 7, 8, 1): 0.0}, {8: layer}) for name, layer in tables.items()}
    exact = exact_frontier(deep, costs, ("prefill_s", "decode_s"), epsilon=0.0)
    for epsilon in (0.05, 0.3, 0.9):
        found = exact_frontier(deep, costs, ("prefill_s", "decode_s"), epsilon=epsilon)
        assert all(some_is_near(f, found.F, epsilon) for f in exact.F)
        assert len(found.F) <= len(exact.F)
    assert len(found.F) < len(exact.F)


@pytest.mark.parametrize(("held", "lost"), [(10**6, 0.0), (1000, 0.01)])
def test_by_default_a_per_cent_is_lost_where_vectors_are_too_many(held, lost, monkeypatch):
    monkeypatch.setattr("lts_nb.frontier.exact.QUICK", held)
    part = SearchSpace.preset("gpt2", n_layer=[8], d_model=[256], d_inner=range(512, 2049, 256))
    costs, objectives = competing_costs(part, 1), ("decoder_params", "prefill_s", "decode_s")
    found = exact_frontier(part, costs, objectives)
    assert found.certificate["approximation"] == found.problem.epsilon == lost
    F = columns(everything(part.sample(3_000, seed=0), costs, found.problem.workload), objectives)
    assert all(some_is_near(f, found.F, lost) for f in F[is_nondominated(F)])
    assert (found.margin([0, -1]) >= 1).all()


def test_nothing_is_lost_where_epsilon_has_no_use():
    space = space_of([2, 3], [4, 8], [8, 16])
    cost = random_costs(space, 0)["latency_s"]
    exact, rough = (exact_frontier(space, cost, ("decoder_params", "latency_s"), epsilon=e) for e in (0.0, 0.5))
    assert np.array_equal(exact.F, rough.F) and rough.certificate["approximation"] == 0
