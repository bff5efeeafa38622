"Biases of queries, keys and values, and norms after each half: what is counted is what stock models need."

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from lts_nb.core.workload import Workload
from lts_nb.profiler.targets.torch_cpu import measure_model
from lts_nb.profiler.timing import VISIT
from lts_nb.space.architecture import Architecture
from lts_nb.space.flops import flops
from lts_nb.space.memory import peak_bytes

QWEN = dict(model_type="qwen2", num_hidden_layers=2, vocab_size=300, max_position_embeddings=256, pad_token_id=None)
OPT = QWEN | dict(model_type="opt", do_layer_norm_before=False, bos_token_id=None, eos_token_id=None)
CONFIGS = {  # a small one and one whose feed-forward layer is its worst moment
    "qwen2": QWEN
    | dict(
        hidden_size=128, intermediate_size=96, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True
    ),
    "qwen2, wide inside": QWEN
    | dict(hidden_size=64, intermediate_size=512, num_attention_heads=4, num_key_value_heads=1),
    "opt-350m": OPT | dict(hidden_size=128, ffn_dim=16, num_attention_heads=4),
    "opt-350m, wide inside": OPT | dict(hidden_size=64, ffn_dim=300, num_attention_heads=2),
}
WORKLOADS = [
    Workload(prompt_len=200),
    Workload(prompt_len=40, logits="all"),
    Workload(batch_size=2, prompt_len=50, new_tokens=2),
]
of_each = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def stock(config: dict):
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(**config)).eval()


@of_each
def test_memory(config):
    "Within the 0.2 % that kernels may take for themselves."
    model, a = stock(config), Architecture.from_config(config)
    for workload in WORKLOADS:
        measured = measure_model(model, workload, 1, VISIT)
        assert peak_bytes(a, workload) == pytest.approx(measured.peak_bytes, rel=2e-3)


@of_each
def test_flops(config):
    "A bias and a norm are no products of matrices."
    model, a = stock(config), Architecture.from_config(config)
    model.set_attn_implementation("eager")  # whose products the counter sees
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.ones(1, 20, dtype=torch.long), logits_to_keep=1)
    assert flops(a, Workload(prompt_len=20)) == counter.get_total_flops()
