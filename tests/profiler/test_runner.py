"""The runner: the same definitions as here, files that are whole or absent, errors of the right kind, and its end."""

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest

from lts_nb.core.errors import InputError, MeasurementFailed
from lts_nb.core.workload import Workload
from lts_nb.profiler import timing
from lts_nb.profiler.machine import differences
from lts_nb.profiler.store import environment_key
from lts_nb.profiler.targets import runner
from lts_nb.profiler.targets.link import Link
from lts_nb.profiler.targets.linked import LinkedTarget
from lts_nb.profiler.timing import Effort

posix = pytest.mark.skipif(os.name != "posix", reason="signals")


@pytest.fixture
def link(tmp_path):
    link = Link.local(tmp_path / "files")
    yield link
    link.close()


def clock_of(seconds):
    "A clock that goes on by the next of some steps each time it is read."
    steps, at = iter(seconds), np.zeros(2)

    def clock():
        nonlocal at
        at = at + next(steps) * np.array([1, 0.5])
        return at

    return clock


@pytest.mark.parametrize("effort", [Effort(), Effort(0, 1, 1, 0.0), Effort(3, 0.5, 4, 0.0), Effort(2, 1e-9, 2, 9.0)])
def test_timing_is_the_same_as_here(effort):
    steps = np.random.default_rng(0).uniform(0.1, 1, 1000)

    def times(timed, effort):
        clock, reads = clock_of(steps), []

        def run(clock):
            readings = clock(), clock(), clock()
            reads.append(len(reads))
            return readings

        return timed(run, lambda: None, effort, clock), len(reads)

    found, expected = times(runner.timed, asdict(effort)), times(timing.timed, effort)
    assert found[1] == expected[1]
    assert found[0].keys() == expected[0].keys()
    for name, pairs in expected[0].items():
        assert found[0][name] == pytest.approx(np.array(pairs))


class Recorder:
    "An engine that notes what it is given."

    def __init__(self):
        self.given = []

    def begin(self, rows, tokens):
        self.room = rows, tokens

    def prefill(self, tokens, every):
        self.given.append((tokens.tolist(), every))

    def decode(self, tokens):
        self.given.append(tokens.tolist())


@pytest.mark.parametrize("workload", [Workload(2, 3, 2), Workload(1, 4, logits="all")])
def test_a_request_is_the_same_as_here(workload):
    import torch

    asked = []

    class Model:
        class config:
            vocab_size = 11

        device = "cpu"

        def __call__(self, tokens, use_cache, logits_to_keep, past_key_values=None):
            asked.append((tokens.tolist(), logits_to_keep))
            return type("Output", (), dict(past_key_values="past"))

    timing.request(Model(), workload)
    engine = Recorder()
    assert runner.request(engine, workload.as_dict(), 11) == (0.0, 0.0, 0.0)
    assert engine.given[0] == (asked[0][0], workload.logits == "all")
    assert engine.given[1:] == [tokens for tokens, _ in asked[1:]]
    assert torch.tensor(engine.given[0][0]).shape == (workload.batch_size, workload.prompt_len)


