"""Two processes and one place: the second is refused in one line, and a killed one leaves nothing locked."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from kit import SMALL, begin, lts, lts_together

from lts_nb.core.files import LOCK

HOLD = """
import sys, time
from pathlib import Path
from lts_nb.core.files import only_one
with only_one(Path(sys.argv[1]), "out='here'", "search"):
    print("held", flush=True)
    sys.stdin.read()
"""
SHALLOW = replace(SMALL, n_layer=(1,))


def hold(path) -> subprocess.Popen:
    "A process that holds the lock of this file."
    command = [sys.executable, "-c", HOLD, path]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    assert process.stdout.readline() == "held\n"
    return process


def refused(*args) -> str:  # what was said
    "`lts` in this process, which is refused in one line."
    code, out, err = lts(*args)
    assert (code, out, err.count("\n")) == (2, "", 1), (code, out, err)
    return err


def record_of(run) -> dict:
    "What a run folder says of its search so far."
    path = run / "run.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


@pytest.fixture
def other_space(tmp_path):
    path = tmp_path / "shallow.json"
    path.write_text(SHALLOW.to_json(), encoding="utf-8")
    return path


def test_two_searches_begun_together(tmp_path, space_file, other_space):
    asked = ("search", "--out", tmp_path / "run", "--prompt-len", 8, "--method", "lts", "--evaluations", 5, "--json")
    ended = lts_together(*([*asked, "--space", space] for space in (space_file, other_space)))
    assert sorted(code for code, *_ in ended) == [0, 2], ended
    (_, won, _), (_, lost, said) = sorted(ended)
    assert "another search is running there" in said or "already holds a search" in said
    assert lost == "" and "Traceback" not in said
    kept = record_of(tmp_path / "run")
    assert kept["space"] == json.loads(won)["run"]["space"]
    assert {row["id"] for row in json.loads(won)["frontier"]} and not (tmp_path / "run" / LOCK).exists()


def test_a_running_search_is_neither_continued_nor_disturbed_until_it_is_killed(tmp_path, space_file, other_space):
    run = tmp_path / "run"
    asked = ("--space", space_file, "--prompt-len", 8, "--method", "lts", "--evaluations", 500)
    process = begin("search", "--out", run, *asked)
    while process.exitcode is None and "plan" not in record_of(run):  # now it stays as it is until the end
        time.sleep(0.02)
    assert process.exitcode is None
    before = (run / "run.json").read_bytes()
    for more in (["--resume"], [], ["--space", other_space]):
        assert "run': another search is running there; wait until it ends" in refused("search", "--out", run, *more)
    assert process.exitcode is None and (run / "run.json").read_bytes() == before
    assert "has not finished" in refused("show", run)  # reading needs no lock
    process.kill()
    process.join()
    assert "already holds a search" in refused("search", "--out", run)


@pytest.mark.parametrize(
    ("lock", "args", "work"),
    [
        (f"run/{LOCK}", ["search", "--out", "{0}/run"], "search"),
        (f".device{LOCK}", ["profile", "--out", "{0}/device.json"], "profile"),
        (f"study/{LOCK}", ["study", "--train", "--out", "{0}/study"], "study"),
    ],
)
def test_every_place_is_one_process_s_at_a_time(tmp_path, lock, args, work):
    (tmp_path / lock).parent.mkdir(exist_ok=True)
    holder = hold(tmp_path / lock)
    said = refused(*(arg.format(tmp_path) for arg in args))
    assert f"another {work} is running there; wait until it ends, or choose another place" in said
    holder.kill()
    holder.wait()
    second = hold(tmp_path / lock)  # a killed process holds nothing
    second.stdin.close()
    assert second.wait(timeout=60) == 0
    assert not (tmp_path / lock).exists()


def test_a_folder_of_somebody_gets_no_lock(tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    assert "holds files but no search" in refused("search", "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
