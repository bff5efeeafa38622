"""The scalar knapsack on random classes, cache keys and caps, against every combination of choices."""

import itertools

import numpy as np
import pytest

from lts_nb.frontier.knapsack import (
    Caps,
    allowed_choices,
    distinct_caps,
    knapsack,
    reachable_keys,
    retrace,
)
from lts_nb.frontier.layer_choices import ChoiceClass, pack_cache


class RandomStack:
    "Choices in classes, with steps, costs, what they add to the cache key, and a peak that ascends in a class."

    def __init__(self, seed: int, n_groups: int = 3):
        rng = np.random.default_rng(seed)
        self.n_groups, self.classes, self.peaks, first = n_groups, [], [], 0
        pairs = [(1, 0), (2, 0), (0, 1)][: rng.integers(1, 4)]
        self.added = pack_cache(*np.array(pairs).T)
        for _ in pairs:
            n = rng.integers(1, 4)
            index = np.arange(first, first + n)
            costs = rng.integers(1, 20, n).astype(float)
            self.classes.append(ChoiceClass(index, rng.permutation(6)[:n], costs))
            self.peaks.append(np.sort(rng.integers(1, 30, n)))
            first += n
        self.reachable = reachable_keys(self.added, n_groups)
        self.n_choices = first

    def peak(self, n_before: int, key: int, class_number: int) -> np.ndarray:
        "Of the choices of a class, after so many groups and this cache key; ascends with both."
        return self.peaks[class_number] + 3 * n_before + key % 2**32

    def all_peaks(self) -> list:
        "For each group, `(n_keys, n_choices)`."
        numbers = range(len(self.classes))
        return [
            np.array([np.concatenate([self.peak(n, int(key), c) for c in numbers]) for key in self.reachable.keys[n]])
            for n in range(self.n_groups)
        ]

    def combinations(self, n_groups: int):
        "Every stack: steps, cost, cache key, peak, choices."
        choices = [(c, i) for c, members in enumerate(self.classes) for i in range(len(members.index))]
        for stack in itertools.product(choices, repeat=n_groups):
            steps = cost = key = peak = 0
            for n, (c, i) in enumerate(stack):
                peak = max(peak, self.peak(n, key, c)[i])
                steps, cost = steps + self.classes[c].steps[i], cost + self.classes[c].costs[i]
                key += int(self.added[c])
            yield int(steps), cost, key, peak, [int(self.classes[c].index[i]) for c, i in stack]

    def solve(self) -> tuple:
        "Caps and stages; the last caps are for a stack of one group less."
        peaks = self.all_peaks()
        caps = distinct_caps(peaks, 0, 0, 0.0)
        allowed = allowed_choices(peaks, caps, self.classes)
        nothing = np.zeros_like(allowed[-1])
        both = [np.concatenate([a, a]) for a in allowed[:-1]] + [np.concatenate([allowed[-1], nothing])]
        depths = np.repeat([self.n_groups, self.n_groups - 1], len(caps))
        caps = Caps(depths, np.tile(caps, 2), both)
        return caps, knapsack(self.classes, caps, self.reachable)


def least_by_hand(stack: RandomStack, n_groups: int, cap: float, keys: np.ndarray, n_steps: int) -> np.ndarray:
    "Least cost by cache key and steps of stacks that stay below a cap, `(n_keys, n_steps)`."
    least = np.full((len(keys), n_steps), np.inf)
    for steps, cost, key, peak, _ in stack.combinations(n_groups):
        if peak <= cap:
            row = int(np.searchsorted(keys, key))
            least[row, steps] = min(least[row, steps], cost)
    return least


@pytest.mark.parametrize("seed", range(12))
def test_least_costs_equal_brute_force(seed):
    stack = RandomStack(seed)
    caps, stages = stack.solve()
    n_caps = len(caps.n_layer)
    for cap in {*range(0, n_caps, 7), n_caps // 2 - 1, n_caps - 1}:
        n_groups = int(caps.n_layer[cap])
        stage, keys = stages[n_groups], stack.reachable.keys[n_groups]
        by_hand = least_by_hand(stack, n_groups, caps.activation_peak[cap], keys, stage.least.shape[1])
        for number in range(len(keys)):
            row = stage.row_of[cap, number]
            found = stage.least[row] if row >= 0 else np.full(stage.least.shape[1], np.inf)
            assert np.array_equal(found, by_hand[number])


@pytest.mark.parametrize("seed", range(12))
def test_a_shallow_cap_has_no_rows_in_deeper_stages(seed):
    stack = RandomStack(seed)
    caps, stages = stack.solve()
    assert (stages[-1].row_of[caps.n_layer < stack.n_groups] == -1).all()


@pytest.mark.parametrize("seed", range(12))
def test_rows_are_different_and_shared(seed):
    stack = RandomStack(seed)
    _, stages = stack.solve()
    for stage in stages[1:]:
        assert set(np.unique(stage.row_of)) - {-1} == set(range(len(stage.least)))
    assert len(stages[1].least) < stages[1].row_of.size


@pytest.mark.parametrize("seed", range(12))
def test_retraced_stacks_have_the_costs_claimed(seed):
    stack = RandomStack(seed)
    caps, stages = stack.solve()
    cap = len(caps.n_layer) // 2 - 1  # the largest of full depth
    costs = np.concatenate([c.costs for c in stack.classes])
    adds = np.repeat(stack.added, [len(c.index) for c in stack.classes])
    for number, key in enumerate(stack.reachable.keys[-1]):
        row = stages[-1].row_of[cap, number]
        steps = np.flatnonzero(np.isfinite(stages[-1].least[row]))
        rows = np.full(len(steps), row)
        path = retrace([s.origins for s in stages], [stack.classes] * stack.n_groups, rows, steps)
        assert np.array_equal(costs[path].sum(1), stages[-1].least[row, steps])
        assert (adds[path].sum(1) == key).all()


def test_of_equal_offers_the_first_counts():
    alike = [ChoiceClass(np.array([i]), np.array([0]), np.array([3.0])) for i in (0, 1)]
    caps = Caps(np.array([2]), np.array([0]), [np.ones((1, 1, 2), int)] * 2)
    stages = knapsack(alike, caps, reachable_keys(np.zeros(2, np.int64), 2))
    path = retrace([s.origins for s in stages], [alike] * 2, np.array([0]), np.array([0]))
    assert path.tolist() == [[0, 0]]


def test_every_key_is_reached_from_where_it_says():
    added = pack_cache(np.array([1, 4, 0]), np.array([0, 0, 1]))
    reachable = reachable_keys(added, 4)
    for n, parents in enumerate(reachable.parents):
        before, after = reachable.keys[n], reachable.keys[n + 1]
        for key, row in zip(after, parents):
            for more, parent in zip(added, row):
                assert before[parent] + more == key if parent >= 0 else key - more not in before
    sums = {sum(c) for c in itertools.product(added.tolist(), repeat=4)}
    assert reachable.keys[4].tolist() == sorted(sums)


def test_merged_caps_lose_no_more_than_epsilon():
    rng = np.random.default_rng(0)
    peaks = [rng.integers(1000, 9000, (3, 40)) for _ in range(4)]
    every = distinct_caps(peaks, 0, 0, 0.0)
    for epsilon, weights in itertools.product((0.01, 0.1, 0.5), (0, 5000)):
        some = distinct_caps(peaks, 0, weights, epsilon)
        assert set(some) <= set(every) and some[-1] == every[-1] and len(some) < len(every)
        next_cap = some[np.searchsorted(some, every)]
        assert ((weights + next_cap) / (weights + every) <= 1 + epsilon + 1e-12).all()
