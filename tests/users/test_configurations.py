"""Configurations as people have them: what transformers builds of each, to the unit, or one line."""

import pytest

from lts_nb.core.errors import InputError
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count

SMALL = dict(vocab_size=1000, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4)
GPT2 = dict(model_type="gpt2", vocab_size=1000, n_embd=64, n_layer=2, n_head=4, n_positions=128)
OPT = dict(vocab_size=1000, hidden_size=64, ffn_dim=128, num_hidden_layers=2, num_attention_heads=4)
OPT |= dict(model_type="opt", max_position_embeddings=128, word_embed_proj_dim=64)
LFM2 = SMALL | dict(model_type="lfm2", num_hidden_layers=4, num_key_value_heads=2, block_multiple_of=16)
LFM2 |= dict(full_attn_idxs=[1, 3], block_ff_dim=192)


def llama(**values):
    return SMALL | dict(model_type="llama") | values


TOTALS = [
    (llama(), 210_240),
    (llama(num_key_value_heads=None), 210_240),
    (llama(num_key_value_heads=2), 202_048),
    (llama(head_dim=32), 243_008),
    (llama(tie_word_embeddings=True), 146_240),
    (llama(model_type="qwen2", num_key_value_heads=2), 202_304),
    (llama(model_type="mistral", num_key_value_heads=2, sliding_window=None), 202_048),
    (GPT2, 172_288),
    (GPT2 | dict(n_inner=None), 172_288),
    (GPT2 | dict(n_inner=100), 132_040),
    (OPT, 139_392),
    (OPT | dict(word_embed_proj_dim=32), 111_488),
    (OPT | dict(do_layer_norm_before=False), 139_264),
    (LFM2 | dict(block_auto_adjust_ff_dim=True), 220_672),
    (LFM2 | dict(block_auto_adjust_ff_dim=False), 269_824),
]


@pytest.mark.parametrize("config, total", TOTALS)
def test_totals(config, total):
    assert count(Architecture.from_config(config)).total == total


@pytest.mark.parametrize(
    "config",
    [
        llama(attention_bias=True),
        llama(mlp_bias=True),
        llama(hidden_act="gelu"),
        llama(model_type="qwen2"),  # its default is 32 key/value heads, which do not divide four
        llama(model_type="qwen3"),
        llama(model_type="mixtral"),
        GPT2 | dict(tie_word_embeddings=False),
        OPT | dict(enable_bias=False),
        OPT | dict(layer_norm_elementwise_affine=False),
        LFM2 | dict(conv_bias=True),
        dict(text_config=llama(), model_type="llava"),
        {},
    ],
)
def test_one_line(config):
    with pytest.raises(InputError) as raised:
        Architecture.from_config(config)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400
