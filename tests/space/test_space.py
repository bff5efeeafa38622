"Every way in which a space can be wrong."

import pytest

from lts_nb.core.errors import InputError
from lts_nb.space.architecture import Architecture
from lts_nb.space.families import FAMILIES, preset_names
from lts_nb.space.presets import get_space
from lts_nb.space.space import SearchSpace, choices


@pytest.mark.parametrize(
    "preset, override, message",
    [
        ("gpt3", {}, "space='gpt3': must be one of gpt2, transformer-xl"),
        ("gpt2", dict(layers=[2]), "unknown field 'layers'"),
        ("gpt2", dict(d_model=[100], n_head=[8]), "d_model=100: no n_head of [8] divides it"),
        ("gpt2", dict(d_model=[4096]), "no d_inner is at least min_ratio=2 times as large; the largest is 4096"),
        ("gpt2", dict(n_layer=[0]), "n_layer=0"),
        ("gpt2", dict(d_model={"low": 1}), "d_model={'low': 1}"),
        ("gpt2", dict(min_ratio=float("nan")), "min_ratio=nan: must be a number from 0 to 1,000,000"),
        ("gpt2", dict(min_ratio=True), "min_ratio=True"),
        ("transformer-xl", dict(d_head=64), "d_head=64: transformer-xl does not read this field"),
        ("gpt2", dict(div_val=[1, 4]), "div_val=[1, 4]: needs cutoffs"),
        ("gpt2", dict(d_embed=[2048]), "d_embed=[2048]: none of them fits d_model=128"),
        ("gpt2", dict(share=[2]), "share=[2]: none of them divides n_layer=3"),
        ("gpt2", dict(cutoffs=5), "cutoffs=5: must be a list"),
        ("llama", dict(d_head=None), "d_head=None: must be a whole number for llama"),
        ("llama", dict(d_head=15), "d_head=15: must be even"),
        ("llama", dict(n_kv_head=[3]), "n_kv_head=[3]: none of them divides any n_head of [4, 8, 16]"),
        ("llama", dict(tie_embeddings="no"), "tie_embeddings='no': must be True or False"),
        ("lfm2", dict(layer_kind=["conv"]), "layer_kind=('conv',): must be"),
        ("lfm2", dict(layer_kind=3), 'layer_kind=3: must be "attention"'),
        ("lfm2", dict(layer_kind=["attention", "mamba"]), "layer_kind=('attention', 'mamba')"),
        ("opt", dict(share=[1, 2]), "share=(1, 2): opt does not read this field; leave it at (1,)"),
    ],
)
def test_what_is_refused(preset, override, message):
    with pytest.raises(InputError) as error:
        SearchSpace.preset(preset, **override)
    assert message in str(error.value)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_has_a_text(name):
    space = SearchSpace.preset(name)
    assert SearchSpace.from_json(space.to_json()) == space == get_space(name)
    assert space.backbone in FAMILIES and repr(space).startswith(f"SearchSpace {space.backbone}: n_layer ")


def test_names_of_presets():
    variants = ["gpt2-edges", "llama-edges", "gpt2-study", "llama-study"]
    assert preset_names() == ["gpt2", "transformer-xl", "opt", "llama", "lfm2", *variants]


def test_texts_that_are_no_space(tmp_path):
    text = SearchSpace.preset("gpt2").to_json()
    with pytest.raises(InputError, match="space: not JSON, or cut short"):
        SearchSpace.from_json(text[:-9])
    with pytest.raises(InputError, match="format='lts_nb.architecture': must be 'lts_nb.space'"):
        SearchSpace.from_json(Architecture("gpt2", 8, (2,), (16,)).to_json())
    (tmp_path / "space.json").write_text(text, encoding="utf-8")
    assert get_space(str(tmp_path / "space.json")) == SearchSpace.preset("gpt2")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        get_space(str(tmp_path / "bytes.json"))


def test_smaller_rules_make_larger_spaces():
    assert SearchSpace.preset("gpt2", min_ratio=0).size() > SearchSpace.preset("gpt2").size()
    assert choices("vocab_size", 100) == (100,) and choices("n_head", range(3, 0, -1)) == (1, 2, 3)


def test_fixed_fields_of_a_space():
    space = SearchSpace.preset("llama-edges")
    assert (space.group_size, space.max_layer, space.fixed.d_head) == ((1, 2, 4), 16, 64)
