"Models of which some layers have no attention or no feed-forward part: what they compute, hold and need."

import json
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import layer_norm, scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from lts_nb.core.workload import Workload
from lts_nb.models.build import architecture_of, build, config_of, part_modules
from lts_nb.models.conformance import (
    cached_tensors,
    check_cached,
    check_elsewhere,
    check_gradients,
    check_parts,
    check_twin,
    counts_of,
)
from lts_nb.models.formulas import rms_norm, rotate, split_heads, swiglu
from lts_nb.models.gpt2 import LtsGPT2Config
from lts_nb.models.llama import LtsLlamaConfig
from lts_nb.models.small_models import draw_alike, draw_shaped, draw_tokens, randomised, relative_difference
from lts_nb.profiler.parts import request_by_parts
from lts_nb.profiler.targets.torch_cpu import measure_model
from lts_nb.profiler.timing import VISIT
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.flops import flops
from lts_nb.space.memory import kv_cache_bytes, peak_bytes

SIZES = dict(vocab_size=97, max_len=64)
LLAMA = Architecture("llama", 40, (0, 6, 2), (64, 0, 96), n_kv_head=(0, 3, 1), d_head=8, **SIZES)
GPT2 = Architecture("gpt2", 48, (0, 6, 2), (64, 0, 96), **SIZES)
NARROW = Architecture("gpt2", 48, (0, 5, 9), (64, 0, 96), d_head=8, **SIZES)  # heads do not fill the width, or overflow
NARROW_OPT = Architecture("opt", 48, (5, 9, 1), (64, 20, 96), d_head=8, **SIZES)
SHARED = [
    Architecture("llama", 40, (0, 2, 0, 2), (64, 0, 64, 0), d_head=8, share=(0, 1, 0, 1), qkv_bias=True, **SIZES),
    Architecture("gpt2", 48, (2, 0, 2, 0), (0, 64, 0, 64), share=(0, 1, 0, 1), d_embed=12, **SIZES),
]
ALL = [LLAMA, GPT2, NARROW, NARROW_OPT, *SHARED]
each = pytest.mark.parametrize("architecture", ALL, ids=lambda a: f"{a.backbone} {a.n_head}")
of_both = pytest.mark.parametrize("architecture", [LLAMA, GPT2], ids=lambda a: a.backbone)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@each
def test_the_kit(architecture):
    check_twin(architecture, ("k_proj.bias",) if architecture.backbone == "opt" else ())
    assert counts_of(build(architecture, device="meta")) == count(architecture)


@pytest.mark.parametrize("backbone", ["llama", "gpt2"])
def test_the_kit_on_drawn_ones(backbone):
    for architecture in draw_shaped(backbone, 6, seed=11):
        check_twin(architecture)


def attended(q, k, v, heads, kv_heads):
    "Causal attention of `(B, T, heads·d_head)`."
    q, k, v = split_heads(q, heads), split_heads(k, kv_heads), split_heads(v, kv_heads)
    k, v = (z.repeat_interleave(heads // kv_heads, 1) for z in (k, v))
    return scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)


def weights_of(weights, prefix):
    "Weights of one module, as it calls them."
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}


def llama_by_hand(model, tokens):
    "A loop over the layers of `LLAMA`, in float64."
    W = {name: weight.double() for name, weight in model.state_dict().items()}
    h = W["model.embed_tokens.weight"][tokens]
    for i, (d_inner, heads, kv_heads) in enumerate(LLAMA.layers):
        own = weights_of(W, f"model.layers.{i}.")
        if heads:
            x = rms_norm(h, own["input_layernorm.weight"], 1e-6)
            q, k, v = (x @ own[f"self_attn.{name}_proj.weight"].T for name in "qkv")
            q, k = (
                rotate(split_heads(z, n), 10_000).transpose(1, 2).flatten(2) for z, n in ((q, heads), (k, kv_heads))
            )
            h = h + attended(q, k, v, heads, kv_heads) @ own["self_attn.o_proj.weight"].T
        if d_inner:
            x = rms_norm(h, own["post_attention_layernorm.weight"], 1e-6)
            inner = swiglu(*(x @ own[f"mlp.{name}_proj.weight"].T for name in ("gate", "up")))
            h = h + inner @ own["mlp.down_proj.weight"].T
        assert len(own) == 5 * bool(heads) + 4 * bool(d_inner)
    return rms_norm(h, W["model.norm.weight"], 1e-6) @ W["lm_head.weight"].T


