"Small spaces of every backbone: listed, counted, drawn and varied, they have the same members."

import numpy as np
import pytest

from lts_nb.space.families import preset_names
from lts_nb.space.population import Population
from lts_nb.space.space import SearchSpace

TINY = dict(n_layer=[1, 2], d_model=[8, 16], d_inner=[16, 32])
EMBEDDINGS = dict(vocab_size=[10, 50], d_embed=[0, 4, 8], cutoffs=[20], div_val=[1, 2])
SPACES = [
    SearchSpace("gpt2", **TINY | dict(n_layer=[1, 2, 4]), n_head=[2], share=[1, 2], **EMBEDDINGS),
    SearchSpace("llama", **TINY, n_head=[2, 4], n_kv_head=[1, 2], d_head=4, vocab_size=50, tie_embeddings=False),
    SearchSpace("opt", **TINY, n_head=[2], d_embed=[4]),
    SearchSpace("lfm2", **TINY, n_head=[2, 4], n_kv_head=[2], d_head=4, layer_kind=["attention", "conv"]),
    SearchSpace("transformer-xl", **TINY, n_head=[2, 4]),
]
by_backbone = pytest.mark.parametrize("space", SPACES, ids=lambda space: space.backbone)


@by_backbone
def test_listed(space):
    listed = space.enumerate()
    assert len(listed) == len({a.id for a in listed}) == space.size()
    assert space.contains(listed).all() and all(space.contains(a) for a in listed)
    assert len(space.enumerate(homogeneous=True)) == sum(a.homogeneous for a in listed)
    assert listed.homogeneous.tolist() == [a.homogeneous for a in listed]
    for other in SPACES:
        assert (other.contains(listed) == (other is space)).all()
    assert space.contains(space.baseline()).all()


@by_backbone
def test_drawn_and_varied(space):
    members = {tuple(row) for row in space.enumerate().matrix}
    A, B = space.sample(4000, seed=0), space.sample(4000, seed=1)
    for P in (A, B, space.mutate(A, seed=1), space.crossover(A, B, seed=1)):
        assert {tuple(row) for row in P.matrix} <= members
    assert np.array_equal(space.mutate(A, p=0, seed=0).matrix, A.matrix)
    assert np.array_equal(space.crossover(A, A, seed=0).matrix, A.matrix)


@pytest.mark.parametrize("name", preset_names())
def test_presets(name):
    space = SearchSpace.preset(name)
    P = space.sample(300, seed=0)
    assert space.contains(P).all() and space.contains(space.mutate(P)).all()
    assert list(Population.of(list(P), space.max_layer)) == list(P)


def test_widths_that_hardly_go_together():
    odd = SearchSpace("gpt2", n_layer=[1, 3], d_model=[6, 10, 16], d_inner=[12, 20, 33], n_head=[2, 3, 5])
    for seed in range(20):
        A, B = odd.sample(200, seed), odd.sample(200, seed + 1)
        assert odd.contains(odd.mutate(A, seed=seed)).all() and odd.contains(odd.crossover(A, B, seed=seed)).all()


def test_a_layer_beyond_the_depth_is_no_member():
    space = SPACES[-1]
    matrix = space.sample(1, seed=0).matrix.copy()
    matrix[0, 0] = 1
    matrix[0, 6] = 16  # a feed-forward width in layer 2 of a model of one layer
    assert not space.contains(Population(matrix, space.fixed))[0]


def test_depth_of_mutants():
    space = SearchSpace.preset("gpt2")
    A = space.sample(4000, seed=1)
    mutants = space.mutate(A, seed=3)
    assert abs(np.mean(mutants.d_model == A.d_model) - (0.7 + 0.3 / 15)) < 0.03
