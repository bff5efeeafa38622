"""ONNX Runtime's targets: every family keeps the contract, graphs are compared, and probes are kept."""

from dataclasses import replace

import numpy as np
import pytest
from kit import slow_but

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from lts_nb.core.cache import cache_folder  # noqa: E402
from lts_nb.core.errors import InputError, MeasurementFailed  # noqa: E402
from lts_nb.core.workload import Workload  # noqa: E402
from lts_nb.formats import onnx_probe, onnx_writer  # noqa: E402
from lts_nb.formats.onnx_checks import TOLERANCE, differences  # noqa: E402
from lts_nb.formats.onnx_export import quantize  # noqa: E402
from lts_nb.formats.onnx_layers import Unlike, small_one  # noqa: E402
from lts_nb.formats.onnx_model import OnnxModel  # noqa: E402
from lts_nb.formats.onnx_writer import family_graph, put_weights, traced_graph  # noqa: E402
from lts_nb.models.build import build  # noqa: E402
from lts_nb.models.small_models import draw_architecture, randomised  # noqa: E402
from lts_nb.profiler.targets import onnx_cpu  # noqa: E402
from lts_nb.profiler.targets.conformance import SMALL, check_target  # noqa: E402
from lts_nb.profiler.targets.onnx_cpu import OnnxCPU, kept_probe  # noqa: E402
from lts_nb.profiler.targets.registry import get_target  # noqa: E402
from lts_nb.profiler.timing import VISIT  # noqa: E402
from lts_nb.space.architecture import Architecture  # noqa: E402

LLAMA = Architecture("llama", 48, (4, 2), (64, 96), vocab_size=200, max_len=32, n_kv_head=(4, 1), d_head=12)
LLAMA = replace(LLAMA, tie_embeddings=False)  # the others tie them
EXAMPLES = dict(
    gpt2=SMALL,
    llama=LLAMA,
    lfm2=replace(LLAMA, backbone="lfm2", n_head=(0, 2), n_kv_head=(0, 1), layer_kind=("conv", "attention")),
)
REQUEST = Workload(1, 8, 2)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


CONTRACTS = [(backbone, name) for backbone in EXAMPLES for name in ("onnx-cpu", "onnx-cpu-int8")]


@pytest.mark.parametrize("backbone, name", slow_but(CONTRACTS, ("gpt2", "onnx-cpu"), ("llama", "onnx-cpu-int8")))
def test_targets_keep_the_contract(cache, backbone, name):
    check_target(get_target(name, cache=cache), EXAMPLES[backbone])


@pytest.mark.parametrize(
    "backbone, logits, narrow",
    [("gpt2", "all", 0), ("opt", "last", 0), ("llama", "all", 0), ("lfm2", "last", 0), ("gpt2", "last", 6)],
)
def test_graphs_that_were_written_compute_what_models_do(tmp_path, backbone, logits, narrow):
    rng, like = np.random.default_rng(5), (EXAMPLES | dict(opt=replace(SMALL, backbone="opt")))[backbone]
    flags = dict(tie_embeddings=like.tie_embeddings, qkv_bias=like.qkv_bias, pre_norm=like.pre_norm)
    flags |= dict(d_head=narrow) if narrow else {}  # heads that do not fill the width
    for _ in range(5):
        a = replace(draw_architecture(backbone, rng, {}), **flags)
        model = randomised(build(a))
        proto, weights = family_graph(a, model, logits)
        put_weights(proto, weights, model)
        onnx.checker.check_model(proto)
        onnx.save(proto, tmp_path / "model.onnx")
        runner = OnnxModel(tmp_path / "model.onnx")
        assert max(case["difference"] for case in differences(model, runner)) < TOLERANCE
        assert runner(np.ones((1, 5), int))[0].shape == (1, 5 if logits == "all" else 1, a.vocab_size)


def test_a_written_graph_is_that_of_the_exporter():
    model = randomised(build(LLAMA))
    written, traced = (graph(model)[0].graph for graph in (lambda m: family_graph(LLAMA, m), traced_graph))
    kinds = [sorted(node.op_type for node in graph.node if node.op_type != "Shape") for graph in (written, traced)]
    heavy = {"MatMul", "Gemm", "Softmax", "Gather", "ReduceMean", "Sigmoid", "Transpose", "Cos"}
    assert [kind for kind in kinds[0] if kind in heavy] == [kind for kind in kinds[1] if kind in heavy]
    assert len(kinds[0]) < 1.1 * len(kinds[1])
    for side in ("input", "output"):
        assert list(getattr(written, side)) == list(getattr(traced, side))


def test_what_cannot_be_written_is_traced(cache):
    narrow = replace(SMALL, d_embed=16)
    with pytest.raises(Unlike, match="not as wide as the layers"):
        family_graph(narrow, build(narrow))
    shaped = replace(SMALL, n_head=(0, 4), d_inner=(64, 0))
    with pytest.raises(Unlike, match="no attention, or no feed-forward part"):
        family_graph(shaped, build(shaped))
    check_timed(cache, replace(narrow, cutoffs=(30, 60), div_val=2))


def check_timed(cache, architecture):
    "A target times it, whoever makes its graph."
    target = OnnxCPU(cache=cache)
    assert target.measure(architecture, REQUEST, VISIT, memory=False).latency_s > 0
    target.close()


@pytest.mark.slow
def test_other_layers_are_traced_and_timed(cache):
    check_timed(cache, replace(SMALL, n_head=(0, 4), d_inner=(64, 0)))
    check_timed(cache, small_one(replace(SMALL, backbone="transformer-xl"), 0))  # what the engine is tried with


