"Where transformers has a class for an architecture, its model is what `build` gives, and our twin is the same model."

import json
import platform
from dataclasses import replace

import pytest
import torch
from kit import slow_but
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig

from lts_nb.core.errors import InputError
from lts_nb.core.workload import Workload
from lts_nb.models.build import architecture_of, build, config_of, part_modules, seeded, twin_of
from lts_nb.models.conformance import check_twin
from lts_nb.models.small_models import draw_alike, draw_tokens, randomised
from lts_nb.profiler.memory import live_peak
from lts_nb.profiler.timing import request
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.families import lfm2
from lts_nb.space.flops import flops
from lts_nb.space.memory import peak_bytes

KINDS = {"gpt2": {"gpt2"}, "opt": {"opt"}, "llama": {"llama", "qwen2"}, "lfm2": {"lfm2"}}
SIZES = dict(vocab_size=97, max_len=24)


def stock_architectures(backbone, n=40, seed=0):
    "Random architectures that are built as stock models."
    alike = draw_alike(backbone, n, seed)
    return [a for a in alike if config_of(a).model_type in KINDS[backbone]]


def twin(architecture, seed=0):
    "The twin of an architecture, where `build` might give the stock model."
    module = twin_of(architecture.backbone)
    with seeded(seed):
        return module.MODEL(module.config_of(architecture)).eval()


def test_each_kind_is_drawn():
    for backbone, kinds in KINDS.items():
        found = [config_of(a).model_type for a in stock_architectures(backbone)]
        assert set(found) == kinds and min(map(found.count, kinds)) >= 3, backbone


@pytest.mark.parametrize("backbone", KINDS)
@torch.no_grad()
def test_the_twin_is_the_same_model(backbone):
    for seed, a in enumerate(stock_architectures(backbone)):
        stock, ours = build(a, seed), twin(a, seed)
        assert type(stock).__module__.startswith("transformers.") and type(ours) is twin_of(backbone).MODEL
        weights = ours.state_dict()
        assert list(stock.state_dict()) == list(weights)
        assert all(torch.equal(weight, weights[name]) for name, weight in stock.state_dict().items())
        tokens = draw_tokens(a)
        assert torch.equal(stock(tokens).logits, ours(tokens).logits)
        assert torch.equal(randomised(stock)(tokens).logits, randomised(ours)(tokens).logits)
        assert [type(m) for m in part_modules(stock)[:2]] == [type(m) for m in part_modules(ours)[:2]] or a.qkv_bias
        assert architecture_of(stock) == architecture_of(ours) == architecture_of(ours.config) == a


@pytest.mark.parametrize("backbone", slow_but(KINDS, "llama"))
@torch.no_grad()
def test_the_twin_costs_the_same(backbone, monkeypatch):
    "Peak memory and FLOPs of stock model and twin, and by the closed forms; convolutions as this processor does them."
    torch.set_num_threads(1)
    if platform.machine().lower() in ("x86_64", "amd64") and not torch.cpu._is_avx512_supported():
        monkeypatch.setattr(lfm2, "CHANNELS", 8)
    requests = [Workload(1, 12), Workload(2, 12, logits="all"), Workload(2, 8, 6), Workload(3, 5, 4, "all")]
    for i, a in enumerate(stock_architectures(backbone, 20)):
        workload = requests[i % len(requests)]
        if backbone == "gpt2":  # whose closed form takes a feed-forward part wider than attention for granted
            a = replace(a, d_inner=(4 * a.d_model,) * a.n_layer)
        peaks = [live_peak(lambda m=m: request(m, workload)) for m in (build(a), twin(a))]
        expected = peak_bytes(a, workload) - 4 * count(a).total
        assert peaks[0] == peaks[1] and abs(peaks[0] - expected) <= (64 if backbone == "gpt2" else 0), a
        found = [work(m, workload) for m in (build(a), twin(a))]
        assert found == [flops(a, workload)] * 2, a


def work(model, workload):
    "FLOPs of a request, as PyTorch counts them."
    model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter:
        request(model, workload)
    return counter.get_total_flops()


@pytest.mark.parametrize("backbone", KINDS)
def test_stock_models_conform(backbone):
    without = {"opt": ("k_proj.bias",)}.get(backbone, ())
    for a in stock_architectures(backbone, 12, seed=1)[:3]:
        check_twin(a, without)


