"""Graphs that are wrong in one place are found out."""

import pytest
from evaluation_samples import model_of

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from lts_nb.evaluation.examples import EXAMPLES, random_model  # noqa: E402
from lts_nb.formats.onnx_checks import TOLERANCE, differences  # noqa: E402
from lts_nb.formats.onnx_model import OnnxModel  # noqa: E402
from lts_nb.formats.onnx_writer import family_graph, put_weights  # noqa: E402


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    model, path = model_of("llama"), tmp_path_factory.mktemp("onnx") / "llama.onnx"
    proto, weights = family_graph(EXAMPLES["llama"], model)
    put_weights(proto, weights, model)
    onnx.save(proto, path)
    return path


def largest(model, path):
    return max(found["difference"] for found in differences(model, OnnxModel(path)))


def swap(graph, a, b):
    names = {a: b, b: a}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def ignore_what_was_before(graph):
    for node in graph.node:
        if node.op_type == "CumSum":
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]


def see_padding(graph):
    for node in graph.node:
        if node.op_type == "Greater":
            node.op_type = "GreaterOrEqual"


@pytest.mark.parametrize(
    "change",
    [
        lambda graph: swap(graph, "past_key_values.1.key", "past_key_values.1.value"),
        lambda graph: swap(graph, "present.0.key", "present.0.value"),
        ignore_what_was_before,
        see_padding,
    ],
    ids=["past", "present", "positions", "padding"],
)
def test_wrong(sound, tmp_path, change):
    proto = onnx.load(sound)
    change(proto.graph)
    onnx.save(proto, tmp_path / "wrong.onnx")
    assert largest(model_of("llama"), tmp_path / "wrong.onnx") > 2 * TOLERANCE


def test_other_weights(sound):
    assert largest(model_of("llama"), sound) < TOLERANCE / 20
    assert largest(random_model(EXAMPLES["llama"], seed=1), sound) > 2 * TOLERANCE