def test_it_needs_numpy_and_the_standard_library_only():
    code = "print([name for name in ('torch', 'lts_nb', 'onnxruntime', 'psutil') if name in sys.modules])"
    load = f"import importlib.util as u, sys; s = u.spec_from_file_location('lts_nb_runner', {runner.__file__!r})"
    load += "; m = u.module_from_spec(s); sys.modules['lts_nb_runner'] = m; s.loader.exec_module(m); "
    done = subprocess.run([sys.executable, "-I", "-c", load + code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_are_named_by_their_content(tmp_path, link):
    name = link.put(b"abc")
    assert name == hashlib.sha256(b"abc").hexdigest()
    assert link.ask("has", files=[name, "f" * 64]) == ["f" * 64]
    with pytest.raises(MeasurementFailed, match="another content arrived"):
        link.ask("put", b"xyz", file="f" * 64, n_bytes=3)
    assert [path.name for path in (tmp_path / "files").iterdir()] == [name]
    assert link.ask("has", files=[name]) == []  # what followed the refused file was no question
    for odd in ("../x", "a" * 63, "A" * 64, "a" * 64 + "/..", "", None, 7):
        with pytest.raises(InputError, match="must be 64 hexadecimal digits"):
            link.ask("has", files=[odd])


def test_what_a_power_cut_left_is_made_again(tmp_path, link):
    name = link.put(b"abc")
    made = link.ask("expand", pieces=[[name, 5]])
    for path in (tmp_path / "files" / name, tmp_path / "files" / made):
        path.write_bytes(b"")
    link.renew()
    assert link.put(b"abc") == name and link.ask("expand", pieces=[[name, 5]]) == made
    assert (tmp_path / "files" / made).read_bytes() == b"abcab"


def test_a_file_that_breaks_off_leaves_nothing(tmp_path):
    with pytest.raises(EOFError):
        runner.put(tmp_path, io.BytesIO(b"ab"), hashlib.sha256(b"abc").hexdigest(), 3)
    assert not list(tmp_path.iterdir())


def test_recipes(tmp_path, link):
    tile, text = link.put(b"0123456789"), base64.b64encode(b"head").decode()
    made = link.ask(
        "expand", pieces=[["bytes", text], [tile, 23], ["zeros", 3], ["normal", 8], ["normal", 5], [tile, 2]]
    )
    content = (tmp_path / "files" / made).read_bytes()
    assert content[:30] == b"head01234567890123456789012\0\0\0"
    numbers = runner.tile_of(tmp_path, "normal")
    assert content[30:43] == numbers[:13] and content[43:] == b"01"
    values = np.frombuffer(numbers, np.float32)
    assert abs(values.std() - 0.1) < 1e-3 and np.isfinite(values).all()
    assert link.ask("expand", pieces=[["bytes", text]]) != made
    for pieces, finding in (([["f" * 64, 3]], "is not there"), ([[link.put(b""), 3]], "is empty")):
        with pytest.raises(InputError, match=finding):
            link.ask("expand", pieces=pieces)


def test_the_tile_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "TILE", 5)
    made = runner.expand(tmp_path, [["normal", 12], ["zeros", 1], ["normal", 16], ["normal", 3], ["normal", 40]])
    content, tile = (tmp_path / made).read_bytes(), runner.tile_of(tmp_path, "normal") * 9
    assert content == tile[:12] + b"\0" + tile[12:28] + tile[28:31] + tile[32:72]


def test_old_probes_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "ROOM", 1000)
    names = [runner.expand(tmp_path, [["zeros", 300 + i]]) for i in range(3)]
    for age, name in zip((300, 100, 200), names, strict=True):
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    kept = runner.expand(tmp_path, [["zeros", 350]])
    assert {path.name for path in tmp_path.iterdir()} == {names[1], names[2], kept}
    runner.expand(tmp_path, [["zeros", 990]])
    assert kept in {path.name for path in tmp_path.iterdir()}  # it was made a moment ago


@posix
def test_a_full_disk(tmp_path):
    import resource

    link = Link.local(tmp_path / "files")
    link.ask("describe")
    resource.prlimit(link._process.pid, resource.RLIMIT_FSIZE, (1000, 1000))
    for ask in (lambda: link.put(bytes(5000)), lambda: link.ask("expand", pieces=[["zeros", 5000]])):
        with pytest.raises(OSError, match=r"cannot be written \(File too large\)") as e:
            ask()
        assert "\n" not in str(e.value)
    assert not list((tmp_path / "files").iterdir())
    assert link.put(b"small")
    link.close()


@pytest.mark.parametrize(
    "question, error, finding",
    [
        (dict(ask="dance"), InputError, "ask='dance': must be put, describe"),
        (
            dict(ask="logits", engine="abacus", file="f" * 64, threads=1, tokens=[[1]]),
            InputError,
            "must be one of onnx",
        ),
        (dict(ask="has"), RuntimeError, "Traceback"),
    ],
)
def test_wrong_questions(link, question, error, finding):
    with pytest.raises(error, match=finding):
        link.ask(**question)
    assert link.ask("has", files=[]) == []


