"""What people do with any model of transformers works with ours, or says in one line why not.

Tried and sound in every twin, with shared layers and adaptive embeddings where it has them: exchanging and resizing a
plain embedding, gradient checkpointing, greedy, beam, static-cache, assisted and prompt-lookup decoding, padding on the
left, half precision, opening in pieces, with little memory, with `device_map` and with another attention kernel, hidden
states, embeddings as input, copies, `torch.export`, modules by their stock names.
Refused in one line: another vocabulary for an adaptive embedding, a static cache for Transformer-XL.
Left as transformers has it: weights that do not fit their configuration (a RuntimeError with a table), opening a folder
as an unrelated class (a warning, random weights), pickling a model whose hidden states were looked at.
"""

import copy

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from lts_nb.models.build import build, part_modules
from lts_nb.models.small_models import randomised
from lts_nb.space.architecture import Architecture

SIZES = dict(vocab_size=97, max_len=64)
HEADS = dict(n_kv_head=(1, 2), d_head=8)
HYBRID = dict(n_kv_head=(1, 0), d_head=8, layer_kind=("attention", "conv"))
PLAIN = {
    "gpt2": Architecture("gpt2", 32, (2, 2, 4), (64, 64, 96), share=(0, 0, 1), **SIZES),
    "transformer-xl": Architecture("transformer-xl", 32, (2, 4), (64, 96), **SIZES),
    "opt": Architecture("opt", 32, (2, 4), (64, 96), d_embed=16, pre_norm=False, **SIZES),
    "llama": Architecture("llama", 32, (2, 4), (64, 96), qkv_bias=True, **HEADS, **SIZES),
    "llama-untied": Architecture("llama", 32, (4, 4), (64, 64), share=(0, 0), tie_embeddings=False, d_head=8, **SIZES),
    "lfm2": Architecture("lfm2", 32, (2, 0), (64, 96), **HYBRID, **SIZES),
}
ADAPTIVE = {
    "gpt2": Architecture("gpt2", 32, (2, 4), (64, 96), d_embed=16, **SIZES),
    "transformer-xl": Architecture("transformer-xl", 32, (2, 4), (64, 96), d_embed=16, **SIZES),
    "opt": Architecture("opt", 32, (2, 4), (64, 96), cutoffs=(30,), **SIZES),
    "llama": Architecture("llama", 32, (2, 4), (64, 96), d_embed=16, cutoffs=(30,), **HEADS, **SIZES),
    "lfm2": Architecture("lfm2", 32, (2, 0), (64, 96), cutoffs=(30, 60), div_val=2, **HYBRID, **SIZES),
}
ALL = PLAIN | {f"{name}-adaptive": a for name, a in ADAPTIVE.items()}
TOKENS = torch.randint(1, 97, (2, 10), generator=torch.Generator().manual_seed(0))
GREEDY = dict(max_new_tokens=6, do_sample=False, pad_token_id=0)


def plain(test):
    return pytest.mark.parametrize("model", PLAIN.items(), ids=PLAIN, indirect=True)(test)


def every(test):
    return pytest.mark.parametrize("model", ALL.items(), ids=ALL, indirect=True)(test)


@pytest.fixture
def model(request):
    "A twin with random weights."
    twin = randomised(build(request.param[1]), std=0.15)
    assert twin.config.model_type.startswith("lts_")
    with torch.no_grad():
        yield twin


def close(found, expected):
    return (found - expected).abs().max() <= 2e-5 * expected.abs().max()


def opened(model, folder, save=None, **options):
    model.save_pretrained(folder, **save or {})
    again, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, **options)
    assert not any(report.values()), report
    return again.eval()


@plain
def test_a_larger_vocabulary(model, tmp_path):
    before, rows = model(TOKENS).logits, model.get_input_embeddings().weight.clone()
    model.resize_token_embeddings(103)
    assert (model.config.vocab_size, model(TOKENS).logits.shape[-1]) == (103, 103)
    assert close(model(TOKENS).logits[..., :97], before)
    assert torch.equal(model.get_input_embeddings().weight[:97], rows)
    again = opened(model, tmp_path)
    assert close(again(TOKENS).logits, model(TOKENS).logits)
    for m in (model, again):
        tied = m.get_output_embeddings().weight is m.get_input_embeddings().weight
        assert tied == m.config.tie_word_embeddings
    assert again(torch.tensor([[102]])).logits.shape == (1, 1, 103)


@plain
def test_a_smaller_vocabulary_and_one_that_is_padded(model):
    model.resize_token_embeddings(80)
    assert model(TOKENS % 80).logits.shape[-1] == 80
    model.resize_token_embeddings(pad_to_multiple_of=64)
    assert model.get_input_embeddings().num_embeddings == model.config.vocab_size == 128


@pytest.mark.parametrize("model", ADAPTIVE.items(), ids=ADAPTIVE, indirect=True)
def test_an_adaptive_embedding_stays(model):
    before = model.get_input_embeddings()
    for change in (
        lambda: model.resize_token_embeddings(103),
        lambda: model.resize_token_embeddings(pad_to_multiple_of=64),
        lambda: model.set_input_embeddings(torch.nn.Embedding(97, 32)),
    ):
        with pytest.raises(NotImplementedError, match=r"cannot be done to an adaptive embedding \(d_embed=") as error:
            change()
        assert "\n" not in str(error.value) and model.get_input_embeddings() is before
    assert model.resize_token_embeddings() is model.resize_token_embeddings(97) is before  # nothing to do


