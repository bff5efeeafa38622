"""Graphs in 8 bits that are wrong in one place are found out, whatever the family."""

from dataclasses import replace

import numpy as np
import pytest
from kit import slow_but

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from lts_nb.core.errors import InputError  # noqa: E402
from lts_nb.evaluation.examples import EXAMPLES  # noqa: E402
from lts_nb.formats import onnx_int8  # noqa: E402
from lts_nb.formats.onnx_checks import check_rounding  # noqa: E402
from lts_nb.formats.onnx_int8 import MOST, check_int8, int8_distances, uneven, weights_for  # noqa: E402
from lts_nb.formats.onnx_model import OnnxModel  # noqa: E402

PLAIN = dict(d_embed=None, cutoffs=(), div_val=1)
FAMILIES = {name: replace(EXAMPLES[name], **PLAIN) for name in ("gpt2", "opt", "llama", "lfm2")}
LOGITS = dict(gpt2="all", opt="last", llama="all", lfm2="last")  # as test_onnx_targets has them: traces take seconds


@pytest.fixture(scope="module", params=FAMILIES)
def sound(request, tmp_path_factory):
    "A small model and its graphs: in float32, in 8 bits, and the file of the latter."
    small = uneven(FAMILIES[request.param])
    model, path = onnx_int8.uneven_model(small), tmp_path_factory.mktemp("int8") / "int8.onnx"
    before, after, _ = onnx_int8.graphs_of(model, small, LOGITS[request.param], path)
    return model, before, after, path


def test_a_sound_graph_is_nearer_than_rounding(sound):
    model, before, after, path = sound
    check_rounding(before, after)
    found, rounding = int8_distances(model, weights_for(model, before, after), path)
    assert 0 < found < rounding < 0.2


def test_no_processor_overflows(sound, monkeypatch):
    "ONNX Runtime multiplies no signed weights: two such products do not fit in 16 bits."

    def opened(path):
        graph = onnx.load(path).graph
        types = {each.name: each.data_type for each in graph.initializer}
        found.update(types[node.input[1]] for node in readers(graph, "MatMulInteger"))
        return OnnxModel(path)

    (model, before, after, path), found = sound, set()
    monkeypatch.setattr(onnx_int8, "OnnxModel", opened)
    int8_distances(model, weights_for(model, before, after), path)
    assert found == {onnx.TensorProto.UINT8}


def weight(graph, name):
    return next(each for each in graph.initializer if each.name == name)


def change(graph, name, values):
    weight(graph, name).CopyFrom(onnx.numpy_helper.from_array(values, name))


def square(graph):
    "A weight that stays one of its shape when it is transposed."
    sizes = {each.name: each.dims for each in graph.initializer if each.name.endswith("_quantized")}
    return next((name for name, dims in sizes.items() if dims[0] == dims[1]), None)


def transposed(graph):
    name = square(graph)
    change(graph, name, np.ascontiguousarray(onnx.numpy_helper.to_array(weight(graph, name)).T))


def scales(graph):
    "Names of the scales of matrices, by their length."
    found = {}
    for each in graph.initializer:
        if each.name.endswith("_scale") and each.dims:
            found.setdefault(each.dims[0], []).append(each.name)
    return found


def a_wrong_scale(graph):
    name = max(scales(graph).values(), key=len)[0]
    change(graph, name, onnx.numpy_helper.to_array(weight(graph, name)) * np.float32(1.02))


def a_wrong_zero_point(graph):
    name = next(each.name for each in graph.initializer if each.name.endswith("_zero_point") and not each.dims)
    change(graph, name, onnx.numpy_helper.to_array(weight(graph, name)) + np.uint8(2))


@pytest.mark.parametrize("harm", [transposed, a_wrong_scale, a_wrong_zero_point])
def test_wrong_weights(sound, harm):
    _, before, after, _ = sound
    wrong = onnx.ModelProto()
    wrong.CopyFrom(after)
    if harm is transposed and not square(after.graph):
        pytest.skip("no weight of this family is square")
    harm(wrong.graph)
    with pytest.raises(InputError, match="8 bits move weight .* by .* steps of rounding: must be at most 1"):
        check_rounding(before, wrong)


def readers(graph, kind):
    return [node for node in graph.node if node.op_type == kind]


def exchanged(graph, one, other):
    "Exchange two names wherever they are read."
    names = {one: other, other: one}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]


def swapped_layers(graph):
    "The weights of two layers that are alike, with all that belongs to them."
    taken = [name for node in readers(graph, "MatMulInteger") for name in node.input[1:2]]
    shapes = {each.name: tuple(each.dims) for each in graph.initializer}
    wide = [name.removesuffix("_quantized") for name in taken if shapes[name] == (320, 240)]
    for suffix in ("_quantized", "_scale", "_zero_point"):
        exchanged(graph, wide[0] + suffix, wide[1] + suffix)


def swapped_scales(graph):
    "The scales of weights whose columns are as many, two by two."
    for names in scales(graph).values():
        for one, other in zip(names[::2], names[1::2], strict=False):
            exchanged(graph, one, other)


def no_zero_points(graph):
    "What is multiplied is taken for symmetric."
    for node in readers(graph, "MatMulInteger"):
        node.input[2] = ""


def another_activation(graph):
    "A product of what another one reads, where that is as wide."
    products = readers(graph, "MatMulInteger")
    weights = {each.name: each.dims[0] for each in graph.initializer if each.name.endswith("_quantized")}
    first = products[0]
    other = next(n for n in products if weights[n.input[1]] == weights[first.input[1]] and n.input[0] != first.input[0])
    other.input[0], other.input[2] = first.input[0], first.input[2]


@pytest.mark.parametrize("harm", [swapped_layers, swapped_scales, no_zero_points, another_activation])
def test_wrong_graphs(sound, tmp_path, harm):
    model, before, after, _ = sound
    wrong = onnx.ModelProto()
    wrong.CopyFrom(after)
    harm(wrong.graph)
    check_rounding(before, wrong)  # which this fault escapes
    onnx.save(wrong, tmp_path / "wrong.onnx")
    found, rounding = int8_distances(model, weights_for(model, before, after), tmp_path / "wrong.onnx")
    assert found > MOST * rounding


def test_nothing_is_in_8_bits(sound):
    _, before, _, _ = sound
    with pytest.raises(InputError, match="left every weight as it was"):
        check_rounding(before, before)


@pytest.mark.parametrize("backbone", FAMILIES)
def test_families_pass(backbone):
    check_int8(FAMILIES[backbone], LOGITS[backbone])


@pytest.mark.parametrize("backbone", slow_but(["gpt2", "opt", "transformer-xl"], "gpt2"))
def test_factorised_and_adaptive_embeddings_pass(backbone):
    check_int8(EXAMPLES[backbone], "last")


def test_a_broken_quantizer_is_told_in_one_line(monkeypatch):
    def quantize(source, path):
        right(source, path)
        wrong = onnx.load(path)
        a_wrong_scale(wrong.graph)
        onnx.save(wrong, path)

    right = onnx_int8.quantize
    monkeypatch.setattr(onnx_int8, "quantize", quantize)
    onnx_int8.why_not.cache_clear()
    with pytest.raises(InputError, match=r"8 bits move weight .* \(a small gpt2 in 8 bits\), so nothing is timed") as e:
        check_int8(FAMILIES["gpt2"], "all")
    assert "\n" not in str(e.value)
    onnx_int8.why_not.cache_clear()