def gpt2_by_hand(model, tokens):
    "A loop over the blocks of `GPT2`, in float64."
    W = {name: weight.double() for name, weight in model.state_dict().items()}

    def norm(h, at):
        return layer_norm(h, h.shape[-1:], W[at + ".weight"], W[at + ".bias"], 1e-5)

    def linear(h, at):
        return h @ W[at + ".weight"] + W[at + ".bias"]

    h = W["transformer.wte.weight"][tokens] + W["transformer.wpe.weight"][: tokens.shape[1]]
    for i, (d_inner, heads, _) in enumerate(GPT2.layers):
        at = f"transformer.h.{i}."
        if heads:
            q, k, v = linear(norm(h, at + "ln_1"), at + "attn.c_attn").chunk(3, -1)
            h = h + linear(attended(q, k, v, heads, heads), at + "attn.c_proj")
        if d_inner:
            inner = torch.nn.functional.gelu(linear(norm(h, at + "ln_2"), at + "mlp.c_fc"), approximate="tanh")
            h = h + linear(inner, at + "mlp.c_proj")
        assert sum(name.startswith(at) for name in W) == 6 * bool(heads) + 6 * bool(d_inner)
    return norm(h, "transformer.ln_f") @ W["lm_head.weight"].T


@pytest.mark.parametrize("architecture, by_hand", [(LLAMA, llama_by_hand), (GPT2, gpt2_by_hand)], ids=["llama", "gpt2"])
def test_a_loop_by_hand(architecture, by_hand):
    "The same weights, float32 against float64: a few hundred roundings."
    model, tokens = randomised(build(architecture)), draw_tokens(architecture)
    assert relative_difference(model(tokens).logits, by_hand(model, tokens)) < 1e-5


@of_both
def test_a_half_that_lacks_is_one_whose_last_matrix_is_zero(architecture):
    kv_heads = architecture.n_kv_head and (1, 3, 1)
    whole = replace(architecture, n_head=(2, 6, 2), n_kv_head=kv_heads, d_inner=(64, 32, 96))
    model, full = randomised(build(architecture)), randomised(build(whole), seed=1)
    unused = full.load_state_dict(model.state_dict(), strict=False)
    assert not unused.unexpected_keys
    last = ("o_proj.weight", "down_proj.weight", "c_proj.weight", "c_proj.bias")
    for name in unused.missing_keys:
        if name.endswith(last):
            full.get_parameter(name).zero_()
    tokens = draw_tokens(architecture)
    assert relative_difference(model(tokens).logits, full(tokens).logits) < 1e-6


# --- the cache


@each
def test_nothing_is_cached_where_nothing_attends(architecture):
    model, tokens = build(architecture), draw_tokens(architecture)
    cache = model(tokens, use_cache=True).past_key_values
    kv_heads = [n for n in architecture.n_kv_head or architecture.n_head if n]
    assert [layer.keys.shape[1] for layer in cache.layers if layer.keys is not None] == kv_heads
    assert cache.get_seq_length() == tokens.shape[1]
    assert sum(tensor.nbytes for tensor in cached_tensors(cache)) == kv_cache_bytes(architecture, *tokens.shape)