@pytest.mark.parametrize("backbone", KINDS)
def test_a_stock_folder(backbone, tmp_path):
    a = stock_architectures(backbone)[0]
    build(a).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] in KINDS[backbone] and "auto_map" not in config
    assert config["architectures"] == [type(build(a)).__name__]
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}
    assert architecture_of(AutoConfig.from_pretrained(tmp_path)) == a


GPT2 = Architecture("gpt2", 32, (2, 2), (64, 64), **SIZES)
OPT = Architecture("opt", 32, (2, 2), (64, 64), **SIZES)
LLAMA = Architecture("llama", 32, (4, 4), (64, 64), n_kv_head=(2, 2), d_head=8, **SIZES)
HYBRID = dict(n_kv_head=(0, 2), layer_kind=("conv", "attention"))
LFM2 = Architecture("lfm2", 32, (0, 4), (64, 64), d_head=8, **HYBRID, **SIZES)


@pytest.mark.parametrize(
    "architecture, kind",
    [
        (GPT2, "gpt2"),
        (replace(GPT2, n_head=(2, 4)), "lts_gpt2"),
        (replace(GPT2, d_inner=(64, 96)), "lts_gpt2"),
        (replace(GPT2, share=(0, 0)), "lts_gpt2"),
        (replace(GPT2, d_embed=16), "lts_gpt2"),
        (replace(GPT2, cutoffs=(30,)), "lts_gpt2"),
        (OPT, "opt"),
        (replace(OPT, d_embed=16, pre_norm=False), "opt"),
        (replace(OPT, d_embed=64), "opt"),
        (replace(OPT, d_embed=16, cutoffs=(30,)), "lts_opt"),
        (replace(OPT, d_inner=(64, 96), d_embed=16, pre_norm=False), "lts_opt"),
        (LLAMA, "llama"),
        (replace(LLAMA, d_head=16), "llama"),
        (replace(LLAMA, n_kv_head=(2, 4)), "lts_llama"),
        (replace(LLAMA, d_model=34), "lts_llama"),  # stock Llama wants heads that divide the width
        (replace(LLAMA, qkv_bias=True), "qwen2"),
        (replace(LLAMA, qkv_bias=True, d_head=16), "lts_llama"),  # stock Qwen2 cannot say it
        (replace(LLAMA, qkv_bias=True, share=(0, 0)), "lts_llama"),
        (replace(LLAMA, tie_embeddings=False), "llama"),
        (LFM2, "lfm2"),
        (replace(LFM2, d_head=16), "lts_lfm2"),  # stock LFM2 cannot say it
        (replace(LFM2, d_inner=(64, 96)), "lts_lfm2"),
        (Architecture("transformer-xl", 32, (2, 2), (64, 64), **SIZES), "lts_transformer_xl"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_which_class(architecture, kind):
    assert config_of(architecture).model_type == kind == build(architecture, device="meta").config.model_type
    assert architecture_of(build(architecture, device="meta")) == architecture


def test_settings_that_twins_set_on_purpose():
    assert [config_of(a).pad_token_id for a in (GPT2, OPT, LLAMA, LFM2)] == [None] * 4
    assert not config_of(LFM2).block_auto_adjust_ff_dim and config_of(LFM2).intermediate_size == 64
    assert config_of(LFM2).layer_types == ["conv", "full_attention"]
    larger = replace(LLAMA, vocab_size=50300)
    assert [config_of(a).eos_token_id for a in (LLAMA, larger)] == [None, 50256]


def test_models_of_other_people():
    "Stock configurations that somebody else wrote: read, or refused with the field that no backbone says."
    llama = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=97)
    a = architecture_of(AutoConfig.for_model("llama", **llama, max_position_embeddings=24, rope_theta=5e5))
    assert a == Architecture("llama", 32, (4, 4), (64, 64), d_head=8, tie_embeddings=False, **SIZES)
    mistral = AutoConfig.for_model("mistral", **llama, num_key_value_heads=2, max_position_embeddings=24)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(mistral)
    assert architecture_of(model).n_kv_head == (2, 2) and len(part_modules(model)) == 5
    assert model.num_parameters() == count(architecture_of(model)).total
    with pytest.raises(InputError, match="attention_bias=True: must be False"):
        architecture_of(AutoConfig.for_model("llama", **llama, attention_bias=True))
    assert architecture_of(AutoConfig.for_model("bert")) is None
    assert architecture_of(PreTrainedConfig()) is None
