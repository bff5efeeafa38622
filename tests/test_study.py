"""A real study on this CPU: killed, continued, starved of disk, and asked for nonsense."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import sys
import time

import pytest
from kit import files_up_to, lts, start, trainings_in_this_process
from repository import ROOT

from lts_nb.profiler.store import Store
from lts_nb.space.space import SearchSpace
from lts_nb.training.corpus import stdlib_corpus
from lts_nb.training.training_runs import TRAINING_RUN_TABLE


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> list:
    "Arguments of a small study: three architectures, one of them at four seeds more."
    folder = tmp_path_factory.mktemp("study")
    space = SearchSpace.preset(
        "gpt2", n_layer=[1, 2], d_model=[16, 32], d_inner=[32, 64], n_head=[2], vocab_size=[300], max_len=32
    )
    (folder / "space.json").write_text(space.to_json(), encoding="utf-8")
    (folder / "text").mkdir()
    texts = stdlib_corpus()
    for i, text in enumerate((texts.train + texts.valid)[::60]):
        (folder / "text" / f"{i}.txt").write_text(text, encoding="utf-8")
    options = "--train --architectures 3 --min-params 2000 --max-params 20000 --repeated 1 --workers 2"
    return [
        *options.split(),
        *("--tokens", "8200,16400", "--equal", "", "--space", folder / "space.json", "--corpus", folder / "text"),
    ]


def trained(folder) -> dict:
    "What a study has filed so far: `(architecture, seed)` -> result, also while it is being written."
    if not (folder / "study.sqlite").exists():
        return {}
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'study.sqlite'}?mode=ro", uri=True, timeout=30)) as store:
        try:
            return {row[:2]: row[2] for row in store.execute("select architecture, seed, body from trial")}
        except sqlite3.OperationalError:
            return {}


def kill_after(trainings: int, study, out):
    "Start a study and end it, as a power cut would, once so many trainings are filed."
    process = start("study", *study, "--workers", 1, "--out", out)
    while process.poll() is None and len(trained(out)) < trainings:
        time.sleep(0.1)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    process.communicate()


def test_killed_and_continued(study, tmp_path):
    kill_after(1, study, tmp_path)
    known = trained(tmp_path)
    assert 1 <= len(known) < 7
    with trainings_in_this_process():
        code, out, err = lts("study", *study, "--out", tmp_path, "--json")
    assert code == 0, err
    now = trained(tmp_path)
    assert len(now) == 7 and known.items() <= now.items()  # nothing trained twice, to the last digit of its seconds
    found = json.loads(out)
    assert found["failed"] == [] and {row["tokens"] for row in found["agreement"]} == {8200, 16400}
    assert all(row["n"] == 3 for row in found["agreement"])
    code, out, _ = lts("study", "--out", tmp_path)
    assert code == 0 and "7 trainings of 3 architectures, 0 failed" in out and "another seed changes a loss" in out


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files as Linux does")
def test_full_disk(study, tmp_path):
    one = [*study, "--architectures", 1, "--repeated", 0, "--out", tmp_path, "--json"]

    def with_files_up_to(size):
        with trainings_in_this_process(), files_up_to(size):
            return lts("study", *one)

    with files_up_to(5_000):  # no room for the store
        code, _, err = lts("study", *one)
    assert code == 2 and err.count("\n") == 1 and "call again when there is room" in err
    with Store(tmp_path / "empty.sqlite") as store:
        store.execute(TRAINING_RUN_TABLE)
    size_of_store = (tmp_path / "empty.sqlite").stat().st_size
    code, out, _ = with_files_up_to(size_of_store + 5_000)  # room for the store, none for a checkpoint
    (failed,) = json.loads(out)["failed"]
    assert code == 0 and failed["seed"] == 0 and failed["error"]
    with trainings_in_this_process():
        code, out, err = lts("study", *one)  # room: tried again
    assert code == 0 and json.loads(out)["failed"] == [] and len(trained(tmp_path)) == 1, err


@pytest.mark.parametrize(
    "change, finding",
    [
        (["--tokens", "many"], "tokens='many'"),
        (["--tokens", "16400,8200"], "must be budgets that rise"),
        (["--tokens", "100"], "ten steps"),
        (["--lr", "0"], "lr=0"),
        (["--corpus", "no/such/folder"], "is neither a folder nor a file"),
        (["--space", "gpt9"], "space='gpt9'"),
        (["--min-params", "1e9", "--max-params", "2e9"], "none that was drawn has"),
        (["--min-params", "0"], "min_params=0.0: must be a number above 0"),
        (["--min-params", "-1"], "min_params=-1.0: must be a number above 0"),
        (["--min-params", "nan"], "min_params=nan: must be a number above 0"),
        (["--min-params", "20000"], "max_params=20000.0: must be a number above 20000"),
        (["--max-params", "inf"], "max_params=inf: must be a number above 2000"),
        (["--published"], "choose one"),
        (["--equal", "x"], "equal='x'"),
        (["--equal", "3000"], "n=6: only"),
    ],
)
def test_nonsense(study, tmp_path, change, finding):
    code, out, err = lts("study", *study, "--out", tmp_path / "run", *change)
    assert (code, out, err.count("\n")) == (2, "", 1) and finding in err, err


@pytest.mark.parametrize(
    "place, reason",
    [
        ("study.sqlite", "must not end in .sqlite, which trainings have"),
        ("file/law.json", "cannot be written ("),
        ("folder", "is a folder; must be a file"),
    ],
)
def test_a_place_for_a_law_is_tried_before_anything_is_trained(study, tmp_path, place, reason):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    law = tmp_path / place
    code, out, err = lts("study", *study, "--out", tmp_path, "--law", law)
    assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith(f"error: law={str(law)!r}: {reason}"), err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_law_goes_into_a_new_folder_and_never_over_its_trainings(tmp_path):
    shutil.copy(ROOT / "benchmarks" / "study" / "study.sqlite", tmp_path)
    asked = ["study", "--out", tmp_path, "--backbone", "gpt2", "--law"]
    assert lts(*asked, tmp_path / "study.sqlite")[0] == 2 and len(trained(tmp_path)) > 100
    code, out, err = lts(*asked, law := tmp_path / "missing" / "law.json")
    assert code == 0 and "next: lts search --proxy" in out and law.is_file(), err


def test_nothing_there(tmp_path):
    code, out, err = lts("study", "--out", tmp_path)
    assert (code, out) == (2, "") and "holds no study" in err
    code, out, err = lts("study", "--published", "--archive", tmp_path / "none.zip")
    assert (code, out) == (2, "") and "none.zip" in err
