"""A backbone from outside the package: a family of thirty lines, and below it its torch twin.

The toy is a GPT-2 without positions, biases and final norm: the least that still has attention.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast

from lts_nb.space.families.contract import Family


class ToyFamily(Family):
    "Counts of the toy; everything else is as the contract has it for plain decoders."

    def layer_params(self, fixed, d_model, d_inner, n_head, n_kv_head):
        "Parameters of a layer: four square matrices, two of the feed-forward, two gains."
        return 4 * d_model * d_model + 0 * n_head, 2 * d_model * d_inner, 2 * d_model + 0 * np.asarray(d_inner)

    def final_norm_params(self, fixed, d_model):
        "A gain."
        return d_model


FAMILY = ToyFamily(
    name="toy",
    display_name="Toy",
    year=2026,
    source="written for a test",
    fields=frozenset(),
    presets={"toy": dict(n_layer=[1, 2], d_model=[32, 64], d_inner=[64, 128], n_head=[2, 4], vocab_size=100)},
    model="toy_twin",
)


class ToyConfig(PreTrainedConfig):
    "One entry a layer."

    model_type = "lts_toy"
    vocab_size: int = 100
    hidden_size: int = 32
    max_position_embeddings: int = 192
    layer_n_head: list | None = None
    layer_d_inner: list | None = None
    tie_word_embeddings: bool = True

    @property
    def num_hidden_layers(self) -> int:
        return len(self.layer_n_head or ())


class ToyLayer(nn.Module):
    "Attention and feed-forward, each after its norm."

    def __init__(self, d_model: int, n_head: int, d_inner: int, index: int):
        super().__init__()
        self.n_head, self.index = n_head, index
        self.norm_1, self.norm_2 = nn.RMSNorm(d_model), nn.RMSNorm(d_model)
        self.qkv, self.out = nn.Linear(d_model, 3 * d_model, bias=False), nn.Linear(d_model, d_model, bias=False)
        self.up, self.down = nn.Linear(d_model, d_inner, bias=False), nn.Linear(d_inner, d_model, bias=False)

    def forward(self, x, cache=None):
        q, k, v = (
            part.unflatten(-1, (self.n_head, -1)).transpose(1, 2) for part in self.qkv(self.norm_1(x)).chunk(3, -1)
        )
        if cache is not None:
            k, v = cache.update(k, v, self.index)
        mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=x.device).tril(k.shape[2] - q.shape[2])
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2))
        return x + self.down(F.relu(self.up(self.norm_2(x))))


class ToyForCausalLM(PreTrainedModel, GenerationMixin):
    "The toy as an ordinary causal language model."

    config_class = ToyConfig
    _tied_weights_keys = {"lm_head.weight": "embed.weight"}
    _supports_sdpa = True

    def __init__(self, config: ToyConfig):
        super().__init__(config)
        d = config.hidden_size
        self.embed = nn.Embedding(config.vocab_size, d)
        shapes = zip(config.layer_n_head, config.layer_d_inner, strict=True)
        self.layers = nn.ModuleList(ToyLayer(d, n_head, d_inner, i) for i, (n_head, d_inner) in enumerate(shapes))
        self.norm = nn.RMSNorm(d)
        self.lm_head = nn.Linear(d, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self):
        return self.embed

    def forward(self, input_ids, past_key_values=None, use_cache=None, logits_to_keep=0, **kwargs):
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        x = self.embed(input_ids)
        for layer in self.layers:
            x = layer(x, past_key_values)
        logits = self.lm_head(self.norm(x)[:, -logits_to_keep:])
        return CausalLMOutputWithPast(logits=logits, past_key_values=past_key_values if use_cache else None)


# --- what `lts_nb.models.build` asks a twin for

CONFIG, MODEL = ToyConfig, ToyForCausalLM


def config_of(architecture) -> ToyConfig:
    "The configuration of an architecture."
    return ToyConfig(
        vocab_size=architecture.vocab_size,
        hidden_size=architecture.d_model,
        max_position_embeddings=architecture.max_len,
        layer_n_head=list(architecture.n_head),
        layer_d_inner=list(architecture.d_inner),
    )


def architecture_fields(config) -> dict:
    "Arguments of `Architecture`, from a configuration."
    return dict(
        d_model=config.hidden_size,
        n_head=tuple(config.layer_n_head),
        d_inner=tuple(config.layer_d_inner),
        vocab_size=config.vocab_size,
        max_len=config.max_position_embeddings,
    )


def part_modules(model) -> list:
    "Modules that begin a part of the forward pass: attention and feed-forward of each layer, and what follows."
    return [module for layer in model.layers for module in (layer, layer.norm_2)] + [model.norm]
