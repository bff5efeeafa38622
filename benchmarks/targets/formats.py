"""What number formats cost trained models in loss; call it again to continue where it stopped.

    python benchmarks/targets/formats.py train FOLDER     # trained models go there; about an hour on one core
    python benchmarks/targets/formats.py cost FOLDER      # formats.json (extras onnx, gguf and llama)

Five Llama on Python's standard library: four of the study's space, and one that is wide enough for K-quants. Losses are
of the same tokens of validation text in every format, so they are compared token by token.
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from lts_nb.core.files import replace_text
from lts_nb.profiler.machine import describe_machine
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace
from lts_nb.training.jobs import draw_evenly_spaced
from lts_nb.training.model_folder import train_model
from lts_nb.training.recipe import Recipe

HERE = Path(__file__).parent
RECIPE = Recipe(tokens=(4_000_000,), dtype="bfloat16")
WIDE = Architecture("llama", 256, (4,) * 4, (512, 768, 1024, 768), 4096, 128, n_kv_head=(1, 4, 1, 4), d_head=64)
ROWS = 96  # of validation text, each as long as the models read


def architectures() -> list[Architecture]:
    "Four of the study's space, from small to large, and a wide one."
    study = replace(SearchSpace.preset("llama-study"), d_model=(64, 96, 128, 192))
    return [*draw_evenly_spaced(study, 4, 80e3, 800e3), WIDE]


def folder_of(root: Path, architecture: Architecture) -> Path:
    "Where a trained model lies."
    return root / architecture.id


def train_all(root: Path):
    "Train what is missing."
    for architecture in architectures():
        found = train_model(architecture, folder_of(root, architecture), recipe=RECIPE, say=None, compiled=True)
        print(
            f"{architecture.id}: {count(architecture).decoder:,} decoder parameters, {found['loss']:.3f} nats",
            flush=True,
        )


def token_losses(logits: np.ndarray, ids: np.ndarray) -> np.ndarray:  # `(B * (T - 1),)` nats
    "The loss of every token but the first."
    logits, ids = torch.as_tensor(logits), torch.as_tensor(ids)
    return cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none").double().numpy()


def validation_ids(architecture: Architecture) -> np.ndarray:  # `(ROWS, max_len)`
    "Validation text as the model's own tokens."
    from lts_nb.training.corpus import get_corpus
    from lts_nb.training.tokens import tokenize

    data = tokenize(get_corpus("stdlib"), architecture.vocab_size)
    rows = np.asarray(data.valid[: len(data.valid) // architecture.max_len * architecture.max_len], np.int64)
    rows = rows.reshape(-1, architecture.max_len)
    return rows[np.linspace(0, len(rows) - 1, ROWS).astype(int)]


def losses_by_format(model, ids: np.ndarray) -> dict:  # format -> loss of each token, `(n,)`
    "The losses of a model in every format that its widths allow."
    from lts_nb.core.errors import InputError
    from lts_nb.formats.gguf_checks import logits_in_llama_cpp, logits_of, to_checked_gguf
    from lts_nb.formats.gguf_layout import FORMATS
    from lts_nb.formats.onnx_export import to_onnx
    from lts_nb.formats.onnx_model import OnnxModel

    found = {"PyTorch float32": token_losses(logits_of(model, ids), ids)}
    with tempfile.TemporaryDirectory() as folder:
        for int8 in (False, True):
            path = Path(folder) / f"{int8}.onnx"
            to_onnx(model, path, int8=int8, ids=ids[:4])
            found[f"ONNX Runtime {'int8' if int8 else 'float32'}"] = token_losses(OnnxModel(path)(ids)[0], ids)
        for dtype in FORMATS:
            path = Path(folder) / f"{dtype}.gguf"
            try:
                to_checked_gguf(model, path, dtype, ids=ids[:4])
            except InputError as error:
                print(f"{dtype}: {error}")
                continue
            found[f"llama.cpp {dtype}"] = token_losses(logits_in_llama_cpp(path, ids, "float16"), ids)
    return found


def cost_of_formats(root: Path):
    "Compare every format with PyTorch, token by token."
    from lts_nb.evaluation.stored_models import open_backbone_model

    rows = []
    for architecture in architectures():
        if not (folder_of(root, architecture) / "training.json").exists():
            print(f"{architecture.id}: is not trained yet")
            continue
        model, ids = open_backbone_model(folder_of(root, architecture))[0].eval(), validation_ids(architecture)
        losses = losses_by_format(model, ids)
        plain = losses["PyTorch float32"]
        formats = {}
        for name, each in losses.items():
            error = (each - plain).std(ddof=1) / np.sqrt(len(each))
            formats[name] = dict(loss=each.mean(), rise=(each - plain).mean(), standard_error=error)
        counted = dict(decoder_params=count(architecture).decoder, total_params=count(architecture).total)
        rows.append(
            dict(architecture=json.loads(architecture.to_json()), tokens=len(plain), **counted, formats=formats)
        )
        print(architecture.id, {name: f"{found['rise']:+.4f}" for name, found in formats.items()}, flush=True)
    replace_text(HERE / "formats.json", json.dumps(dict(machine=describe_machine(), rows=rows), indent=1))


if __name__ == "__main__":
    step, place = sys.argv[1:]
    dict(train=train_all, cost=cost_of_formats)[step](Path(place))
