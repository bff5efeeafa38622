"Published configurations: counted as transformers' own models are, or refused in one line."

import json
from dataclasses import replace

import huggingface_hub
import pytest
import torch
from published_configs import (
    GPT2,
    LFM2,
    LFM2_KINDS,
    LLAMA_2,
    LLAMA_32,
    MISTRAL,
    OPT,
    OPT_350M,
    PUBLISHED,
    QWEN,
    SMOLLM2,
)
from transformers import AutoConfig, AutoModelForCausalLM

from lts_nb.core.errors import InputError
from lts_nb.models.build import config_of
from lts_nb.models.small_models import draw_architectures
from lts_nb.space.architecture import Architecture
from lts_nb.space.config_files import END_OF_TEXT, not_carried_over
from lts_nb.space.counts import count
from lts_nb.space.families import FAMILIES
from lts_nb.space.population import Population
from lts_nb.space.presets import get_space
from lts_nb.space.space import SearchSpace

of_all = pytest.mark.parametrize("total, config", PUBLISHED.values(), ids=PUBLISHED)


def transformers_config(config: dict):
    "The configuration that transformers makes; without what it would need a GPU for."
    return AutoConfig.for_model(**{name: value for name, value in config.items() if name != "quantization_config"})


@of_all
def test_counts_to_the_unit(total, config):
    "As the stock model has, built on the meta device; parameters() gives tied ones once."
    with torch.device("meta"):
        stock = AutoModelForCausalLM.from_config(transformers_config(config))
    assert count(Architecture.from_config(config)).total == total == sum(p.numel() for p in stock.parameters())


@of_all
def test_however_it_is_given(total, config, tmp_path):
    expected, known = Architecture.from_config(config), transformers_config(config)
    assert Architecture.from_config(known) == expected
    known.save_pretrained(tmp_path)
    for given in (tmp_path, str(tmp_path), tmp_path / "config.json", json.dumps(config, indent=2)):
        assert Architecture.from_config(given) == expected
    (tmp_path / "config.json").unlink()
    (tmp_path / "architecture.json").write_text(expected.to_json(), encoding="utf-8")
    for given in (tmp_path, tmp_path / "architecture.json", expected.to_json(), expected):
        assert Architecture.from_config(given) == expected


def test_fields_of_models_that_differ_by_a_little():
    opt, qwen, lfm2 = (Architecture.from_config(config) for config in (OPT_350M, QWEN, LFM2))
    assert (opt.pre_norm, opt.d_embed, qwen.qkv_bias, qwen.d_head) == (False, 512, True, 64)
    assert count(opt).total == count(replace(opt, pre_norm=True)).total - 2048
    assert count(qwen).total == count(replace(qwen, qkv_bias=False)).total + 27_648
    assert lfm2.n_head == tuple(16 * (kind == "full_attention") for kind in LFM2_KINDS)
    assert set(lfm2.d_inner) == {4608} and lfm2.max_len == 128_000
    ids = [a.id for a in (opt, qwen, replace(opt, pre_norm=True), replace(qwen, qkv_bias=False))]
    assert len(set(ids)) == 4


@pytest.mark.parametrize("config", [OPT_350M, QWEN, GPT2], ids=["opt-350m", "qwen2.5", "gpt2"])
def test_new_fields_travel(config):
    a = Architecture.from_config(config)
    P = Population.of([a, a])
    assert P[1] == a and count(P).total[0] == count(a).total
    space = SearchSpace.around(config)
    assert SearchSpace.from_json(space.to_json()) == space and Architecture.from_json(a.to_json()) == a
    assert all((b.qkv_bias, b.pre_norm) == (a.qkv_bias, a.pre_norm) for b in space.sample(3, seed=0))
    if a.qkv_bias or not a.pre_norm:
        with pytest.raises(InputError, match="a population has only one"):
            Population.of([a, replace(a, qkv_bias=False, pre_norm=True)])


def test_files_from_before_read_the_same():
    "What is not set is not written, so a run that was begun before goes on; an id, taken then, is the same."
    a, space = Architecture("llama", 64, (2,), (96,), d_head=32), SearchSpace.preset("llama-study")
    assert a.id == "1f06d610abd76478"
    for value in (a, space):
        assert not {"qkv_bias", "pre_norm"} & json.loads(value.to_json()).keys()
    assert json.loads(Architecture.from_config(QWEN).to_json())["qkv_bias"] is True
    assert json.loads(SearchSpace.around(OPT_350M).to_json())["pre_norm"] is False


def test_older_names_win_as_in_transformers():
    both = LFM2 | dict(intermediate_size=1536, tie_embedding=False, tie_word_embeddings=True)
    a = Architecture.from_config(both)
    assert a == Architecture.from_config(transformers_config(both))
    assert (a.d_inner[0], a.tie_embeddings) == (4608, False)


