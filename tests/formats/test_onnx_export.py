"""Every backbone as a graph, in float32 and in int8; full disks and missing packages leave no file."""

import sys

import numpy as np
import pytest
import torch
from evaluation_samples import model_of
from kit import slow_but

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from lts_nb.core.errors import InputError  # noqa: E402
from lts_nb.evaluation.examples import EXAMPLES, random_model  # noqa: E402
from lts_nb.formats import onnx_export  # noqa: E402
from lts_nb.formats.onnx_checks import TOLERANCE  # noqa: E402
from lts_nb.formats.onnx_export import to_onnx  # noqa: E402
from lts_nb.formats.onnx_graph import cache_inputs  # noqa: E402
from lts_nb.formats.onnx_model import OnnxModel  # noqa: E402
from lts_nb.space.architecture import Architecture  # noqa: E402


@pytest.mark.parametrize("backbone", slow_but(EXAMPLES, "transformer-xl"))
def test_backbones(tmp_path, backbone):
    model, path = model_of(backbone), tmp_path / "model.onnx"
    found = to_onnx(model, path)
    assert found["difference"] < TOLERANCE / 20 and found["bytes"] < 4 * model.num_parameters() + 120_000
    prompts = torch.randint(400, (3, 8), generator=torch.Generator().manual_seed(0))
    expected = model.generate(prompts, max_new_tokens=24, min_new_tokens=24, do_sample=False, pad_token_id=0)
    assert torch.equal(torch.tensor(OnnxModel(path).generate(prompts, 24)), expected)
    small = to_onnx(model, tmp_path / "small.onnx", int8=True, source=path)
    check_int8(model, onnx.load(tmp_path / "small.onnx").graph, 0.1 if backbone == "transformer-xl" else 0.02)
    assert small["bytes"] < found["bytes"] and 0 < small["mean_difference"] < 0.05


SHAPED = dict(n_head=(0, 6, 2), d_inner=(64, 0, 96), vocab_size=97, max_len=64)
SHAPED_ONES = [
    Architecture("llama", 48, n_kv_head=(0, 3, 1), d_head=8, **SHAPED),
    Architecture("gpt2", 48, **SHAPED),
]


@pytest.mark.parametrize("architecture", slow_but(SHAPED_ONES, *SHAPED_ONES[:1]), ids=lambda a: a.backbone)
def test_layers_that_lack_a_half(tmp_path, architecture):
    "The graph has a past for layers that attend, numbered among themselves."
    model, path = random_model(architecture), tmp_path / "model.onnx"
    layout = cache_inputs(model)
    assert list(layout) == [f"past_key_values.{i}.{name}" for i in (0, 1) for name in ("key", "value")]
    assert [shape[0] for shape in layout.values()] == ([3, 3, 1, 1] if architecture.n_kv_head else [6, 6, 2, 2])
    assert to_onnx(model, path)["difference"] < TOLERANCE / 20
    prompts = torch.randint(97, (3, 8), generator=torch.Generator().manual_seed(0))
    expected = model.generate(prompts, max_new_tokens=24, min_new_tokens=24, do_sample=False, pad_token_id=0)
    assert torch.equal(torch.tensor(OnnxModel(path).generate(prompts, 24)), expected)
    small = to_onnx(model, tmp_path / "small.onnx", int8=True, source=path)
    assert 0 < small["mean_difference"] < 0.05


def check_int8(model, graph, most):
    "Every large matrix is in 8 bits, and none is turned back into floats for every token."
    sizes = [np.prod(w.dims) for w in graph.initializer if w.data_type == onnx.TensorProto.FLOAT and len(w.dims) > 1]
    assert sum(sizes) < most * model.num_parameters()
    looked_up = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    assert not any(node.op_type == "Transpose" and node.input[0] in looked_up for node in graph.node)


def test_full_disk(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx_export, "trace_graph", lambda model: onnx.ModelProto())
    monkeypatch.setattr(onnx, "save", full)
    with pytest.raises(OSError, match="No space left"):
        to_onnx(model_of("opt"), tmp_path / "full.onnx")
    assert not list(tmp_path.iterdir())


def test_packages_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"pip install 'lts_nb\[onnx\]'"):
        to_onnx(model_of("opt"), tmp_path / "none.onnx")
    assert not list(tmp_path.iterdir())


def test_no_cache():
    from transformers import MambaConfig, MambaForCausalLM

    mamba = MambaForCausalLM(MambaConfig(hidden_size=8, num_hidden_layers=1, vocab_size=9, state_size=2))
    with pytest.raises(InputError, match="MambaForCausalLM returns no KV cache"):
        cache_inputs(mamba)