def continued(model, tokens, new_tokens):
    "Greedy continuation, with its logits, by a loop that leaves positions and masks to the model and its cache."
    step, cache, logits = tokens, None, []
    for _ in range(new_tokens):
        out = model(step, past_key_values=cache, use_cache=True)
        step, cache, logits = out.logits[:, -1:].argmax(-1), out.past_key_values, [*logits, out.logits]
        tokens = torch.cat([tokens, step], 1)
    return tokens, torch.cat(logits, 1)


@each
def test_generation_with_the_cache_and_without(architecture):
    model, tokens = randomised(build(architecture)), draw_tokens(architecture, 7)
    options = dict(max_new_tokens=12, do_sample=False, pad_token_id=0)
    with_cache, without = (model.generate(tokens, use_cache=use_cache, **options) for use_cache in (True, False))
    assert torch.equal(with_cache, without)
    made, logits = continued(model, tokens, 12)
    assert torch.equal(made, without)
    assert relative_difference(logits, model(made[:, :-1], use_cache=False).logits) < 2e-5
    beams = [model.generate(tokens, num_beams=3, use_cache=use_cache, **options) for use_cache in (True, False)]
    assert torch.equal(*beams)


@each
def test_padding_on_the_left(architecture):
    "A batch of texts of two lengths gives what each gives alone."
    model, tokens = randomised(build(architecture)), draw_tokens(architecture, 9)
    mask = torch.ones_like(tokens)
    mask[0, :4] = 0
    options = dict(max_new_tokens=8, do_sample=False, pad_token_id=0)
    together = model.generate(tokens, attention_mask=mask, **options)[:, 9:]
    alone = [model.generate(row, **options)[:, row.shape[1] :] for row in (tokens[:1, 4:], tokens[1:])]
    assert torch.equal(together, torch.cat(alone))


# --- files, configurations, training


@of_both
def test_files(tmp_path, architecture):
    model, tokens = randomised(build(architecture)), draw_tokens(architecture)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert Architecture.from_config(config) == architecture == architecture_of(model)
    assert config["layer_n_head"] == [0, 6, 2] and 6 in (config.get("n_head"), config.get("num_attention_heads"))
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert relative_difference(again(tokens).logits, model(tokens).logits) < 1e-6


@pytest.mark.slow
def test_files_without_this_package():
    "And those of stock models, in the same process: each takes seconds to start."
    alike = [draw_alike(backbone, 40) for backbone in ("gpt2", "opt", "llama", "lfm2")]
    stock = [next(a for a in some if not config_of(a).model_type.startswith("lts")) for some in alike]
    check_elsewhere([*ALL, *stock])


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable:FutureWarning")
@each
def test_training(architecture):
    with torch.enable_grad():
        model = randomised(build(architecture))
        check_gradients(model, architecture, ("k_proj.bias",))
        plain, tokens = {}, draw_tokens(architecture)
        model.train().requires_grad_(True)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            elif isinstance(getattr(module, "dropout", None), float):  # as OPT's layers say it
                module.dropout = 0.0
        for checkpointing in (False, True):
            if checkpointing:
                model.gradient_checkpointing_enable()
            model.zero_grad()
            model(tokens, labels=tokens, use_cache=False).loss.backward()
            for name, weight in model.named_parameters():
                torch.testing.assert_close(weight.grad, plain.setdefault(name, weight.grad.clone()))


@pytest.mark.parametrize("config", [LtsLlamaConfig, LtsGPT2Config])
def test_what_a_configuration_refuses(config):
    inner = "layer_d_inner" if config is LtsLlamaConfig else "layer_n_inner"
    sizes = dict(num_hidden_layers=2) if config is LtsLlamaConfig else dict(n_layer=2)
    with pytest.raises(ValueError, match="layer 1 has neither attention nor a feed-forward part"):
        config(**sizes, layer_n_head=[4, 0], **{inner: [64, 0]})
    with pytest.raises(ValueError, match="at least one layer must have attention"):
        config(**sizes, layer_n_head=[0, 0], **{inner: [64, 64]})


