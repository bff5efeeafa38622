"""A real study on this CPU: killed, continued, starved of disk, and asked for nonsense."""

import json
import os
import signal
import sqlite3
import sys
import time

import pytest
from conftest import lts, start

from lts_nb.space.space import SearchSpace
from lts_nb.training.corpus import stdlib_corpus


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> list:
    "Arguments of a small study: three architectures, one of them at four seeds more."
    d = tmp_path_factory.mktemp("study")
    (d / "space.json").write_text(
        SearchSpace.preset(
            "gpt2", n_layer=[1, 2], d_model=[16, 32], d_inner=[32, 64], n_head=[2], vocab_size=[300], max_len=32
        ).to_json()
    )
    (d / "text").mkdir()
    texts = stdlib_corpus()
    for i, text in enumerate((texts.train + texts.valid)[::12]):
        (d / "text" / f"{i}.txt").write_text(text, encoding="utf-8")
    return [
        "--train",
        "--space",
        d / "space.json",
        "--corpus",
        d / "text",
        "--architectures",
        3,
        "--min-params",
        2000,
        "--max-params",
        20000,
        "--equal",
        "",
        "--repeated",
        1,
        "--tokens",
        "41000,82000",
        "--workers",
        1,
    ]


def trained(folder) -> dict:
    if not (folder / "study.sqlite").exists():
        return {}
    db = sqlite3.connect(f"file:{folder / 'study.sqlite'}?mode=ro", uri=True, timeout=30)
    try:
        return {(a, s): b for a, s, b in db.execute("select architecture, seed, body from trial")}
    except sqlite3.OperationalError:
        return {}
    finally:
        db.close()


def test_killed_and_continued(study, tmp_path):
    process = start("study", *study, "--out", tmp_path)
    while process.poll() is None and len(trained(tmp_path)) < 2:
        time.sleep(0.1)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    process.communicate()
    known = trained(tmp_path)
    assert 2 <= len(known) < 7
    code, out, err = lts("study", *study, "--out", tmp_path, "--json")
    assert code == 0, err
    now = trained(tmp_path)
    assert len(now) == 7 and known.items() <= now.items()  # nothing trained twice, to the last digit of its seconds
    found = json.loads(out)
    assert (
        found["failed"] == []
        and {r["tokens"] for r in found["agreement"]} == {41000, 82000}
        and all(r["n"] == 3 for r in found["agreement"])
    )
    code, out, _ = lts("study", "--out", tmp_path)
    assert code == 0 and "7 trainings of 3 architectures, 0 failed" in out and "another seed changes a loss" in out


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files as Linux does")
def test_full_disk(study, tmp_path):
    import resource

    one = [*study, "--architectures", 1, "--repeated", 0, "--out", tmp_path, "--json"]

    def limited(size):
        return dict(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))

    code, _, err = lts("study", *one, **limited(5_000))  # no room for the store
    assert code == 2 and err.count("\n") == 1 and "call again when there is room" in err
    code, out, _ = lts("study", *one, **limited(14_000))  # room for the store, none for a checkpoint
    (failed,) = json.loads(out)["failed"]
    assert code == 0 and failed["seed"] == 0 and failed["error"]
    code, out, err = lts("study", *one)  # room: tried again
    assert code == 0 and json.loads(out)["failed"] == [] and len(trained(tmp_path)) == 1, err


@pytest.mark.parametrize(
    "change, finding",
    [
        (["--tokens", "many"], "tokens='many'"),
        (["--tokens", "82000,41000"], "must be budgets that rise"),
        (["--tokens", "100"], "ten steps"),
        (["--lr", "0"], "lr=0"),
        (["--corpus", "no/such/folder"], "is neither a folder nor a file"),
        (["--space", "gpt9"], "space='gpt9'"),
        (["--min-params", "1e9", "--max-params", "2e9"], "no architecture drawn"),
        (["--published"], "choose one"),
        (["--equal", "x"], "equal='x'"),
        (["--equal", "3000"], "equals: only"),
    ],
)
def test_nonsense(study, tmp_path, change, finding):
    code, out, err = lts("study", *study, "--out", tmp_path / "run", *change)
    assert (code, out, err.count("\n")) == (2, "", 1) and finding in err, err


def test_nothing_there(tmp_path):
    code, out, err = lts("study", "--out", tmp_path)
    assert (code, out) == (2, "") and "holds no study" in err
    code, out, err = lts("study", "--published", "--archive", tmp_path / "none.zip")
    assert (code, out) == (2, "") and "none.zip" in err
