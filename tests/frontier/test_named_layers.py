"""Named layers against every selection, on random tables; and what is refused."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.frontier.named_layers import LayerOptions, merge_layers, spans
from lts_nb.frontier.vector_knapsack import TooManyVectors


def random_layers(seed: int, n_sums: int, ends: bool, floats: bool = False) -> list[LayerOptions]:
    "Up to five layers of up to four options; some may go, some may not."
    rng, found = np.random.default_rng(seed), []
    for _ in range(rng.integers(1, 6)):
        n = int(rng.integers(1, 5))
        sums, last = rng.integers(-3, 30, (2, n, n_sums)).astype(float)
        if floats:
            sums, last = rng.normal(size=(2, n, n_sums))
        gone = (np.arange(n) == 0) & (n > 1) & (rng.random() < 0.7)
        params = np.where(gone, 0, 3 * rng.integers(1, 6, n))
        found.append(LayerOptions(params, sums, gone, last if ends else None))
    return found


def every_selection(layers: list[LayerOptions]):
    "Options, parameters, depth and sums of every selection that leaves a layer."
    for options in itertools.product(*(range(len(layer.params)) for layer in layers)):
        left = [i for i, option in enumerate(options) if not layers[i].gone[option]]
        if left:
            at_end = [i == left[-1] for i in range(len(layers))]
            tables = [layer.at_the_end if end else layer.sums for layer, end in zip(layers, at_end)]
            sums = sum(table[option] for table, option in zip(tables, options))
            yield options, sum(int(layer.params[o]) for layer, o in zip(layers, options)), len(left), sums


def with_needs(layers: list[LayerOptions], seed: int) -> list[LayerOptions]:
    "Some options become needed, those most that cost most; some layers say nothing of it. What is gone is not needed."
    rng, found = np.random.default_rng(seed + 1000), []
    for layer in layers:
        dear = layer.sums[:, 0] > np.median(layer.sums[:, 0])
        needed = (dear | (rng.random(len(dear)) < 0.2)) & ~layer.gone
        found.append(layer if rng.random() < 0.2 else replace(layer, needed=needed))
    return found


def has_needed(layers: list[LayerOptions], options: tuple) -> bool:
    said = [layer.needed[option] for layer, option in zip(layers, options) if layer.needed is not None]
    return any(said) or all(layer.needed is None for layer in layers)


def unbeaten(vectors) -> list:
    "Vectors that no other beats, each once."
    kept = {tuple(v) for v in vectors}
    return sorted(v for v in kept if not any(w != v and all(a <= b for a, b in zip(w, v)) for w in kept))


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("by", [(), ("params",), ("params", "depth")])
def test_every_selection_that_no_other_beats(seed, by):
    layers = random_layers(seed, 1 + seed % 3, ends=seed % 2 == 1)
    expected = {}
    for _, params, depth, sums in every_selection(layers):
        expected.setdefault((params if "params" in by else 0, depth if "depth" in by else 0), []).append(sums)
    found, seen = merge_layers(layers, by), {}
    for params, depth, sums in zip(found.params.tolist(), found.depth.tolist(), found.sums):
        key = params if "params" in by else 0, depth if "depth" in by else 0
        seen.setdefault(key, []).append(tuple(sums))
    assert {key: sorted(vectors) for key, vectors in seen.items()} == {k: unbeaten(v) for k, v in expected.items()}


@pytest.mark.parametrize("seed", range(120))
@pytest.mark.parametrize("by", [(), ("params",), ("params", "depth")])
def test_some_layer_takes_what_is_needed(seed, by):
    "The unbeaten of those selections that do, though cheaper ones do not; and none of the others."
    layers = with_needs(random_layers(seed, 1 + seed % 3, ends=seed % 2 == 1), seed)
    expected = {}
    for options, params, depth, sums in every_selection(layers):
        if has_needed(layers, options):
            key = params if "params" in by else 0, depth if "depth" in by else 0
            expected.setdefault(key, []).append(sums)
    if not expected:
        with pytest.raises(InputError, match="^layers: no selection leaves a layer and takes an option that is needed"):
            merge_layers(layers, by)
        return
    found, seen = merge_layers(layers, by), {}
    assert all(has_needed(layers, options) for options in found.options.tolist())
    for params, depth, sums, options in zip(
        found.params.tolist(), found.depth.tolist(), found.sums, found.options.tolist()
    ):
        key = params if "params" in by else 0, depth if "depth" in by else 0
        seen.setdefault(key, []).append(tuple(sums))
        last = max(i for i, option in enumerate(options) if not layers[i].gone[option])
        tables = [layer.at_the_end if i == last else layer.sums for i, layer in enumerate(layers)]
        assert tuple(sums) == tuple(sum(table[option] for table, option in zip(tables, options)))
    assert {key: sorted(vectors) for key, vectors in seen.items()} == {k: unbeaten(v) for k, v in expected.items()}


def test_such_tables_are_not_all_easy():
    "In a good part of them the best selection of all lacks what is needed, or nothing has it."
    lacking = []
    for seed in range(120):
        layers = with_needs(random_layers(seed, 1, ends=seed % 2 == 1), seed)
        options, *_ = min(every_selection(layers), key=lambda found: found[-1][0])
        lacking.append(not has_needed(layers, options))
    assert 30 < sum(lacking) < 100


@pytest.mark.parametrize("seed", range(20))
def test_options_read_back_are_what_was_promised(seed):
    layers = random_layers(seed, 2, ends=seed % 2 == 0)
    found = merge_layers(layers, ("params",))
    known = {options: (params, depth, tuple(sums)) for options, params, depth, sums in every_selection(layers)}
    for row in zip(found.options.tolist(), found.params, found.depth, found.sums.tolist()):
        assert known[tuple(row[0])] == (row[1], row[2], tuple(row[3]))


@pytest.mark.parametrize("needs", [False, True])
@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_lost_beyond_epsilon_of_the_span(seed, needs):
    layers, epsilon = random_layers(seed, 2, ends=seed % 2 == 1, floats=True), [0.02, 0.1, 0.3][seed % 3]
    layers = [*(with_needs(layers, seed) if needs else layers), one_more(needs)]
    allowed = epsilon * spans(layers) + 1e-9
    found = merge_layers(layers, (), epsilon).sums
    for options, *_, sums in every_selection(layers):
        if has_needed(layers, options):
            assert (found <= sums + allowed).all(1).any()


def one_more(needs: bool) -> LayerOptions:
    "A layer that can always help: it has a needed option, which is dear."
    sums = np.array([[0.0, 0.0], [1.0, 2.0]])
    return LayerOptions(np.array([1, 2]), sums, np.zeros(2, bool), None, np.array([False, True]) if needs else None)


def test_what_cannot_be_is_one_line():
    with pytest.raises(InputError, match=r"sums of a layer: has shape \(1, 1\), must be \(2, 1\)"):
        LayerOptions(np.array([1, 2]), np.zeros((1, 1)), np.zeros(2, bool))
    with pytest.raises(InputError, match="needed of a layer: an option that leaves no layer cannot be needed"):
        LayerOptions(np.array([1, 2]), np.zeros((2, 1)), np.ones(2, bool), needed=np.ones(2, bool))
    with pytest.raises(InputError, match=r"needed of a layer: has shape \(1,\), must be \(2,\)"):
        LayerOptions(np.array([1, 2]), np.zeros((2, 1)), np.zeros(2, bool), needed=np.ones(1, bool))
    with pytest.raises(InputError, match="must be one or more, of finite sums and parameters from 0 on"):
        LayerOptions(np.array([1]), np.full((1, 1), np.nan), np.zeros(1, bool))
    rng = np.random.default_rng(0)
    layers = [LayerOptions(np.ones(9, int), rng.normal(size=(9, 3)), np.zeros(9, bool)) for _ in range(12)]
    with pytest.raises(TooManyVectors, match="epsilon=0: more than 1,000 unbeaten selections; allow a larger epsilon"):
        merge_layers(layers, max_vectors=1000)
