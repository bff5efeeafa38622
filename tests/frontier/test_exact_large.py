"""Spaces too large to list: random and evolved architectures try to beat the computed frontier of every preset."""

import numpy as np
import pytest
from frontier_kit import PRESET_NAMES

from lts_nb.core.workload import Workload
from lts_nb.frontier.cost_table import AdditiveCost, random_cost
from lts_nb.frontier.exact import exact_frontier
from lts_nb.frontier.pareto import is_nondominated
from lts_nb.space.counts import count
from lts_nb.space.memory import peak_bytes
from lts_nb.space.space import SearchSpace

THREE = ("decoder_params", "latency_s", "peak_bytes")


def part_of(preset: str) -> SearchSpace:
    "A few depths and widths of a preset, and every fourth feed-forward width, the largest among them."
    space = SearchSpace.preset(preset)
    depths = [n for n in space.n_layer if n % 4 == 0][:2]
    widths = space.d_model[:: max(1, len(space.d_model) // 2)]
    return SearchSpace.preset(preset, n_layer=depths, d_model=widths, d_inner=space.d_inner[::-4])


def objectives_of(P, table: AdditiveCost) -> np.ndarray:
    "Parameters negated, cost, peak bytes: `(n, 3)`."
    return np.c_[-count(P).decoder, table.predict(P), peak_bytes(P, Workload())].astype(float)


def unbeaten(F: np.ndarray, front: np.ndarray) -> int:
    "How many points of `F` the frontier neither dominates nor equals."
    F = F[is_nondominated(F)]
    rest = F[is_nondominated(np.concatenate([front, F]))[len(front) :]]
    return len(set(map(tuple, rest)) - set(map(tuple, front)))


@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_random_architectures_do_not_beat_it(preset):
    space = part_of(preset)
    assert space.size() > 10**6
    table = random_cost(space, 1)
    F = objectives_of(space.sample(20_000, seed=0), table)
    for n in (2, 3):
        found = exact_frontier(space, table, THREE[:n])
        epsilon = found.problem.epsilon
        assert np.array_equal(objectives_of(found.population, table)[:, :n], found.F)
        assert unbeaten(F[:, :n] * (1, 1, 1 + epsilon)[:n], found.F) == 0


@pytest.mark.parametrize("n", [2, 3])
def test_evolved_architectures_do_not_beat_it(n):
    space, rng = part_of("gpt2"), np.random.default_rng(0)
    table = random_cost(space, 1)
    found = exact_frontier(space, table, THREE[:n])
    parents = found.population
    for _ in range(5):  # offspring of the frontier, its nearest neighbours, and then of the best of them
        mothers, fathers = (parents[rng.integers(len(parents), size=4000)] for _ in range(2))
        children = space.mutate(space.crossover(mothers, fathers, seed=rng), 0.03, seed=rng)
        F = objectives_of(children, table)[:, :n]
        assert unbeaten(F, found.F) == 0
        parents = children[is_nondominated(F)]


def test_two_latencies_within_a_per_cent():
    part = SearchSpace.preset("gpt2", n_layer=[2, 4], d_model=[256, 512], d_inner=range(512, 2049, 256))
    costs = {"prefill_s": random_cost(part, 1), "decode_s": random_cost(part, 2)}
    found = exact_frontier(part, costs, ("decoder_params", "prefill_s", "decode_s"), epsilon=0.01)
    P = part.sample(20_000, seed=0)
    F = np.c_[-count(P).decoder, costs["prefill_s"].predict(P), costs["decode_s"].predict(P)].astype(float)
    assert unbeaten(F * (1, 1.01, 1.01), found.F) == 0


def test_a_limit_leaves_the_part_of_the_frontier_that_keeps_it():
    space = part_of("gpt2")
    table = random_cost(space, 1)
    free = exact_frontier(space, table, THREE[:2])
    limit = float(np.median(free.F[:, 1]))
    limited = exact_frontier(space, table, THREE[:2], {"max_latency_s": limit})
    assert np.array_equal(limited.F, free.F[free.F[:, 1] <= limit])
