"Shapes: what they become, and what they may not be."

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.models.shape import Kept, Shape, layer_groups
from lts_nb.models.small_models import draw_architectures
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count

LLAMA = Architecture("llama", 32, (8, 6, 4), (40, 50, 60), 97, 24, n_kv_head=(2, 3, 4), d_head=8)


def test_by_hand():
    shape = Shape((Kept([1], range(5)), None, Kept(np.array([3, 0]), np.arange(60)[::2])))
    a = shape.architecture(LLAMA)
    assert (a.n_head, a.n_kv_head, a.d_inner, a.d_head) == ((4, 2), (1, 2), (5, 30), 8)
    assert [i for i, _ in shape.stays] == [0, 2]
    full, attention, feed_forward = count(LLAMA), 2 * 32 * 8, 3 * 32
    assert full.attention - count(a).attention == attention * (5 + 9 + 4)  # heads and key/value heads that are gone
    assert full.ffn - count(a).ffn == feed_forward * (35 + 50 + 30)
    assert full.norm - count(a).norm == 2 * 32


def test_hybrid_by_hand():
    kinds = ("conv", "attention", "conv")
    a = Architecture("lfm2", 32, (0, 4, 0), (40,) * 3, 97, 24, n_kv_head=(0, 2, 0), d_head=8, layer_kind=kinds)
    assert layer_groups(a) == (1, 2, 1)
    narrow = Shape((None, Kept([0], range(40)), Kept([0], range(4)))).architecture(a)
    assert narrow == Architecture("lfm2", 32, (2, 0), (40, 4), 97, 24, n_kv_head=(1, 0), d_head=8, layer_kind=kinds[1:])


@pytest.mark.parametrize("backbone", ["gpt2", "opt", "llama", "lfm2", "transformer-xl"])
def test_all_that_there_is(backbone):
    for a in draw_architectures(backbone, 20):
        if not a.share:
            whole = Shape.whole(a)
            assert whole.architecture(a) == a and Shape.from_json(whole.to_json()) == whole


def test_equal_shapes_are_equal():
    "However they were given; a layer of which nothing stays is gone."
    one, other = Shape((Kept([2, 0], [5]), Kept())), Shape([Kept((0, 2), np.array([5])), None])
    assert one == other and hash(one) == hash(other) and one.to_json() == other.to_json()
    assert Shape.from_json(one.to_json()) == one


@pytest.mark.parametrize("bad", [[-1], [0.5], [1, 1], ["0"], [True], [None]])
def test_numbers_that_are_none(bad):
    for name in ("groups", "neurons"):
        with pytest.raises(InputError, match=name):
            Kept(**{name: bad})


BAD = ("3", "[3]", "[[1]]", '[{"heads": [1]}]', '[{"groups": 1}]', '[{"groups": ["a"]}]')


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": "lts_nb.shape", "version": 2, "layers": []}']
    + [
        f'{{"format": "lts_nb.shape", "version": 1, "layers": {it}}}'
        for it in ("3", "[3]", "[[1]]", '[{"heads": [1]}]')
    ],
)
def test_texts_that_are_none(text):
    with pytest.raises(InputError) as caught:
        Shape.from_json(text)
    assert "\n" not in str(caught.value)