def test_no_stock_model_has_such_layers():
    alike = Architecture("gpt2", 48, (2, 2), (0, 0), **SIZES), Architecture("llama", 48, (2, 2), (0, 0), **SIZES)
    assert [build(a, device="meta").config.model_type for a in alike] == ["lts_gpt2", "lts_llama"]
    check_twin(alike[0])
    check_twin(alike[1])


# --- what it needs


WORKLOADS = [
    Workload(prompt_len=50),
    Workload(prompt_len=40, logits="all"),
    Workload(batch_size=2, prompt_len=30, new_tokens=3),
]


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_memory(workload):
    "Within the 0.2 % that kernels may take for themselves."
    wide = [
        replace(a, n_head=heads, n_kv_head=a.n_kv_head and kv_heads, d_inner=inner)
        for a in (LLAMA, GPT2)
        for heads, kv_heads, inner in [
            ((6, 6, 6), (3, 3, 3), (0, 0, 0)),
            ((6, 0, 0), (3, 0, 0), (16, 200, 200)),
            ((0, 6, 2), (0, 3, 1), (200, 0, 16)),
            ((6, 6, 6), (3, 3, 3), (16, 16, 16)),
        ]
    ]
    narrow = [
        replace(a, n_head=heads, d_inner=inner, d_head=d_head)
        for a in (NARROW, NARROW_OPT, replace(NARROW_OPT, pre_norm=False))
        for heads, inner, d_head in [
            ((2, 2, 2), (16, 16, 16), 8),  # the sum at the end of a narrow feed-forward part is the worst
            ((9, 9, 9), (16, 16, 16), 8),
            ((1, 12, 3), (64, 200, 20), 8),
            ((12, 3, 1), (20, 200, 64), 16),
        ]
    ]
    for architecture in wide + narrow:
        measured = measure_model(build(architecture), workload, 1, VISIT)
        assert peak_bytes(architecture, workload) == pytest.approx(measured.peak_bytes, rel=2e-3), architecture


@each
def test_flops(architecture):
    model = build(replace(architecture, d_embed=None))
    model.set_attn_implementation("eager")  # whose products the counter sees
    with FlopCounterMode(display=False) as counter:
        model(torch.ones(2, 20, dtype=torch.long), logits_to_keep=1)
    workload = Workload(batch_size=2, prompt_len=20)
    assert counter.get_total_flops() == flops(replace(architecture, d_embed=None), workload)


@of_both
def test_parts(architecture):
    "Every layer has two parts to be timed, whatever it lacks; and the clock is read in their order."
    model, ticks = build(architecture), iter(range(10_000))
    _, parts = request_by_parts(
        model, part_modules(model), Workload(1, 5, 2), lambda: torch.tensor([0.0, next(ticks)]).numpy(),
        lambda: torch.tensor([0.0, next(ticks)]).numpy(),
    )  # fmt: skip
    assert parts.shape == (3, 2 * 3 + 1, 2)


# --- the kit notices


def test_a_cache_that_holds_too_much():
    more = replace(LLAMA, n_kv_head=(0, 3, 2))
    with pytest.raises(AssertionError, match="the cache holds"):
        check_cached(build(more), LLAMA, draw_tokens(LLAMA))


def test_a_second_half_that_begins_too_late():
    model = build(GPT2)
    block = model.transformer.h[0]  # without attention
    block.mlp.c_fc, block.ln_2 = torch.nn.Sequential(block.ln_2, block.mlp.c_fc), torch.nn.Identity()
    check_parts(model, GPT2, draw_tokens(GPT2))
    model.transformer.h[1].ln_2 = torch.nn.LayerNorm(48)  # without a feed-forward part
    with pytest.raises(AssertionError, match="second half of layer 1 uses 96 weights, not 0"):
        check_parts(model, GPT2, draw_tokens(GPT2))