def test_a_window_ends_the_positions():
    assert Architecture.from_config(MISTRAL).max_len == 4096
    assert Architecture.from_config(MISTRAL | dict(sliding_window=None)).max_len == 32768
    no_layer = QWEN | dict(use_sliding_window=True, sliding_window=1024)  # from layer 24 on, of 24
    assert Architecture.from_config(no_layer).max_len == 32768
    assert Architecture.from_config(QWEN | dict(use_sliding_window=True, max_window_layers=20)).max_len == 32768
    bites = QWEN | dict(use_sliding_window=True, max_window_layers=20, sliding_window=1024)
    assert Architecture.from_config(bites).max_len == 1024
    assert Architecture.from_config(transformers_config(bites)).max_len == 1024
    assert "max_len=1024 of 32768 positions" in not_carried_over(bites)


REFUSED = {  # configuration -> what the one line says
    "mlp_bias=True: must be False": LLAMA_2 | dict(mlp_bias=True),
    "attention_bias=True: must be False": LLAMA_2 | dict(attention_bias=True),
    "hidden_act='gelu': must be 'silu'": LLAMA_2 | dict(hidden_act="gelu"),
    "num_attention_heads=7: must divide hidden_size=4096": LLAMA_2 | dict(num_attention_heads=7),
    "n_kv_head=3: must divide n_head=32": LLAMA_2 | dict(num_key_value_heads=3),
    "hidden_size='4096': must be a whole number": LLAMA_2 | dict(hidden_size="4096"),
    "hidden_size=None: must be a whole number": LLAMA_2 | dict(hidden_size=None),
    "num_hidden_layers=0: must be a whole number from 1 to 1,024": LLAMA_2 | dict(num_hidden_layers=0),
    "num_hidden_layers=16777216: must be a": LLAMA_2 | dict(num_hidden_layers=2**24),
    "tie_word_embeddings='no': must be true or false": LLAMA_2 | dict(tie_word_embeddings="no"),
    "d_head=65: must be even": LLAMA_2 | dict(head_dim=65),
    "sliding_window=0: must be a whole number": MISTRAL | dict(sliding_window=0),
    "use_sliding_window=1: must be true or false": QWEN | dict(use_sliding_window=1),
    "layer_types=5: must be a list": QWEN | dict(use_sliding_window=True, layer_types=5),
    "intermediate_size=0: must be a whole number": LFM2 | dict(block_ffn_dim_multiplier=1e-9),
    "activation_function='gelu': must be 'gelu_new'": GPT2 | dict(activation_function="gelu"),
    "add_cross_attention=True: must be False": GPT2 | dict(add_cross_attention=True),
    "tie_word_embeddings=False: must be True": GPT2 | dict(tie_word_embeddings=False),
    "n_head=11: must divide d_model=768": GPT2 | dict(n_head=11),
    "activation_function='gelu': must be 'relu'": OPT | dict(activation_function="gelu"),
    "enable_bias=False: must be True": OPT | dict(enable_bias=False),
    "layer_norm_elementwise_affine=False: must be True": OPT | dict(layer_norm_elementwise_affine=False),
    "_remove_final_layer_norm=True: must be False": OPT | dict(_remove_final_layer_norm=True),
    "do_layer_norm_before=0: must be true or false": OPT | dict(do_layer_norm_before=0),
    "conv_bias=True: must be False": LFM2 | dict(conv_bias=True),
    "conv_L_cache=4: must be 3": LFM2 | dict(conv_L_cache=4),
    "layer_types=['conv', 'window']: must be": LFM2 | dict(layer_types=["conv", "window"], num_hidden_layers=2),
    "layer_types=['conv']: must be": LFM2 | dict(layer_types=["conv"]),
    "layer_kind=('conv', 'conv'": LFM2 | dict(full_attn_idxs=[]),
    "full_attn_idxs=3: must be a list": LFM2 | dict(full_attn_idxs=3),
    "block_ffn_dim_multiplier='1': must be a number": LFM2 | dict(block_ffn_dim_multiplier="1"),
    "per_layer_config={'3'": LLAMA_2 | dict(per_layer_config={"3": {"intermediate_size": 64}}),
    "is_encoder_decoder=True: must be left out": GPT2 | dict(is_encoder_decoder=True),
    "model_type='gpt_neox': is not known here": dict(model_type="gpt_neox", hidden_size=512),
    "model_type='gemma': is not known here": dict(model_type="gemma"),
    "model_type='phi3': is not known here": dict(model_type="phi3"),
    "model_type='qwen3': is not known here": dict(model_type="qwen3"),
    "model_type='mixtral': is not known here": dict(model_type="mixtral", num_local_experts=8),
    "model_type='bert': is not known here": dict(model_type="bert"),
    "model_type='deci': is not known here": dict(model_type="deci", block_configs=[]),
    "model_type='llava': is not known here; only its text_config might be": dict(
        model_type="llava", text_config=LLAMA_2
    ),
    "model_type=None: is not known here": dict(hidden_size=64),
    "model_type=['gpt2']: is not known here": dict(model_type=["gpt2"]),
}


