"Stock models of every family, with constants that are not the usual ones, become ours and predict the same."

from unittest.mock import patch

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    Lfm2Config,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Qwen2Config,
    Qwen3Config,
)

from lts_nb.core.errors import InputError
from lts_nb.models.build import architecture_of, twin_for
from lts_nb.models.parent import check_same_logits, constants_in, own_model
from lts_nb.models.small_models import draw_tokens, randomised

LLAMA = dict(vocab_size=97, hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4)
LLAMA |= dict(num_key_value_heads=2, max_position_embeddings=64, pad_token_id=None, bos_token_id=3, eos_token_id=[4, 5])
GPT2 = dict(vocab_size=97, n_positions=40, n_embd=48, n_layer=3, n_head=4, bos_token_id=3, eos_token_id=4)
OPT = dict(vocab_size=97, hidden_size=48, ffn_dim=64, num_hidden_layers=3, num_attention_heads=4)
OPT |= dict(max_position_embeddings=40, word_embed_proj_dim=48, eos_token_id=4)
LFM2 = LLAMA | dict(num_hidden_layers=4, layer_types=["conv", "full_attention"] * 2)


def rope(kind, **more):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=5e4, **more))


LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)
CASES = {
    "llama": LlamaConfig(**LLAMA),
    "eps": LlamaConfig(**LLAMA, rms_norm_eps=0.1),
    "tied": LlamaConfig(**LLAMA, tie_word_embeddings=True),
    "theta": LlamaConfig(**LLAMA, **rope("default")),
    "linear": LlamaConfig(**LLAMA, **rope("linear", factor=3.0)),
    "dynamic": LlamaConfig(**LLAMA, **rope("dynamic", factor=3.0)),
    "yarn": LlamaConfig(**LLAMA, **rope("yarn", factor=4.0, original_max_position_embeddings=16)),
    "llama3": LlamaConfig(**LLAMA, **rope("llama3", **LLAMA3)),
    "narrow heads": LlamaConfig(**LLAMA, head_dim=6),
    "qwen2": Qwen2Config(**LLAMA, rms_norm_eps=0.01),
    "mistral": MistralConfig(**LLAMA, sliding_window=24, **rope("default")),
    "gpt2": GPT2Config(**GPT2),
    "gpt2 eps": GPT2Config(**GPT2, layer_norm_epsilon=0.1, n_inner=80),
    "gpt2 scaled": GPT2Config(**GPT2, scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True),
    "gpt2 unscaled": GPT2Config(**GPT2, scale_attn_weights=False),
    "opt": OPTConfig(**OPT),
    "opt post": OPTConfig(**OPT | dict(word_embed_proj_dim=24), do_layer_norm_before=False),
    "lfm2": Lfm2Config(**LFM2, norm_eps=0.1, **rope("default")),
    "lfm2 adjusted": Lfm2Config(**LFM2, block_auto_adjust_ff_dim=True, block_multiple_of=16, tie_word_embeddings=False),
}


def stock(config):
    return randomised(AutoModelForCausalLM.from_config(config).eval())


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_the_same_model(name, tmp_path):
    model = stock(CASES[name])
    model.generation_config.repetition_penalty = 1.3
    own = own_model(model)
    assert own.generation_config.repetition_penalty == 1.3
    architecture = architecture_of(model)
    assert type(own) is twin_for(model.config)[1].MODEL and architecture_of(own) == architecture
    tokens = draw_tokens(architecture, 24)
    expected = model(tokens).logits
    torch.testing.assert_close(own(tokens).logits, expected, rtol=1e-5, atol=1e-5)
    own.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(again(tokens).logits, expected, rtol=1e-5, atol=1e-5)
    assert again.config.eos_token_id == own.generation_config.eos_token_id == model.config.eos_token_id
    assert constants_in(again.config) == constants_in(model.config)


def test_constants_make_a_difference():
    "Each case but the plain ones would be refused if its constants stayed behind."
    plain = {"llama", "tied", "narrow heads", "gpt2", "opt", "opt post", "lfm2 adjusted"}
    refused = set()
    for name, config in CASES.items():
        with patch("lts_nb.models.parent.constants_in", lambda config: {}):
            try:
                own_model(stock(config))
            except InputError as error:
                assert "predicts something else" in str(error)
                refused.add(name)
    assert refused == CASES.keys() - plain


@pytest.mark.parametrize(
    "config, said",
    [
        (LlamaConfig(**LLAMA, hidden_act="gelu"), "hidden_act='gelu'"),
        (LlamaConfig(**LLAMA, attention_bias=True), "attention_bias=True"),
        (LlamaConfig(**LLAMA, mlp_bias=True), "mlp_bias=True"),
        (GPT2Config(**GPT2, activation_function="relu"), "activation_function='relu'"),
        (GPT2Config(**GPT2, tie_word_embeddings=False), "tie_word_embeddings=False"),
        (OPTConfig(**OPT, enable_bias=False), "enable_bias=False"),
        (Lfm2Config(**LFM2, conv_bias=True), "conv_bias=True"),
        (Qwen3Config(**LLAMA), "model_type='qwen3': must be one of gpt2, opt, llama, qwen2, mistral, lfm2"),
    ],
)
def test_what_ours_cannot_hold(config, said):
    with pytest.raises(InputError) as caught:
        own_model(AutoModelForCausalLM.from_config(config))
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_ours_stay_as_they_are():
    own = own_model(stock(CASES["llama"]))
    assert own_model(own.train()) is own and not own.training


def test_copies():
    "What becomes of the stock model does not reach ours."
    model = stock(CASES["llama"])
    own = own_model(model)
    model.model.norm.weight.data.mul_(-1)
    with pytest.raises(InputError, match="predicts something else"):
        check_same_logits(own, model)
