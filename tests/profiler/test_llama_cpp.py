"""The target llama-cpp: what it refuses, what it sends, and what it measures where llama.cpp is installed."""

import contextlib
import os
import sys
import threading
import time
import warnings
from dataclasses import replace

import numpy as np
import psutil
import pytest

gguf = pytest.importorskip("gguf")

from lts_nb.core.errors import InputError, MeasurementFailed, Remark  # noqa: E402
from lts_nb.core.workload import Workload  # noqa: E402
from lts_nb.formats.gguf_header import gguf_probe  # noqa: E402
from lts_nb.formats.gguf_layout import FORMATS  # noqa: E402
from lts_nb.profiler.targets import linked, runner  # noqa: E402
from lts_nb.profiler.targets.conformance import check_samples, check_target  # noqa: E402
from lts_nb.profiler.targets.llama_cpp import LlamaCpp, check_choices, small_architecture  # noqa: E402
from lts_nb.profiler.targets.registry import describe_target, get_target  # noqa: E402
from lts_nb.profiler.timing import VISIT, Effort  # noqa: E402
from lts_nb.space.architecture import Architecture  # noqa: E402
from lts_nb.space.memory import kv_cache_bytes  # noqa: E402
from lts_nb.space.space import SearchSpace  # noqa: E402

EFFORT = Effort(warmup=1, repetitions=2, seconds=0.0)
SMALL = small_architecture("llama", "q8_0")
ALL_ATTENTION = Architecture("lfm2", 64, (2, 2), (64, 64), 300, 64, n_kv_head=(1, 1), d_head=32)


def made(tmp_path, **options) -> LlamaCpp:
    return LlamaCpp(cache=str(tmp_path), **options)


def test_made_from_its_description(tmp_path):
    target = made(tmp_path, dtype="q4_0", kv="float32")
    again = get_target(**describe_target(target))
    assert (again.dtype, again.kv, again.key) == ("q4_0", "float32", target.key)
    assert target.runner_engine == "llama-f32" and not target.times_parts and target.memory_form() is None


