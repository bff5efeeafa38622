"The twin of a toy family: XGLM, a plain decoder of transformers, with sizes of its own in each layer."

import copy

from torch import nn
from transformers import XGLMConfig, XGLMForCausalLM
from transformers.models.xglm.modeling_xglm import XGLMDecoderLayer


class ToyConfig(XGLMConfig):
    "XGLM with one entry a layer."

    model_type = "toy"
    layer_heads: list | None = None
    layer_widths: list | None = None

    def layer(self, i):
        "The configuration as layer `i` sees it."
        view = copy.copy(self)
        view.attention_heads, view.ffn_dim = self.layer_heads[i], self.layer_widths[i]
        return view


class ToyForCausalLM(XGLMForCausalLM):
    "XGLM with layers that differ."

    config_class = ToyConfig

    def __init__(self, config):
        super().__init__(config)
        self.model.layers = nn.ModuleList(XGLMDecoderLayer(config.layer(i), i) for i in range(config.num_layers))
        for layer in self.model.layers:
            layer.self_attn.config = config
        self.post_init()


CONFIG, MODEL = ToyConfig, ToyForCausalLM


def config_of(architecture):
    "The configuration of an architecture."
    return ToyConfig(
        vocab_size=architecture.vocab_size,
        max_position_embeddings=architecture.max_len,
        d_model=architecture.d_model,
        num_layers=architecture.n_layer,
        attention_heads=architecture.n_head[0],
        layer_heads=list(architecture.n_head),
        layer_widths=list(architecture.d_inner),
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )


def architecture_fields(config):
    "Fields of the architecture that a configuration was made from."
    return dict(
        d_model=config.d_model,
        n_head=config.layer_heads,
        d_inner=config.layer_widths,
        vocab_size=config.vocab_size,
        max_len=config.max_position_embeddings,
    )


def part_modules(model):
    "The modules that begin a part of the forward pass."
    return [part for layer in model.model.layers for part in (layer, layer.final_layer_norm)] + [model.model.layer_norm]