@plain
def test_another_embedding(model):
    new = torch.nn.Embedding(97, model.get_input_embeddings().embedding_dim)
    model.set_input_embeddings(new)
    model.tie_weights()
    assert model.get_input_embeddings() is new
    assert (model.get_output_embeddings().weight is new.weight) == model.config.tie_word_embeddings


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable. is deprecated")
@every
def test_checkpointed_gradients(model):
    with torch.enable_grad():
        gradients = []
        for checkpointed in (False, True):
            if checkpointed:
                model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=dict(use_reentrant=False))
            torch.manual_seed(0)  # dropout
            model.train()(TOKENS, labels=TOKENS, use_cache=False).loss.backward()
            gradients.append({name: weight.grad.clone() for name, weight in model.named_parameters()})
            model.zero_grad()
    largest = max(gradient.abs().max() for gradient in gradients[0].values())
    assert all((gradients[1][name] - g).abs().max() <= 2e-5 * largest for name, g in gradients[0].items())


@every
def test_ways_to_generate(model):
    expected = model.generate(TOKENS, **GREEDY)
    assert model.generate(TOKENS, num_beams=3, **GREEDY).shape == (2, 16)
    one = TOKENS[:1]
    helper = build(Architecture("gpt2", 16, (2,), (32,), **SIZES))
    for options in (dict(assistant_model=helper), dict(prompt_lookup_num_tokens=3)):
        assert torch.equal(model.generate(one, **options, **GREEDY), expected[:1]), options
    padded = torch.cat([torch.zeros(2, 3, dtype=torch.long), TOKENS], 1)
    mask = (torch.arange(13) > 2).expand(2, 13).long()
    assert torch.equal(model.generate(padded, attention_mask=mask, **GREEDY)[:, 13:], expected[:, 10:])


@every
def test_a_cache_of_fixed_size(model):
    options = dict(cache_implementation="static", disable_compile=True)
    if model.config.model_type == "lts_transformer_xl":
        with pytest.raises(ValueError, match="a static cache is not supported"):
            model.generate(TOKENS, **options, **GREEDY)
    else:
        assert torch.equal(model.generate(TOKENS, **options, **GREEDY), model.generate(TOKENS, **GREEDY))


@every
def test_half_precision(model):
    expected = model(TOKENS).logits
    for dtype, share in ((torch.bfloat16, 0.1), (torch.float16, 0.02)):
        found = copy.deepcopy(model).to(dtype)(TOKENS).logits
        assert found.dtype == dtype and (found - expected).abs().max() <= share * expected.abs().max()


@every
def test_ways_to_open(model, tmp_path):
    expected = model(TOKENS).logits
    ways = {
        "pieces": (dict(save=dict(max_shard_size="20KB")), {}),
        "little memory": ({}, dict(low_cpu_mem_usage=True)),
        "device map": ({}, dict(device_map="cpu")),
        "eager": ({}, dict(attn_implementation="eager")),
        "sdpa": ({}, dict(attn_implementation="sdpa")),
    }
    for way, (save, options) in ways.items():
        again = opened(model, tmp_path / way, **save, **options)
        assert close(again(TOKENS).logits, expected), way
        assert again.config._attn_implementation == options.get("attn_implementation", "sdpa")
    assert len(list((tmp_path / "pieces").glob("*.safetensors"))) > 1
    narrow = AutoModelForCausalLM.from_pretrained(tmp_path / "sdpa", dtype=torch.bfloat16)
    assert narrow.dtype == torch.bfloat16


@every
def test_weights_that_do_not_fit(model, tmp_path):
    model.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    config.vocab_size = 90
    with pytest.raises(RuntimeError):
        AutoModelForCausalLM.from_pretrained(tmp_path, config=config)


@every
def test_looked_into_and_copied(model):
    expected = model(TOKENS).logits
    n_states = model.config.num_hidden_layers + 1
    assert len(model(TOKENS, output_hidden_states=True).hidden_states) == n_states
    other = copy.deepcopy(model)
    assert torch.equal(other(TOKENS).logits, expected) and other.num_parameters() == model.num_parameters()
    vectors = model.get_input_embeddings()(TOKENS)
    if model.config.model_type == "lts_transformer_xl":
        vectors = vectors * model.config.d_model**0.5
    assert close(model(inputs_embeds=vectors).logits, expected)
    kept = model(TOKENS, logits_to_keep=torch.tensor([0, 3])).logits
    assert close(kept, expected[:, [0, 3]])


@every
def test_names_for_adapters(model):
    "Whoever attaches adapters names the modules that stock models have."
    names = {
        "lts_gpt2": {"c_attn", "c_proj", "c_fc"},
        "lts_transformer_xl": {"qkv", "r", "o", "up", "down"},
        "lts_opt": {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"},
        "lts_llama": {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
        "lts_lfm2": {"q_proj", "k_proj", "v_proj", "out_proj", "in_proj", "w1", "w2", "w3"},
    }
    layers = part_modules(model)[:-1:2]
    body = {
        name.split(".")[-1]
        for layer in layers
        for name, module in layer.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D))
    }
    assert body == names[model.config.model_type]


@every
def test_exported_by_torch(model):
    program = torch.export.export(model, (TOKENS,), dict(use_cache=False), strict=False)
    assert close(program.module()(TOKENS, use_cache=False).logits, model(TOKENS).logits)
