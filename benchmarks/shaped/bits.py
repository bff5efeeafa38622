"""The parent at fewer bits: weights rounded as GGUF files hold them, computed with in PyTorch."""

import copy

import numpy as np
import torch

from lts_nb.formats.gguf_blocks import block_size, pack, unpack
from lts_nb.formats.gguf_layout import gguf_package

FORMATS = ("Q8_0", "Q6_K", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL", "Q3_K", "Q2_K")
FALLBACK = dict(Q2_K="IQ4_NL", Q3_K="IQ4_NL", Q4_K="Q5_0", Q5_K="Q5_1", Q6_K="Q8_0")
"What llama.cpp takes for a matrix whose rows are no multiple of a type's block; float16 where nothing is said."


def kind_for(columns: int, kind: str) -> str:
    "The type in which a matrix is held."
    while columns % block_size(kind)[0]:
        kind = FALLBACK.get(kind, "F16")
    return kind


def quantize(values: np.ndarray, kind: str) -> np.ndarray:
    "A matrix as a type holds it. Raises `InputError` where ggml is needed for it and missing."
    package = gguf_package()
    try:
        return package.quants.quantize(values, package.constants.GGMLQuantizationType[kind])
    except NotImplementedError:
        return pack(values, kind)


@torch.no_grad()
def rounded(model, kind: str) -> tuple:  # model; bytes of its decoder's weights
    "A copy of a model whose decoder's matrices are rounded; embedding, output layer and norms stay as they are."
    found, n_bytes = copy.deepcopy(model), 0
    for layer in decoder_of(found):
        for weight in layer.parameters():
            if weight.dim() == 2:
                values = weight.detach().numpy()
                packed = quantize(values, kind_for(values.shape[1], kind))
                n_bytes += packed.nbytes
                weight.copy_(torch.from_numpy(unpack(packed, kind_for(values.shape[1], kind)).reshape(values.shape)))
            else:
                n_bytes += 4 * weight.numel()
    return found, n_bytes


def decoder_of(model):  # `nn.ModuleList`
    "The layers of a Llama."
    return model.model.layers
