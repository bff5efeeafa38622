"Configurations of published models, written out, with the number of their parameters."

GPT2 = dict(model_type="gpt2", n_layer=12, n_embd=768, n_head=12, n_positions=1024, n_ctx=1024, vocab_size=50257)
OPT = dict(
    model_type="opt",
    hidden_size=768,
    ffn_dim=3072,
    num_hidden_layers=12,
    num_attention_heads=12,
    vocab_size=50272,
    word_embed_proj_dim=768,
    max_position_embeddings=2048,
    do_layer_norm_before=True,
)
LARGER_OPT = OPT | dict(hidden_size=1024, ffn_dim=4096, num_hidden_layers=24, num_attention_heads=16)
OPT_350M = LARGER_OPT | dict(word_embed_proj_dim=512, do_layer_norm_before=False)
LLAMA_2 = dict(
    model_type="llama",
    hidden_size=4096,
    intermediate_size=11008,
    num_hidden_layers=32,
    num_attention_heads=32,
    vocab_size=32000,
    max_position_embeddings=4096,
    rms_norm_eps=1e-5,
)
TINY_LLAMA = LLAMA_2 | dict(
    hidden_size=2048,
    intermediate_size=5632,
    num_hidden_layers=22,
    num_key_value_heads=4,
    max_position_embeddings=2048,
    rope_scaling=None,
)
LLAMA_32 = LLAMA_2 | dict(
    hidden_size=2048,
    intermediate_size=8192,
    num_hidden_layers=16,
    num_key_value_heads=8,
    head_dim=64,
    vocab_size=128256,
    max_position_embeddings=131072,
    rope_theta=500000.0,
    rope_scaling=dict(
        factor=32.0,
        high_freq_factor=4.0,
        low_freq_factor=1.0,
        original_max_position_embeddings=8192,
        rope_type="llama3",
    ),
    tie_word_embeddings=True,
)
SMOLLM2 = LLAMA_2 | dict(
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    vocab_size=49152,
    max_position_embeddings=8192,
    rope_theta=100000,
    tie_word_embeddings=True,
)
QWEN = dict(
    model_type="qwen2",
    hidden_size=896,
    intermediate_size=4864,
    num_hidden_layers=24,
    num_attention_heads=14,
    num_key_value_heads=2,
    vocab_size=151936,
    max_position_embeddings=32768,
    use_sliding_window=False,
    sliding_window=32768,
    max_window_layers=24,
    rope_theta=1000000.0,
    tie_word_embeddings=True,
)
MISTRAL = LLAMA_2 | dict(
    model_type="mistral",
    intermediate_size=14336,
    num_key_value_heads=8,
    max_position_embeddings=32768,
    sliding_window=4096,
)
LFM2 = dict(
    model_type="lfm2",
    block_auto_adjust_ff_dim=True,
    block_dim=1024,
    block_ff_dim=6656,
    block_ffn_dim_multiplier=1.0,
    block_multiple_of=256,
    conv_L_cache=3,
    conv_bias=False,
    full_attn_idxs=[2, 5, 8, 10, 12, 14],
    hidden_size=1024,
    num_attention_heads=16,
    num_hidden_layers=16,
    num_key_value_heads=8,
    max_position_embeddings=128000,
    norm_eps=1e-5,
    rope_theta=1000000.0,
    tie_embedding=True,
    vocab_size=65536,
)
LFM2_KINDS = ["full_attention" if i in LFM2["full_attn_idxs"] else "conv" for i in range(16)]
PUBLISHED = {  # parameters, configuration
    "gpt2": (124_439_808, GPT2),
    "gpt2-medium": (354_823_168, GPT2 | dict(n_layer=24, n_embd=1024, n_head=16)),
    "distilgpt2": (81_912_576, GPT2 | dict(n_layer=6)),
    "gpt2, half as wide inside": (96_109_824, GPT2 | dict(n_inner=1536)),
    "opt-125m": (125_239_296, OPT),
    "opt-350m": (331_196_416, OPT_350M),
    "tinyllama-1.1b": (1_100_048_384, TINY_LLAMA),
    "llama-2-7b": (6_738_415_616, LLAMA_2),
    "llama-3.2-1b": (1_235_814_400, LLAMA_32),
    "smollm2-135m": (134_515_008, SMOLLM2),
    "qwen2.5-0.5b": (494_032_768, QWEN),
    "mistral-7b-v0.1": (7_241_732_096, MISTRAL),
    "lfm2-350m": (354_483_968, LFM2),
    "lfm2, in today's words": (
        421_592_832,
        {name: value for name, value in LFM2.items() if name not in ("full_attn_idxs", "tie_embedding", "block_ff_dim")}
        | dict(layer_types=LFM2_KINDS, intermediate_size=4608, block_auto_adjust_ff_dim=False)
        | dict(tie_word_embeddings=False),
    ),
    "lfm2, wider": (417_398_528, LFM2 | dict(block_ffn_dim_multiplier=1.3)),
    "wide heads": (1_403_586_560, LLAMA_32 | dict(head_dim=128)),
    "tied": (535_842_816, LLAMA_2 | dict(num_hidden_layers=2, tie_word_embeddings=True)),
    "quantised": (134_515_008, SMOLLM2 | dict(quantization_config=dict(quant_method="gptq", bits=4))),
}
PUBLISHED |= {  # what a file leaves out has the default that transformers has
    f"{kind}, nothing said": (total, dict(model_type=kind))
    for kind, total in {
        "gpt2": 124_439_808,
        "opt": 125_239_296,
        "llama": 6_738_415_616,
        "qwen2": 12_049_846_272,
        "mistral": 7_241_732_096,
        "lfm2": 2_705_497_600,
    }.items()
}