def test_a_damaged_file(link):
    pytest.importorskip("onnxruntime")
    asked = dict(engine="onnx", threads=1)
    with pytest.raises(InputError, match="is not there; put it first"):
        link.ask("logits", file="f" * 64, tokens=[[1]], **asked)
    with pytest.raises(MeasurementFailed, match="ONNX Runtime cannot open the graph") as e:
        link.ask("logits", file=link.put(b"no graph"), tokens=[[1]], **asked)
    assert "\n" not in str(e.value)


def test_an_engine_that_is_missing(monkeypatch, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('gone')")
    link = Link.local(tmp_path / "files", environment=os.environ | dict(PYTHONPATH=str(tmp_path)))
    with pytest.raises(InputError, match="needs the package onnxruntime where models run: .*gone") as e:
        link.ask("logits", engine="onnx", file=link.put(b"x"), threads=1, tokens=[[1]])
    assert "\n" not in str(e.value)
    link.close()


class Linked(LinkedTarget):
    "A target over a link that makes no probe."

    def __init__(self, engine: str, link: Link):
        self.runner_engine, self.link = engine, link

    def probe(self, architecture, workload):
        raise NotImplementedError

    small = trial = probe


def environment_with(folder, engine: str, **versions: str) -> dict:
    "What a target says where other versions of some packages are installed than here."
    for package, version in versions.items():
        (information := folder / f"{package}-{version}.dist-info").mkdir(parents=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    link = Link.local(folder / "files", environment=os.environ | dict(PYTHONPATH=str(folder)))
    try:
        return Linked(engine, link).environment()
    finally:
        link.close()


OWN = dict(onnx="onnxruntime", llama="llama_cpp_python")


@pytest.mark.parametrize("engine, own", [*OWN.items(), ("llama-f32", "llama_cpp_python")])
def test_an_environment_names_what_computes_for_its_target_only(tmp_path, engine, own):
    old, new = (dict.fromkeys(OWN.values(), version) for version in ("1.0", "2.0"))
    then = environment_with(tmp_path / "then", engine, **old)
    assert (then[own], then["numpy"]) == ("1.0", np.__version__) and not then.keys() & (old.keys() - {own})
    others = environment_with(tmp_path / "others", engine, **new | {own: "1.0"})
    assert others == then and environment_key(others) == environment_key(then)
    now = environment_with(tmp_path / "own", engine, **old | {own: "2.0"})
    assert differences(then, now) == {own: ("1.0", "2.0")} and environment_key(now) != environment_key(then)


def test_the_machine_is_described_without_a_person(link):
    described = link.describe()
    assert described["cores"] >= 1 and described["numpy"] == np.__version__
    said = json.dumps(described)
    assert not [word for word in (os.path.expanduser("~"), os.uname().nodename) if len(word) > 3 and word in said]


@posix
def test_a_runner_ends_when_nobody_asks(tmp_path):
    ask = "from lts_nb.profiler.targets.link import Link; import sys; link = Link.local(sys.argv[1]); link.describe(); "
    ask += "print(link._process.pid, flush=True); input()"
    asker = subprocess.Popen(
        [sys.executable, "-c", ask, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process = psutil.Process(int(asker.stdout.readline()))
    asker.kill()
    asker.communicate()
    process.wait(30)  # or it raises


@posix
def test_killed_part_files_are_swept(tmp_path, link):
    link.ask("describe")
    link.close()
    old, own = tmp_path / "files" / "x.999999999.part", tmp_path / "files" / f"x.{os.getpid()}.part"
    old.touch(), own.touch()
    link.ask("describe")
    assert own.exists() and not old.exists()


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    "A folder for temporary files, where nobody else measures."
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(runner.tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def test_one_at_a_time(tmp_path, temporary):
    "Whatever the folder of files."
    pytest.importorskip("fcntl")
    with runner.only_one(tmp_path / "one"):
        with pytest.raises(runner.Refused, match="one at a time"), runner.only_one(tmp_path / "other", 0.0):
            pass
    with runner.only_one(tmp_path / "other", 0.0):
        pass
    with pytest.raises(ZeroDivisionError), runner.only_one(tmp_path):
        raise ZeroDivisionError
    with runner.only_one(tmp_path, 0.0):
        pass


def test_whose_lock_it_is(tmp_path, temporary, monkeypatch):
    "Another user's is locked as well; where there are no temporary files, that of the folder."
    pytest.importorskip("fcntl")
    real, refused = os.open, []

    def of_another_user(path, flags, *mode):
        if flags & os.O_CREAT and temporary in Path(path).parents:
            refused.append(path)
            raise PermissionError
        return real(path, flags, *mode)

    with runner.only_one(tmp_path):
        monkeypatch.setattr(runner.os, "open", of_another_user)
        with pytest.raises(runner.Refused, match="one at a time"), runner.only_one(tmp_path, 0.0):
            pass
    assert refused
    (temporary / runner.LOCK).unlink()
    with runner.only_one(tmp_path, 0.0):
        assert (tmp_path / runner.LOCK).exists()


def test_nothing_is_made_while_another_measures(tmp_path, temporary, monkeypatch):
    pytest.importorskip("fcntl")
    asks, only_one = runner.Runner(tmp_path), runner.only_one
    monkeypatch.setattr(runner, "only_one", lambda folder: only_one(folder, 0.0))
    with only_one(tmp_path):
        for question in (
            dict(ask="expand", pieces=[["zeros", 3]]),
            dict(ask="logits", engine="onnx", file="f" * 64, threads=1, tokens=[[1]]),
            dict(ask="measure", engine="onnx", file="f" * 64),
        ):
            said = runner.answer(asks, json.dumps(question | dict(alone=True)).encode())
            assert said["error"] == "InputError" and "another measurement runs" in said["message"]
    assert "value" in runner.answer(asks, b'{"ask": "expand", "pieces": [["zeros", 3]], "alone": true}')


@posix
@pytest.mark.parametrize("signal, how", [(9, "signal 9, as when memory runs out"), (11, "signal 11")])
def test_a_runner_that_is_killed_fails_one_question(link, signal, how):
    link.describe()
    process = link._process
    process.send_signal(19)
    process.send_signal(signal)
    process.send_signal(18)
    with pytest.raises(MeasurementFailed, match=rf"the process that measured died \({how}\)"):
        link._value(link._exchange(b'{"ask": "describe"}\n'))
    assert link.ask("has", files=[]) == []
    assert link._process is not process


@posix
def test_what_is_no_answer_is_not_heard(tmp_path):
    "A far shell may print a greeting; one that only prints is told with its last words."
    greeting = "print('Welcome'); print('{}'); print('no line feed', end='', flush=True); "
    run = f"import runpy, sys; sys.argv = ['', {str(tmp_path)!r}]; "
    run += f"runpy.run_path({runner.__file__!r}, run_name='__main__')"
    opening = 'input(); print(); print(\'{"value": "ready"}\', flush=True); '
    link = Link([sys.executable, "-uc", greeting + opening + run], b"begin\n")
    assert link.ask("has", files=[]) == []
    link.close()
    link = Link([sys.executable, "-c", "print('no account'); raise SystemExit(1)"], b"begin\n")
    with pytest.raises(MeasurementFailed, match=r"died \(exit code 1\): no account$"):
        link.ask("has", files=[])
    link = Link([sys.executable, "-uc", "while True: print('Welcome')"], b"begin\n", patience=0.2)
    with pytest.raises(MeasurementFailed, match="no answer within 0.2 s"):
        link.ask("has", files=[])


@posix
@pytest.mark.parametrize("n_bytes", [0, 10**6])  # nobody reads that much, either
def test_an_answer_that_does_not_come(link, n_bytes):
    link.ask("has", files=[])
    process = link._process
    process.send_signal(19)
    link.patience = 0.1
    with pytest.raises(MeasurementFailed, match="no answer within 0.1 s"):
        link.ask("put", bytes(n_bytes), file="f" * 64, n_bytes=n_bytes + 1)
    assert process.poll() is not None
    link.patience = 60.0
    assert link.ask("has", files=[]) == []