def wrong(graph):
    "A graph like this one, with one function changed."

    def call(*args):
        (proto, weights), changed = graph(*args), onnx.ModelProto()
        changed.CopyFrom(proto)
        for node in changed.graph.node:
            node.op_type = dict(Sigmoid="Tanh").get(node.op_type, node.op_type)
        return changed, weights

    return call


def test_nothing_is_timed_that_computes_something_else(monkeypatch, tmp_path):
    def traced(*args):
        made.append(made[0] if made else traced_graph(*args))  # of one model, twice
        return made[-1]

    targets, made = [OnnxCPU(cache=str(tmp_path / name)) for name in ("one", "another")], []
    monkeypatch.setattr(onnx_writer, "family_graph", wrong(family_graph))
    monkeypatch.setattr(onnx_writer, "traced_graph", traced)
    assert targets[0].probe(LLAMA, REQUEST).difference < TOLERANCE  # of the graph that was traced instead
    monkeypatch.setattr(onnx_writer, "traced_graph", wrong(traced))
    with pytest.raises(MeasurementFailed, match="the graph's logits differ from the model's by") as e:
        targets[1].measure(LLAMA, REQUEST, VISIT)
    assert len(made) == 2
    assert "\n" not in str(e.value)


def test_probes_are_kept_by_all_that_determines_them(monkeypatch, tmp_path):
    folder = cache_folder("probes", str(tmp_path))
    probe = kept_probe(LLAMA, "float32", "last", folder)
    (kept,) = folder.glob("*.json")
    assert len(kept.read_text()) < 100_000 < probe.weight_bytes
    monkeypatch.setattr(onnx_cpu, "compared_probe", lambda *_: 1 / 0)
    assert kept_probe(LLAMA, "float32", "last", folder) == probe
    monkeypatch.setattr(onnx_cpu, "version", lambda package: "another")
    for asked in (
        (LLAMA, "float32", "last"),
        (LLAMA, "float32", "all"),
        (LLAMA, "int8", "last"),
        (replace(LLAMA, max_len=16), "float32", "last"),
    ):
        with pytest.raises(ZeroDivisionError):
            kept_probe(*asked, folder)
        monkeypatch.undo()
        monkeypatch.setattr(onnx_cpu, "compared_probe", lambda *_: 1 / 0)


def test_a_damaged_probe_is_made_again(tmp_path):
    folder = cache_folder("probes", str(tmp_path))
    probe = kept_probe(LLAMA, "float32", "last", folder)
    (kept,) = folder.glob("*.json")
    kept.write_text(kept.read_text()[:1000])
    assert kept_probe(LLAMA, "float32", "last", folder) == probe
    assert len(kept.read_text()) > 1000


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    target = OnnxCPU(cache=str(tmp_path / "file"))
    assert target.measure(LLAMA, REQUEST, VISIT, memory=False).latency_s > 0
    target.close()


def test_bytes(cache):
    wide = replace(SMALL, d_model=128, d_inner=(512, 512))
    measured = {}
    for name in ("onnx-cpu", "onnx-cpu-int8"):
        target = get_target(name, cache=cache)
        measured[name] = m = target.measure(wide, REQUEST, VISIT)
        assert m.weight_bytes < m.extra["file_bytes"] < m.weight_bytes + 100_000
        assert m.kv_cache_bytes == 4 * 2 * 2 * 128 * 10
        target.close()
    float32, int8 = measured.values()
    assert float32.weight_bytes == pytest.approx(4 * sum(p.numel() for p in build(wide).parameters()), rel=1e-3)
    assert int8.weight_bytes < 0.3 * float32.weight_bytes
    assert float32.peak_bytes > float32.weight_bytes


def test_too_large_for_a_file(monkeypatch, cache):
    monkeypatch.setattr(onnx_cpu, "LARGEST", 10_000)
    with pytest.raises(MeasurementFailed, match="a graph holds 10,000"):
        OnnxCPU(cache=cache).measure(SMALL, REQUEST, VISIT)


def test_a_missing_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"needs the package onnxscript: pip install 'lts_nb\[onnx\]'"):
        get_target("onnx-cpu")


@pytest.mark.parametrize("options", [dict(threads=0), dict(threads=10**6), dict(dtype="int8"), dict(cores=1)])
def test_wrong_options(options):
    with pytest.raises(InputError) as e:
        get_target("onnx-cpu", **options)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("backbone", EXAMPLES)
def test_stand_ins_give_the_graph_of_true_weights(tmp_path, backbone):
    model = randomised(build(EXAMPLES[backbone]))
    proto, weights = family_graph(EXAMPLES[backbone], model, "last")
    quick = onnx_probe.int8_probe_of(proto, onnx_probe.shapes_of(weights, model), quantize)
    put_weights(proto, weights, model)
    onnx.save(proto, tmp_path / "float32.onnx")
    quantize(tmp_path / "float32.onnx", tmp_path / "int8.onnx")
    expected = onnx.load(tmp_path / "int8.onnx").graph
    made = onnx.load_from_string(quick.contents()[0]).graph
    assert list(made.node) == list(expected.node)
    shapes = {tensor.name: list(tensor.dims) for tensor in expected.initializer}
    found = {tensor.name: list(tensor.dims) for tensor in made.initializer}
    assert found | {name: dims for name, (_, dims) in quick.places.items()} == shapes
