"Every way in which an architecture can be wrong, and every way to say the same one."

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.space.architecture import Architecture, check_size, embedding_fields, head_fields, share_field
from lts_nb.space.families import get_family

BASE = dict(backbone="gpt2", d_model=512, n_head=(8, 8), d_inner=(2048, 2048))
LLAMA = BASE | dict(backbone="llama")
LFM2 = BASE | dict(backbone="lfm2")


@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(backbone="gpt5"), "backbone='gpt5': must be one of gpt2, transformer-xl"),
        (dict(backbone=None), "backbone=None: must be one of"),
        (dict(n_head=(8,)), "n_head has 1 layers and d_inner has 2"),
        (dict(n_head=(8, 7)), "n_head=7: must divide d_model=512"),
        (dict(n_head=(8, -1)), "n_head=-1: must be a whole number from 0"),
        (dict(d_inner=()), "d_inner=(): must be a list"),
        (dict(d_inner="2048"), "d_inner='2048': must be a list"),
        (dict(d_inner=(2048, -1)), "d_inner=-1: must be a whole number from 0 to 1,048,576"),
        (dict(qkv_bias=True), "qkv_bias=True: gpt2 does not read this field; leave it at False"),
        (
            BASE | dict(backbone="transformer-xl", d_head=32),
            "d_head=32: transformer-xl does not read this field; leave",
        ),
        (dict(d_head=0), "d_head=0: must be a whole number from 1"),
        (dict(d_head=32.0), "d_head=32.0: must be a whole number from 1"),
        (dict(tie_embeddings=False), "tie_embeddings=False: gpt2 does not read this field"),
        (dict(share=(0,)), "share has 1 layers and d_inner has 2"),
        (dict(share=(0, 0), d_inner=(64, 128)), "layers 0 and 1 share weights, so they must be alike"),
        (dict(div_val=4), "div_val=4: needs cutoffs"),
        (dict(d_embed=8, div_val=4, cutoffs=(200, 500)), "div_val=4: leaves nothing of d_embed=8"),
        (dict(cutoffs=(500, 200)), "must ascend"),
        (dict(cutoffs=200), "cutoffs=200: must be a list"),
        (LLAMA | dict(n_head=(4, 8)), "d_head=None: must be given where layers differ in n_head"),
        (LLAMA | dict(n_kv_head=(3, 3)), "n_kv_head=3: must divide n_head=8"),
        (LLAMA | dict(d_head=15), "d_head=15: must be even"),
        (LLAMA | dict(tie_embeddings=1), "tie_embeddings=1: must be True or False"),
        (LLAMA | dict(layer_kind=("conv", "attention")), "layer_kind=('conv', 'attention'): llama does not read"),
        (LFM2 | dict(n_head=(0, 0)), 'at least one layer must be "attention"'),
        (LFM2 | dict(n_head=(0, 4), layer_kind=("attention", "conv")), "must be at least 1 where layer_kind"),
        (LFM2 | dict(layer_kind=("attention", "mamba")), "layer_kind=('attention', 'mamba')"),
        (LFM2 | dict(layer_kind=["conv"]), "layer_kind=('conv',): must be"),
    ],
)
def test_what_is_refused(fields, message):
    with pytest.raises(InputError) as error:
        Architecture(**BASE | fields)
    assert message in str(error.value)


@pytest.mark.parametrize("value", [0, -64, 2**40, 512.0, "512", None, True, float("nan")])
def test_sizes_are_whole_numbers(value):
    with pytest.raises(InputError, match="d_model="):
        check_size("d_model", value)


@pytest.mark.parametrize(
    "first, second",
    [
        (dict(d_embed=512), {}),
        (dict(share=(0, 1)), {}),
        (dict(share=(7, 7)), dict(share=(0, 0))),
        (dict(cutoffs=(100, 60000)), dict(cutoffs=[100])),
        (dict(cutoffs=(60000,), div_val=2), {}),
        (dict(n_head=np.array([8, 8]), d_inner=[2048, np.int64(2048)]), {}),
        (LLAMA | dict(n_kv_head=(8, 8), d_head=64), LLAMA),
        (dict(d_head=64), {}),
        (dict(n_head=(8, 0), d_head=64), dict(n_head=(8, 0))),
        (dict(backbone="opt", d_head=64), dict(backbone="opt")),
        (LFM2 | dict(layer_kind=("conv", "attention"), n_kv_head=(2, 2)), LFM2 | dict(n_head=(0, 8), n_kv_head=(0, 2))),
    ],
)
def test_one_way_to_say_it(first, second):
    a, b = Architecture(**BASE | first), Architecture(**BASE | second)
    assert a == b and a.id == b.id and hash(a) == hash(b)


@pytest.mark.parametrize(
    "fields", [dict(share=(0, 0)), dict(d_embed=64), dict(n_head=(4, 8)), dict(max_len=64), dict(d_head=63), LLAMA]
)
def test_ids_tell_architectures_apart(fields):
    assert Architecture(**BASE | fields).id != Architecture(**BASE).id


def test_text_and_back():
    narrow = dict(n_head=(8, 3), d_head=64)
    llama, lfm2 = LLAMA | dict(n_kv_head=(2, 4), d_head=32), LFM2 | dict(layer_kind=["conv", "attention"])
    for fields in (BASE, BASE | narrow, BASE | narrow | dict(backbone="opt"), llama, lfm2):
        a = Architecture(**fields)
        assert Architecture.from_json(a.to_json()) == a
        assert eval(repr(a)) == a
        assert Architecture.from_json(a.to_json()).id == a.id


@pytest.mark.parametrize(
    "text, message",
    [
        ("[]", "must be 'lts_nb.architecture'"),
        ('{"format": "lts_nb.architecture", "version": 1, "backbone": "gpt2"}', "missing 3 required"),
        ('{"format": "lts_nb.architecture", "version": 2}', "version=2"),
    ],
)
def test_texts_that_are_no_architecture(text, message):
    with pytest.raises(InputError) as error:
        Architecture.from_json(text)
    assert message in str(error.value)


def test_parts():
    assert embedding_fields(64, 1000, 64, 1, ()) == dict(d_embed=None, div_val=1, cutoffs=())
    assert share_field((3, 1, 2), [1, 1, 1]) is None
    llama = get_family("llama")
    assert head_fields(llama, 64, 2, (4, 4))["d_head"] == 16
    assert head_fields(llama, 64, 2, (4, 8), (2, 2), 32)["n_kv_head"] == (2, 2)
