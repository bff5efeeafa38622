"""Traces of families are made once, by all that they hang on, and a damaged one is made again."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace

import pooch
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from lts_nb.core import cache  # noqa: E402
from lts_nb.core.cache import content_key, kept  # noqa: E402
from lts_nb.core.errors import InputError  # noqa: E402
from lts_nb.core.files import write_json  # noqa: E402
from lts_nb.formats import onnx_graph, onnx_layers  # noqa: E402
from lts_nb.formats.onnx_layers import Pair, Unlike, kept_trace, read_trace, small_one, trace_text  # noqa: E402
from lts_nb.profiler.targets.conformance import SMALL  # noqa: E402

FLAGS = small_one(SMALL, 0)
ONE_OF_TWO = """
import sys, time
from pathlib import Path
from lts_nb.core.cache import kept
place, own, other = Path(sys.argv[1]), *sys.argv[2:]
(place / own).touch()
def make():
    "Ends when the other process has come, and a little later."
    while not (place / other).exists():
        time.sleep(0.02)
    time.sleep(0.3)
    print("made", end=" ")
    return own
print(kept(place / "key.json", str, make))
"""


def test_one_of_two_processes_makes(tmp_path):
    commands = [[sys.executable, "-c", ONE_OF_TWO, tmp_path, *names] for names in ("ab", "ba")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    said = sorted(process.communicate()[0].split() for process in both)
    assert said in ([["a"], ["made", "a"]], [["b"], ["made", "b"]])


def test_a_trace_is_small_and_says_nothing_of_this_machine(monkeypatch):
    def noted(path, read, make):
        return kept(path, lambda text: texts.append(text) or read(text), make)

    texts = []
    monkeypatch.setattr(onnx_layers, "kept", noted)
    Pair(FLAGS, "last")
    assert len(texts) == 2 and max(map(len, texts)) < 200_000
    for text in texts:
        raw = read_trace(text)[0].SerializeToString()
        assert b"site-packages" not in raw and b".py" not in raw  # no path of this machine


def text_of(unlike: str) -> str:
    content = ["", {}, unlike]
    return write_json("onnx_trace", 1, dict(content=content, digest=content_key(content)))


@pytest.fixture
def made(monkeypatch, tmp_path):
    "What was traced into an empty cache, where tracing takes no time and finds that there is no trace."
    made = []
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path)
    monkeypatch.setattr(onnx_layers, "trace_text", lambda *asked: made.append(asked) or text_of("no trace"))
    return made


def ask(architecture=FLAGS, logits="all"):
    with pytest.raises(Unlike, match="no trace"):
        kept_trace(architecture, logits)


def test_what_was_traced_is_not_traced_again(made):
    ask()
    ask()
    assert made == [(FLAGS, "all")]


@pytest.mark.parametrize("package", [*onnx_graph.MAKERS, None])
def test_another_version_traces_again(monkeypatch, made, package):
    ask()
    if package:
        version_of = onnx_graph.version_of
        monkeypatch.setattr(onnx_graph, "version_of", lambda name: "0" if name == package else version_of(name))
    else:
        monkeypatch.setattr(onnx_graph, "source_hash", lambda twin: "another")
    ask()
    ask()
    assert len(made) == 2


@pytest.mark.parametrize(
    "asked",
    [(FLAGS, "last"), (small_one(SMALL, 1), "all"), (replace(FLAGS, max_len=32), "all")],
)
def test_another_graph_is_traced(made, asked):
    ask()
    ask(*asked)
    assert len(made) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:50],
        lambda text: text.replace("no trace", "a trace"),
        lambda text: text.replace('"version": 1', '"version": 2'),
        lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != "content"}),
        lambda text: "\0" * len(text),
        lambda text: "",
    ],
)
def test_a_damaged_trace_is_made_again(made, tmp_path, damage):
    ask()
    (path,) = (tmp_path / "traces").glob("*.json")
    text = path.read_text()
    path.write_text(damage(text))
    ask()
    assert len(made) == 2 and path.read_text() == text


def test_a_cache_that_cannot_be_written(monkeypatch, made, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "file")
    passing = tempfile.TemporaryDirectory(dir=tmp_path)
    monkeypatch.setattr(cache, "passing_folder", lambda: passing)
    ask()
    ask()
    assert len(made) == 1


def test_the_code_of_a_model_is_part_of_the_key(monkeypatch, tmp_path):
    def hashed():
        onnx_graph.source_hash.cache_clear()
        return onnx_graph.source_hash("my_twin_in_tests")

    (tmp_path / "my_twin_in_tests.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("my_twin_in_tests")
    found = [hashed(), hashed()]
    (tmp_path / "my_twin_in_tests.py").write_text("a = 1")
    found.append(hashed())
    (tmp_path / "beside.py").write_text("b = 1")
    found.append(hashed())
    monkeypatch.delattr(sys.modules["my_twin_in_tests"], "__file__")
    found += [hashed(), hashed()]
    assert found[0] == found[1] and len(set(found)) == 5
    onnx_graph.source_hash.cache_clear()


def test_one_makes_while_others_wait(tmp_path):
    made, found, path = [], [], tmp_path / f"{content_key(1)}.json"
    waiting = threading.Barrier(3)

    def make():
        made.append(1)
        return "said"

    def ask():
        waiting.wait()
        found.append(kept(path, str, make))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (made, found) == ([1], ["said"] * 3)


def test_nothing_is_kept_of_what_fails(tmp_path):
    path = tmp_path / f"{content_key(1)}.json"
    with pytest.raises(ZeroDivisionError):
        kept(path, str, lambda: 1 / 0)
    assert not [name for name in os.listdir(tmp_path) if not name.endswith(".lock")]
    assert kept(path, str, lambda: "said") == "said"


def test_a_trace_says_why_there_is_none(monkeypatch):
    def refuse(*_):
        raise Unlike("constant c is no parameter")

    monkeypatch.setattr(onnx_layers, "trace_graph", lambda *_, **__: onnx.ModelProto())
    monkeypatch.setattr(onnx_layers, "find_sources", refuse)
    text = trace_text(FLAGS, "all")
    for _ in range(2):
        with pytest.raises(Unlike, match="constant c is no parameter"):
            read_trace(text)
    with pytest.raises(InputError, match="is damaged"):
        read_trace(text.replace("constant c", "constant d"))