@pytest.mark.parametrize("dtype, multiple", [("q8_0", 32), ("q4_0", 32), ("q4_k_m", 256), ("q6_k", 256)])
def test_refused_widths(tmp_path, dtype, multiple):
    target = made(tmp_path, dtype=dtype)
    odd = Architecture("llama", multiple, (2,), (multiple + 16,), 100, d_head=multiple // 2)
    with pytest.raises(InputError, match=f"^d_inner={multiple + 16}: {dtype} takes widths that are multiples of"):
        target.check_runs(odd)
    space = SearchSpace.preset(
        "llama", d_model=[256, 300], d_inner=[512, 520], n_head=[4], n_kv_head=2, vocab_size=1000, d_head=64
    )
    with pytest.raises(InputError) as caught:
        target.check_space(space)
    allowed = f"({dtype} takes multiples of {multiple})"
    assert str(caught.value) == f"d_model: leave out 300 {allowed}; d_inner: leave out 520 {allowed}"
    target.check_space(replace(space, d_model=(256,), d_inner=(512,)))
    made(tmp_path, dtype="float16").check_space(space)


def test_refused_spaces(tmp_path):
    target = made(tmp_path)
    with pytest.raises(InputError, match="d_embed: leave out 128 .llama.cpp has no adaptive embedding.$"):
        target.check_space(SearchSpace.preset("llama", d_embed=[128, 0]))
    with pytest.raises(InputError, match="n_layer: leave out 513 "):
        check_choices(SearchSpace.preset("llama", n_layer=[2, 513]), "float32")
    with pytest.raises(InputError, match="^d_model: leave out 384, .*; d_inner: leave out .*; n_head: leave out 8, 16"):
        target.check_space(SearchSpace.preset("lfm2"))
    for backbone in ("gpt2", "opt", "transformer-xl"):
        with pytest.raises(InputError, match=f"^backbone='{backbone}': target 'llama-cpp' runs llama and lfm2$"):
            target.check_space(SearchSpace.preset(backbone))


def test_every_member_of_a_space_that_is_accepted_can_be_written():
    spaces = dict(
        llama=SearchSpace.preset(
            "llama", d_model=[256, 512], d_inner=[512, 768], n_head=[4, 8], d_head=64, vocab_size=50
        ),
        lfm2=SearchSpace.preset("lfm2", d_model=512, d_inner=512, n_head=8, n_kv_head=[2, 4], vocab_size=50),
    )
    for backbone, space in spaces.items():
        for dtype in FORMATS:
            check_choices(space, dtype)
            for member in space.sample(20, 0):
                if backbone == "llama" or not all(member.n_head):
                    assert gguf_probe(member, dtype).weight_bytes > 0


def test_what_llama_cpp_cannot_run_is_a_result(tmp_path):
    "A hybrid space has members without a convolution; a search goes on."
    target = made(tmp_path)
    target.check_runs(ALL_ATTENTION)
    with pytest.raises(MeasurementFailed, match="needs a convolution in at least one layer"):
        target.measure(ALL_ATTENTION, Workload(1, 8))


def test_gguf_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(InputError, match=r"pip install 'lts_nb\[gguf\]'"):
        LlamaCpp()


# --- where llama.cpp is installed


@pytest.fixture
def built():
    pytest.importorskip("llama_cpp")


@pytest.mark.parametrize("backbone", ["llama", "lfm2"])
def test_contract(tmp_path, built, backbone):
    check_target(made(tmp_path, dtype="q4_0"), small_architecture(backbone, "q4_0"))


@pytest.mark.parametrize("dtype", FORMATS)
def test_every_format(tmp_path, built, dtype):
    for backbone in ("llama", "lfm2"):
        architecture, target = small_architecture(backbone, dtype), made(tmp_path, dtype=dtype)
        m = target.measure(architecture, Workload(2, 8, 3), EFFORT)
        check_samples(target, m, Workload(2, 8, 3), 2)
        assert m.weight_bytes == gguf_probe(architecture, dtype).weight_bytes
        assert m.weight_bytes < m.extra["file_bytes"] < m.weight_bytes + 5000
        target.close()


def test_cache_of_keys_and_values(tmp_path, built):
    "As many bytes as the formula says for a context of 256, the next multiple; llama.cpp says hundredths of a MiB."
    deep = Architecture("llama", 64, (4, 8) * 8, (64,) * 16, 100, 300, n_kv_head=(4, 2) * 8, d_head=64)
    for kv, n_bytes in (("float16", 2), ("float32", 4)):
        target = made(tmp_path, kv=kv)
        m = target.measure(deep, Workload(1, 200, 1), VISIT)
        assert abs(m.kv_cache_bytes - kv_cache_bytes(deep, 1, 256, n_bytes)) <= 0.01 * 2**20
        target.close()


def test_memory_is_that_of_a_fresh_process(tmp_path, built):
    "It holds the mapped file and what is reserved."
    large = Architecture("llama", 512, (8,) * 8, (2048,) * 8, 8000, 64, n_kv_head=(8,) * 8, d_head=64)
    target = made(tmp_path)
    m = target.measure(large, Workload(1, 16, 2), VISIT)
    assert m.weight_bytes + m.kv_cache_bytes < m.peak_bytes < 1.6 * m.weight_bytes + 2**26
    assert m.rss_bytes <= m.peak_bytes
    assert target.measure(large, Workload(1, 16, 2), VISIT, memory=False).rss_bytes is None
    target.close()


def test_an_engine_that_errs_times_nothing(tmp_path, built, monkeypatch):
    target = made(tmp_path)
    monkeypatch.setattr(linked, "CHECKED", {})
    asked, ask = [], target.link.ask

    def wrong(question, *args, **options):
        asked.append(question)
        value = ask(question, *args, **options)
        return (np.array(value) + np.arange(300)).tolist() if question == "logits" else value

    monkeypatch.setattr(target.link, "ask", wrong)
    told = "^target='llama-cpp': a small llama in float32 gives logits that differ from PyTorch's"
    with pytest.raises(InputError, match=told):
        target.measure(SMALL, Workload(1, 8), EFFORT)
    assert "measure" not in asked
    target.close()


def test_the_engine_that_is_timed_is_tried_once(tmp_path, built, monkeypatch):
    "With its own threads and number formats; another cache of keys and values is another engine."
    monkeypatch.setattr(linked, "CHECKED", {})
    asked = []
    for kv in ("float32", "float16", "float16"):
        target = made(tmp_path, kv=kv)
        ask = target.link.ask
        monkeypatch.setattr(target.link, "ask", lambda *a, ask=ask, **q: asked.append((*a, q)) or ask(*a, **q))
        for d_inner in (64, 96):
            m = target.measure(replace(SMALL, d_inner=(d_inner,) * 2), Workload(1, 8), EFFORT, memory=False)
            assert m.extra["logits_checked"] == 1
        target.close()
    tried = [(q["engine"], q["threads"]) for question, *_, q in asked if question == "logits"]
    assert tried == [("llama-f32", 1), ("llama", 1)]


def test_what_rounding_is(tmp_path, built):
    "Logits of the right engine stay well within what is allowed, and those of another model do not."
    for dtype in FORMATS:
        target = made(tmp_path, dtype=dtype)
        trial = target.trial(target.small(SMALL))
        asked = dict(engine="llama", threads=1, tokens=trial.tokens.tolist())
        found = np.array(target.link.ask("logits", file=target.link.put(trial.content), **asked))
        assert linked.logits_apart(found, trial.logits) <= trial.most < 0.3
        assert linked.logits_apart(found[:, ::-1], trial.logits) > 2 * trial.most
        target.close()


# --- where there is llama.cpp's own program only

BENCH = """#!{python}
import json, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
if "--version" in sys.argv:
    print("version: 1.2.3 (made up)")
elif given["-m"].endswith("bad"):
    sys.exit("error: failed to load model")
else:
    seconds = 0.5 * int(given["-p"]) + 0.25 * int(given["-n"]) + 0.125 * int(given["-d"])
    print(json.dumps([dict(samples_ns=[int(1e9 * seconds)] * int(given["-r"]))]))
"""


@pytest.fixture
def bench(tmp_path, monkeypatch):
    "A program of that name whose seconds are a formula of what it is asked."
    program = tmp_path / "bin" / "llama-bench"
    program.parent.mkdir()
    program.write_text(BENCH.format(python=sys.executable), encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setattr(runner.importlib.util, "find_spec", lambda name: None)
    return runner.engine_class("llama")


def test_llama_bench(bench, tmp_path):
    engine = bench(tmp_path / "model", 3)
    workload = dict(batch_size=1, prompt_len=8, new_tokens=4, logits="last")
    found = engine.samples(workload, dict(repetitions=2, seconds=0.0))
    assert found["prefill_s"] == [[4.0, 4.0]] * 2  # 8 tokens read, with nothing before them
    assert found["decode_s"] == [[2.0, 2.0]] * 2  # 4 tokens written after 8
    assert len(found["reference_s"]) == 2
    assert (
        engine.samples(workload | dict(new_tokens=0), dict(repetitions=2, seconds=0.0))["decode_s"] == [[0.0, 0.0]] * 2
    )


@pytest.mark.parametrize("change", [dict(batch_size=2), dict(logits="all")])
def test_llama_bench_has_limits(bench, tmp_path, change):
    workload = dict(batch_size=1, prompt_len=8, new_tokens=0, logits="last") | change
    with pytest.raises(runner.Refused, match="measures batch_size=1 and logits='last' only"):
        bench(tmp_path / "model", 1).samples(workload, dict(repetitions=1, seconds=0.0))


def test_llama_bench_fails(bench, tmp_path):
    workload = dict(batch_size=1, prompt_len=8, new_tokens=0, logits="last")
    with pytest.raises(runner.Refused, match="^llama-bench failed .error: failed to load model.$"):
        bench(tmp_path / "bad", 1).samples(workload, dict(repetitions=1, seconds=0.0))


def test_llama_bench_has_one_cache_of_keys_and_values(bench):
    with pytest.raises(runner.Refused, match="^kv='float32': is not what llama-bench can do; take kv='float16', or"):
        runner.engine_class("llama-f32")


def test_a_program_that_does_not_start(bench):
    program = runner.LlamaBench.program()
    with open(program, "wb") as file:
        file.write(b"\x7fELF for another processor")
    assert runner.run_program([program]).returncode
    with pytest.raises(runner.Refused, match="^llama-bench failed"):
        bench("model", 1).seconds(1, 0, 0, 1)


@pytest.fixture
def bench_only(bench, tmp_path, monkeypatch):
    "A target whose runner finds the program, and no package."
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['llama_cpp'] = None")
    monkeypatch.setattr(linked, "CHECKED", {})
    target = made(tmp_path / "cache")
    target.link.environment = target.link.environment | dict(PYTHONPATH=str(tmp_path), PATH=os.environ["PATH"])
    yield target
    target.close()


def test_what_gives_no_logits_is_timed_unchecked(bench_only):
    "It is said once, whatever is measured afterwards."
    with pytest.warns(Remark, match="^target='llama-cpp': its engine gives no logits, so what it computes is timed"):
        m = bench_only.measure(SMALL, Workload(1, 8, 4), EFFORT, memory=False)
    assert m.extra["logits_checked"] == 0 and m.prefill_s == 4.0
    with warnings.catch_warnings(action="error"):
        lfm2 = small_architecture("lfm2", "float32")
        assert bench_only.measure(lfm2, Workload(1, 8, 4), EFFORT, memory=False).extra["logits_checked"] == 0


def test_a_program_ends_with_who_asked_for_it(bench_only, tmp_path):
    "Nothing goes on computing for nobody."
    link, started = bench_only.link, tmp_path / "started"
    program = f"#!/bin/sh\necho $$ > {started}.part\nmv {started}.part {started}\nexec sleep 100\n"
    (tmp_path / "bin" / "llama-bench").write_text(program, encoding="utf-8")
    asked = dict(workload=Workload(1, 8).as_dict(), effort=dict(repetitions=1, seconds=0), vocab_size=300)
    asked |= dict(engine="llama", file=link.put(b"x"), threads=1, memory=False)

    def ask():
        with contextlib.suppress(MeasurementFailed):
            link.ask("measure", **asked)

    thread = threading.Thread(target=ask)
    thread.start()
    while not started.exists() and thread.is_alive():
        time.sleep(0.01)
    process = psutil.Process(int(started.read_text()))
    link._process.stdin.close()
    process.wait(30)  # or it raises
    thread.join()
