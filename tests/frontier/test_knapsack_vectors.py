"""The knapsack of vectors on random choices, against every combination of them, and the packing of states."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from frontier_kit import PRESET_NAMES

from lts_nb.core.errors import InputError
from lts_nb.core.workload import Workload
from lts_nb.frontier.cost_table import random_cost
from lts_nb.frontier.exact import exact_frontier
from lts_nb.frontier.layer_choices import (
    BLOCK_BITS,
    CACHE_KEY_BITS,
    CONVOLUTION_BITS,
    STEP_BITS,
    check_cache_keys,
    check_field,
    check_steps,
    group_choices,
    pack_cache,
    pack_state,
    unpack_cache,
    unpack_state,
)
from lts_nb.frontier.problem import Problem
from lts_nb.frontier.vector_knapsack import (
    TooManyVectors,
    VectorChoices,
    comparison,
    retrace_vectors,
    vector_knapsack,
)
from lts_nb.space.architecture import LIMITS
from lts_nb.space.space import SearchSpace


class RandomVectors:
    "Choices with two sums, steps and cache keys, and a peak that depends on what is cached."

    def __init__(self, seed: int, n_choices: int = 5):
        rng = np.random.default_rng(seed)
        self.costs = rng.integers(1, 20, (n_choices, 2)).astype(float)
        self.steps = rng.integers(0, 3, n_choices)
        self.keys = pack_cache(rng.integers(0, 2, n_choices), rng.integers(0, 2, n_choices))
        self.peaks = rng.integers(1, 30, n_choices)
        self.choices = VectorChoices(self.costs, pack_state(self.steps, self.keys))

    def peak(self, n_before, states, chosen):
        "Ascends with what the groups before have cached."
        blocks, convolutions = unpack_cache(unpack_state(states)[1])
        return self.peaks[chosen] + 5 * blocks + convolutions + n_before

    def by_hand(self, n_groups: int, floor: int) -> dict:
        "State -> vectors of every stack."
        found = {}
        for stack in itertools.product(range(len(self.costs)), repeat=n_groups):
            state, peak = 0, floor
            for n, i in enumerate(stack):
                peak = max(peak, int(self.peak(n, np.array([state]), np.array([i]))[0]))
                state += int(self.choices.states[i])
            found.setdefault(state, set()).add((*self.costs[list(stack)].sum(0).tolist(), peak))
        return found


def beats(a: tuple, b: tuple, directions: list) -> bool:
    "Is `a` nowhere worse and somewhere better?"
    pairs = [(sign * a[i], sign * b[i]) for i, sign in directions]
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


DIRECTIONS = [
    [(0, 1), (1, 1)],
    [(0, 1), (1, 1), (2, 1)],
    [(0, 1), (0, -1)],
    [(0, 1), (1, 1), (2, 1), (2, -1)],
    [(0, -1), (1, 1)],
]


@pytest.mark.parametrize("directions", DIRECTIONS)
@pytest.mark.parametrize("seed", range(6))
def test_unbeaten_vectors_equal_brute_force(seed, directions):
    random = RandomVectors(seed)
    compare = comparison(directions, np.array([80.0, 80, 60]))
    stage = vector_knapsack(random.choices, random.peak, 4, 12, compare, 10**6)[-1]
    by_hand = random.by_hand(4, 12)
    assert set(stage.states.tolist()) == set(by_hand)
    columns = sorted({i for i, _ in directions})
    for state, vectors in by_hand.items():
        best = {tuple(v[i] for i in columns) for v in vectors if not any(beats(w, v, directions) for w in vectors)}
        found = stage.vectors[stage.states == state][:, columns]
        assert set(map(tuple, found)) == best and len(found) == len(best)


@pytest.mark.parametrize("seed", range(6))
def test_retraced_vectors_have_the_sums_claimed(seed):
    random = RandomVectors(seed)
    compare = comparison([(0, 1), (1, 1), (2, 1)], np.array([80.0, 80, 60]))
    stages = vector_knapsack(random.choices, random.peak, 4, 0, compare, 10**6)
    path = retrace_vectors([s.origins for s in stages], np.arange(len(stages[-1].states)))
    assert np.array_equal(random.costs[path].sum(1), stages[-1].vectors[:, :2])
    assert np.array_equal(random.choices.states[path].sum(1), stages[-1].states)
    assert (np.diff(stages[-1].states) >= 0).all()


@pytest.mark.parametrize("seed", range(6))
def test_a_grain_loses_no_more_than_it_says(seed):
    random = RandomVectors(seed, 8)
    scale = np.array([120.0, 120, 60])
    grain = 1.3 ** (1 / 5) - 1
    exact, rough = (
        vector_knapsack(random.choices, random.peak, 5, 1, comparison([(0, 1), (1, 1), (2, 1)], scale, g), 10**6)[-1]
        for g in (0.0, grain)
    )
    for state, vector in zip(exact.states, exact.vectors):
        near = rough.vectors[rough.states == state] <= 1.3 * vector * (1 + 1e-12)
        assert near.all(1).any()


def test_the_limit_counts_all_vectors():
    random = RandomVectors(0)
    compare = comparison([(0, 1), (1, 1), (2, 1)], np.array([80.0, 80, 60]))
    stages = vector_knapsack(random.choices, random.peak, 3, 0, compare, 10**6)
    total = sum(len(s.states) for s in stages)
    assert len(vector_knapsack(random.choices, random.peak, 3, 0, compare, total)) == 4
    with pytest.raises(TooManyVectors):
        vector_knapsack(random.choices, random.peak, 3, 0, compare, total - 1)


def test_sums_in_another_order_are_equal():
    compare = comparison([(0, 1), (1, 1)], np.array([1.0, 2]))
    small, large = sorted((0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1))
    assert small < large
    assert compare.best(np.array([[small, 2], [large, 1]])).tolist() == [1]  # the first component is a tie
    assert compare.best(np.array([[small * (1 - 1e-9), 2], [large, 1]])).tolist() == [0, 1]


def test_a_negative_term_of_the_state_allows_no_epsilon():
    space = SearchSpace("gpt2", n_layer=[1], d_model=[8], d_inner=[16, 24], n_head=[2], vocab_size=[10], max_len=64)
    costs = {name: random_cost(space, i) for i, name in enumerate(("prefill_s", "decode_s"))}
    below = {name: replace(cost, state=lambda *state: -99.0 + 0 * state[2]) for name, cost in costs.items()}
    exact_frontier(space, below, ("prefill_s", "decode_s"))
    with pytest.raises(InputError, match="epsilon=0.1: must be 0 where a state takes prefill_s below the sum"):
        exact_frontier(space, below, ("prefill_s", "decode_s"), epsilon=0.1)


def test_widths_fill_a_signed_integer_of_64_bits():
    assert BLOCK_BITS + CONVOLUTION_BITS == CACHE_KEY_BITS and CACHE_KEY_BITS + STEP_BITS == 63
    most = pack_state(2**STEP_BITS - 1, pack_cache(2**BLOCK_BITS - 1, 2**CONVOLUTION_BITS - 1))
    assert int(most) == 2**63 - 1
    steps, key = unpack_state(most)
    assert (steps, *unpack_cache(key)) == (2**STEP_BITS - 1, 2**BLOCK_BITS - 1, 2**CONVOLUTION_BITS - 1)


def test_fields_add_up_without_running_into_each_other():
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 2**bits // 16, 16) for bits in (STEP_BITS, BLOCK_BITS, CONVOLUTION_BITS)]
    steps, key = unpack_state(pack_state(parts[0], pack_cache(*parts[1:])).sum())
    assert [steps, *unpack_cache(key)] == [p.sum() for p in parts]


def test_what_an_architecture_may_be_fits_into_a_cache_key():
    check_field("attention blocks", LIMITS["n_layer"] * LIMITS["n_kv_head"], BLOCK_BITS, "LIMITS")
    check_field("convolutions", LIMITS["n_layer"], CONVOLUTION_BITS, "LIMITS")
    for preset in PRESET_NAMES:
        check_cache_keys(SearchSpace.preset(preset))


@pytest.mark.parametrize("bits", [BLOCK_BITS, CONVOLUTION_BITS, STEP_BITS])
def test_a_field_is_full_at_its_bound(bits):
    check_field("of them", 2**bits - 1, bits, "x=1")
    with pytest.raises(
        InputError, match=f"x=1: comes to {2**bits:,} of them, and the solver counts up to {2**bits - 1:,}"
    ):
        check_field("of them", 2**bits, bits, "x=1")


def wide_space(largest: int) -> SearchSpace:
    "Steps of one feed-forward unit, and a width that is far away."
    return SearchSpace(
        "gpt2", n_layer=[1, 2], d_model=[8], d_inner=[16, 17, largest], n_head=[2], vocab_size=[10], max_len=64
    )


def test_a_space_with_too_many_steps_is_refused():
    space = wide_space(2**19 + 16)  # two layers have 2^20 steps, one more than fits
    costs = {name: random_cost(space, i) for i, name in enumerate(("prefill_s", "decode_s"))}
    with pytest.raises(
        InputError, match=r"d_inner from 16 to 524304 in 2 layer groups: comes to 1,048,576 steps of 17"
    ):
        exact_frontier(space, costs, ("decoder_params", "prefill_s", "decode_s"))


def test_a_space_with_the_most_steps_is_solved():
    space = wide_space(2**19 + 15)
    costs = {name: random_cost(space, i) for i, name in enumerate(("prefill_s", "decode_s"))}
    problem = Problem(space, costs, ("decoder_params", "prefill_s", "decode_s"), {}, Workload())
    check_steps(group_choices(problem, 8, 1), 2)
    found = exact_frontier(space, costs, problem.objectives)
    assert 2**19 + 15 in found.population.d_inner
