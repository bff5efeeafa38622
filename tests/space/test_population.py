"Every field of every backbone survives the way into a matrix and back."

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.space.architecture import Architecture
from lts_nb.space.population import Population, as_given


def make(backbone="gpt2", n_head=(8, 8), d_inner=(2048, 2048), **fields):
    return Architecture(backbone, 512, n_head, d_inner, **fields)


TOGETHER = [
    [make(d_embed=128, div_val=2, cutoffs=(100, 20000, 60000)), make(vocab_size=10000, cutoffs=(100, 20000))],
    [make(share=(0, 0)), make()],
    [
        make("llama", n_head=(8, 4), n_kv_head=(2, 4), d_head=32, tie_embeddings=False),
        make("llama", n_head=(8,), d_inner=(64,), d_head=32, tie_embeddings=False),
    ],
    [make("lfm2", layer_kind=("conv", "attention"), n_kv_head=(2, 2)), make("lfm2", n_kv_head=(8, 1))],
    [make("transformer-xl"), make("transformer-xl", d_embed=64)],
    [make("opt", d_embed=64)],
    [make(n_head=(3, 8), d_head=64), make(), make(n_head=(0, 8)), make(n_head=(12, 1), d_head=64)],
    [make("opt", n_head=(3, 1), d_head=7)],
]


@pytest.mark.parametrize("archs", TOGETHER)
def test_there_and_back(archs):
    P = Population.of(archs)
    assert list(P) == archs
    assert P.homogeneous.tolist() == [a.homogeneous for a in archs]
    assert list(Population.of(archs, max_layer=5)) == archs
    assert np.asarray(P).dtype == np.int32


@pytest.mark.parametrize(
    "archs, message",
    [
        ([], "at least one architecture"),
        ([make(cutoffs=(100,)), make()], "a population has only one list of them"),
        ([make(), make(max_len=64)], "max_len=[64, 192]"),
        ([make(), make("opt")], "backbone=['gpt2', 'opt']"),
        ([make(d_head=32), make(d_head=16)], "d_head=[16, 32]: a population has only one"),
        ([make(d_head=32), make()], "d_head=[32, None]: a population has only one"),
    ],
)
def test_what_does_not_go_together(archs, message):
    with pytest.raises(InputError) as error:
        Population.of(archs)
    assert message in str(error.value)


def test_columns_are_views():
    P = Population.of([make(), make()])
    assert np.shares_memory(P.d_inner, P.matrix)
    assert P.group_size.tolist() == [1, 1]
    with pytest.raises(AttributeError):
        _ = P.heads


def test_results_take_the_form_of_the_question():
    assert as_given(make(), np.array([3])) == 3 and isinstance(as_given(make(), 3), int)
    assert as_given(Population.of([make(), make()]), 3).tolist() == [3, 3]
