"""Named layers against every selection, on random tables; and what is refused."""

import itertools

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


@pytest.mark.parametrize("seed", range(20))
def test_options_read_back_are_what_was_promised(seed):
    layers = random_layers(seed, 2, ends=seed % 2 == 0)
    found = merge_layers(layers, ("params",))
    known = {options: (params, depth, tuple(sums)) for options, params, depth, sums in every_selection(layers)}
    for row in zip(found.options.tolist(), found.params, found.depth, found.sums.tolist()):
        assert known[tuple(row[0])] == (row[1], row[2], tuple(row[3]))


@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_lost_beyond_epsilon_of_the_span(seed):
    layers, epsilon = random_layers(seed, 2, ends=seed % 2 == 1, floats=True), [0.02, 0.1, 0.3][seed % 3]
    allowed = epsilon * spans(layers) + 1e-9
    found = merge_layers(layers, (), epsilon).sums
    for *_, sums in every_selection(layers):
        assert (found <= sums + allowed).all(1).any()


def test_what_cannot_be_is_one_line():
    with pytest.raises(InputError, match=r"sums of a layer: has shape \(1, 1\), must be \(2, 1\)"):
        LayerOptions(np.array([1, 2]), np.zeros((1, 1)), np.zeros(2, bool))
    with pytest.raises(InputError, match="must be one or more, of finite sums and parameters from 0 on"):
        LayerOptions(np.array([1]), np.full((1, 1), np.nan), np.zeros(1, bool))
    rng = np.random.default_rng(0)
    layers = [LayerOptions(np.ones(9, int), rng.normal(size=(9, 3)), np.zeros(9, bool)) for _ in range(12)]
    with pytest.raises(TooManyVectors, match="epsilon=0: more than 1,000 unbeaten selections; allow a larger epsilon"):
        merge_layers(layers, max_vectors=1000)