@pytest.mark.parametrize("said, config", REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_said_is_one_line(said, config):
    with pytest.raises(InputError) as error:
        Architecture.from_config(config)
    assert str(error.value).startswith(said) and "\n" not in str(error.value)


FILES = {  # content of a config.json -> what the one line says
    "": "config='{path}': not JSON, or cut short",
    '{"model_type": "gpt2"': "config='{path}': not JSON, or cut short",
    "[1, 2]": "config='{path}': holds a list, but must hold an object",
    "null": "config='{path}': holds a NoneType, but must hold an object",
    "{}": "model_type=None: is not known here; known are gpt2, opt, llama, qwen2, mistral, lfm2 and",
    '{"format": "lts_nb.space", "version": 1}': "architecture: format='lts_nb.space': must be 'lts_nb.architecture'",
}


@pytest.mark.parametrize("content, said", FILES.items(), ids=range(len(FILES)))
def test_broken_files_are_one_line(content, said, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as error:
        Architecture.from_config(path)
    assert str(error.value).startswith(said.format(path=path)) and "\n" not in str(error.value)


def test_what_is_no_configuration_is_one_line(tmp_path):
    for given, said in {
        3: "config=3: must be a configuration, or its file, folder, hub id or text",
        dict: "config=<class 'dict'>: must be a configuration",
        "gpt2": "config='gpt2': no such file or folder, and no hub id",
        "x" * 5000: "config='xxx",
        "a\0b": "config='a\\x00b': no such file",
        tmp_path: f"config={str(tmp_path)!r}: this folder has neither architecture.json nor config.json",
    }.items():
        with pytest.raises(InputError) as error:
            Architecture.from_config(given)
        assert str(error.value).startswith(said) and "\n" not in str(error.value)


def test_only_the_configuration_is_fetched(tmp_path, monkeypatch):
    asked, path = [], tmp_path / "config.json"
    failures = {"Qwen/none": OSError("not there"), "Qwen/cut": Exception("the connection ended midway")}
    path.write_text(json.dumps(QWEN), encoding="utf-8")

    def fetch(*what):
        asked.append(what)
        if what[0] != "Qwen/Qwen2.5-0.5B":
            raise failures[what[0]]
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    assert Architecture.from_config("Qwen/Qwen2.5-0.5B") == Architecture.from_config(QWEN)
    assert get_space("Qwen/Qwen2.5-0.5B") == SearchSpace.around(QWEN)
    assert set(asked) == {("Qwen/Qwen2.5-0.5B", "config.json")}
    for name in failures:
        with pytest.raises(InputError, match=f"config='{name}': no file or folder of this name, and its config"):
            Architecture.from_config(name)
    with pytest.raises(InputError, match="space='Qwen/none': no file or folder"):
        get_space("Qwen/none")


@pytest.mark.parametrize("kind", ["gpt2", "opt", "llama", "qwen2", "mistral", "lfm2"])
def test_defaults_are_those_of_transformers(kind):
    "A value that transformers derives from others is None here."
    family = next(family for family in FAMILIES.values() if kind in family.configs)
    theirs = AutoConfig.for_model(kind)
    defaults = {name: value for name, value in family.configs[kind].items() if value is not None}
    if kind == "qwen2":
        assert theirs.sliding_window is None and defaults.pop("sliding_window") == 4096
    assert defaults == {name: getattr(theirs, name) for name in defaults}


@pytest.mark.parametrize("name", FAMILIES)
def test_own_models_are_read_and_lose_nothing(name, tmp_path):
    for i, a in enumerate(draw_architectures(name, 12, seed=5)):
        known = config_of(a)
        known.save_pretrained(tmp_path / str(i))
        assert Architecture.from_config(tmp_path / str(i)) == a == Architecture.from_config(known)
        assert not_carried_over(known) == not_carried_over(a) == ""


@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_built_model_has_besides(name):
    known = config_of(Architecture(name, 64, (1,), (64,), vocab_size=END_OF_TEXT + 1))
    expected = FAMILIES[name].unsized | dict(bos_token_id=END_OF_TEXT, eos_token_id=END_OF_TEXT)
    rope = getattr(known, "rope_parameters", None) or {}
    for field, value in expected.items():
        if field == "rope_theta":
            assert rope["rope_theta"] == value
        elif field == "rope_scaling":
            assert rope["rope_type"] == "default"
        else:
            assert getattr(known, field) == value, field


def test_what_is_lost_is_told():
    lost = "not carried over, since it changes no size: "
    assert not_carried_over(SMOLLM2) == lost + "rope_theta=100000, rms_norm_eps=1e-05"
    assert not_carried_over(GPT2 | dict(embd_pdrop=0.0)) == lost + "embd_pdrop=0.0"
    assert "rope_scaling={'factor': 32.0," in not_carried_over(LLAMA_32)
    assert not_carried_over(PUBLISHED["quantised"][1]).endswith("quantization_config='gptq'")
    tokens = dict(bos_token_id=1, eos_token_id=[2, 3], pad_token_id=0)
    assert not_carried_over(LLAMA_2 | tokens | dict(rms_norm_eps=1e-6)) == lost + (
        "pad_token_id=0, bos_token_id=1, eos_token_id=[2, 3]"
    )
