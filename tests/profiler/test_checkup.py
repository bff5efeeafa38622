"""What a check-up makes of machines that are made up, and of this one."""

import json
import os
import re

import pytest
from kit import lts
from repository import ROOT, settings

from lts_nb.core.screen import width_of
from lts_nb.profiler import inspection
from lts_nb.profiler.checkup import CPU_BUILD, findings, runnable_targets
from lts_nb.profiler.inspection import PACKAGES, PURPOSES, describe_folder, facts, torch_build
from lts_nb.profiler.targets.registry import TARGETS

ROOM = dict(path="folder", free_bytes=50e9, writable=True)
FULL, CLOSED = ROOM | dict(free_bytes=1e9), ROOM | dict(writable=False)
SOUND = dict(
    **dict(cpu="A processor", cores=4, machine_cores=4, memory_bytes=16e9, free_memory_bytes=9e9, system="Linux"),
    **dict(last_level_cache_bytes=12e6, arch="x86_64", card=False, threads=None, offline=False, lts_nb="0.1.0"),
    **dict(folders=dict(here=ROOM, cache=ROOM, hub=ROOM), python="3.12.3", torch=dict(version="2.13.0", build="cpu")),
    **dict(missing={extra: [] for extra in PURPOSES}, jupyterlab="4.5", compiler="g++", ssh="ssh", llama_bench=None),
    **dict(governor="performance", guest=False, battery=False, busy_cores=0),
)
CUDA, NOTHING = dict(version="2.13.0", build="cuda 13.0"), {extra: ["a-package"] for extra in PURPOSES}


def said(**changes) -> dict:
    "Topic -> finding about a sound machine with changes, of those that are not well."
    return {finding.topic: finding for finding in findings(SOUND | changes) if finding.state != "ok"}


def test_nothing_is_said_against_a_sound_machine():
    assert said() == {}
    able = runnable_targets(SOUND)
    assert able == ["torch-cpu", "onnx-cpu", "onnx-cpu-int8", "llama-cpp", "ssh://"] and set(able) < set(TARGETS)


@pytest.mark.parametrize(
    "changes, topic, state, remedy",
    [
        (dict(cores=1), "processor", "note", "give this process two cores"),
        (dict(free_memory_bytes=1e9), "memory", "note", "close other programs"),
        (dict(governor="powersave"), "clock", "note", "cpupower"),
        (dict(battery=True), "power", "note", "plug it in"),
        (dict(guest=True), "neighbours", "note", "--measure-s 600"),
        (dict(busy_cores=1), "other work", "note", "stop it"),
        (dict(offline=True), "hub", "note", "unset it"),
        (dict(torch=None), "torch", "missing", "pip install torch"),
        (dict(torch=CUDA), "torch", "note", CPU_BUILD),
        (dict(card=True), "torch", "note", "CUDA build"),
        (dict(threads="1"), "threads", "note", "unset it"),
        (dict(compiler=None), "compiler", "missing", "g++"),
        (dict(compiler=None, system="Darwin"), "compiler", "missing", "xcode-select"),
        (dict(ssh=None), "ssh", "missing", "OpenSSH"),
        (dict(jupyterlab=None), "jupyter", "missing", "pip install jupyterlab"),
        (dict(folders=SOUND["folders"] | dict(here=FULL)), "this folder", "note", "--out"),
        (
            dict(folders=SOUND["folders"] | dict(cache=ROOM | dict(writable=False))),
            "cache",
            "missing",
            "XDG_CACHE_HOME",
        ),
    ],
)
def test_one_thing_is_wrong(changes, topic, state, remedy):
    (finding,) = said(**changes).values()
    assert (finding.topic, finding.state) == (topic, state) and remedy in finding.remedy


def test_extras_are_those_of_the_settings():
    known = settings(ROOT)
    brought = {
        extra: re.findall(r"[\w-]+", re.sub(r">=[\d.]+", "", known[f"{extra}_requirements"])) for extra in PACKAGES
    }
    assert {extra: list(names) for extra, names in PACKAGES.items()} == brought


def test_what_is_missing_and_what_runs_without_it():
    found = said(missing=NOTHING)
    assert list(found) == [extra for extra in PURPOSES if extra != "nvml"]  # which is for cards
    assert found["onnx"].remedy == "pip install 'lts_nb[onnx]'"
    assert runnable_targets(SOUND | dict(missing=NOTHING)) == ["torch-cpu", "ssh://"]
    assert runnable_targets(SOUND | dict(torch=None)) == []
    assert "torch-cuda" in runnable_targets(SOUND | dict(card=True, torch=CUDA))
    lacking = SOUND["missing"] | dict(llama=["llama-cpp-python"])
    for bench, able in ((None, False), ("llama-bench", True)):
        assert ("llama-cpp" in runnable_targets(SOUND | dict(missing=lacking, llama_bench=bench))) == able


@pytest.mark.parametrize(
    "text, build",
    [
        ("cuda = None\n", "cpu"),
        ("hip: Optional[str] = '6.4'\ncuda = None\n", "hip 6.4"),
        ("cuda = '12.8'", "cuda 12.8"),
    ],
)
def test_builds_of_torch(text, build):
    assert torch_build(text) == build


def test_a_folder_that_is_closed(tmp_path, monkeypatch):
    def refuse(dir):
        raise PermissionError

    monkeypatch.setattr(inspection.tempfile, "TemporaryFile", refuse)
    assert not describe_folder(tmp_path / "a" / "b")["writable"] and not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_below_a_folder_that_may_not_be_entered(tmp_path):
    (closed := tmp_path / "closed").mkdir(mode=0o600)
    user = os.geteuid()
    try:
        if not user:
            os.seteuid(65534)  # a superuser may enter every folder
        found = describe_folder(closed / "a" / "b")
    finally:
        os.seteuid(user)
    assert (found["path"], found["writable"]) == (str(closed / "a" / "b"), False)


def test_a_drive_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection.os.path, "exists", lambda path: False)
    path = tmp_path / "not" / "there"
    assert describe_folder(path) == dict(path=str(path), free_bytes=0, writable=False)


def test_a_disk_that_does_not_tell_its_size(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError

    monkeypatch.setattr(inspection.shutil, "disk_usage", refuse)
    assert describe_folder(tmp_path) == dict(path=str(tmp_path), free_bytes=0, writable=False)


def test_this_machine(monkeypatch):
    monkeypatch.setattr(inspection, "BUSY_S", 0.01)
    code, out, err = lts("doctor")
    assert (code, err) == (0, "") and {line[:8].strip() for line in out.splitlines()} <= {"ok", "note", "missing", ""}
    paths = [folder["path"] for folder in facts()["folders"].values()]
    found = json.loads(lts("doctor", "--json")[1])
    whole = paths + [finding["remedy"] for finding in found["findings"] if finding["remedy"]]  # nothing breaks them
    assert width_of([line for line in out.splitlines() if not any(each in line for each in whole)]) <= 80
    assert found["torch"]["version"] and "torch-cpu" in next(
        f["text"] for f in found["findings"] if f["topic"] == "targets"
    )
