"""A real search on this CPU, killed, interrupted and starved of disk, and continued."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from kit import begin, files_up_to, lts, quick_searches, start

ROWS = "select architecture, workload, occasion, body from measurement"


def filed(folder) -> dict:
    return rows_of(folder / "store.sqlite")


def rows_of(store) -> dict:  # (architecture, workload, occasion) -> measurement
    if not store.exists():
        return {}
    db = sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=30)
    try:
        return {(a, w, o): b for a, w, o, b in db.execute(ROWS)}
    except sqlite3.OperationalError:
        return {}  # not made yet
    finally:
        db.close()


def kill_at(rows: int, process, store):
    "Kill a process once so many rows are filed."
    while process.exitcode is None and len(rows_of(store)) < rows:
        time.sleep(0.02)
    process.kill()
    process.join()
    assert process.exitcode < 0  # it had not ended


def test_killed_again_and_again(tmp_path, space_file):
    run, first = tmp_path / "run", ["--space", space_file, "--prompt-len", 16, "--method", "lts", "--evaluations", 14]
    known = {}
    for rows in (1, 20, 35):  # while proposing, with a process that measures, and while measuring the frontier afresh
        asked = [] if (run / "run.json").exists() else first
        kill_at(rows, begin("search", "--out", run, *asked, "--resume", quick=rows > 1), run / "store.sqlite")
        now = filed(run)
        assert known.items() <= now.items()  # nothing lost, nothing measured a second time
        known = now
    with quick_searches():
        code, out, err = lts("search", "--out", run, "--resume", "--json")
        again = lts("search", "--out", run, "--resume", "--json")
    assert code == 0, err
    assert known.items() <= filed(run).items()
    occasions = [occasion for *_, occasion in filed(run)]
    assert occasions.count("look 0") == occasions.count("look 1") == 14 == json.loads(out)["run"]["evaluations"]
    assert json.loads(again[1])["frontier"] == json.loads(out)["frontier"]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGINT for one process")
def test_ctrl_c_says_how_to_go_on(tmp_path, space_file):
    heard = dict(
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )  # a shell's background jobs ignore it, and so would what they start
    process = start(
        "search",
        "--out",
        tmp_path / "run",
        "--space",
        space_file,
        "--prompt-len",
        16,
        "--method",
        "lts",
        "--evaluations",
        200,
        **heard,
    )
    while process.poll() is None and len(filed(tmp_path / "run")) < 3:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert f"lts search --out {tmp_path / 'run'} --resume" in err.splitlines()[-1]
    code, _, err = lts("show", tmp_path / "run")
    assert code == 2 and "has not finished" in err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files as Linux does")
def test_full_disk(tmp_path, space_file):
    asked = ["--space", space_file, "--prompt-len", 16, "--method", "lts", "--evaluations", 30]
    with quick_searches(), files_up_to(50_000):
        code, out, err = lts("search", "--out", tmp_path / "run", *asked)
    last = err.strip().splitlines()[-1]
    assert code == 2 and out == "" and "Traceback" not in err and last.startswith("error: out="), err
    before = filed(tmp_path / "run")
    assert before
    with quick_searches():
        code, _, err = lts("search", "--out", tmp_path / "run", "--resume")
    assert code == 0 and before.items() <= filed(tmp_path / "run").items(), err


def test_profile_killed_again_and_again(tmp_path, space_file):
    out, store = tmp_path / "device.json", tmp_path / "device.sqlite"
    known = {}
    for rows in (2, 30):
        asked = ["--space", space_file, "--prompt-len", 16, "--held-out", 5, "--out", out]
        kill_at(rows, begin("profile", *asked), store)
        now = rows_of(store)
        assert known.items() <= now.items()  # nothing lost, nothing measured a second time
        known = now
    assert not out.exists()
    with quick_searches():
        code, printed, err = lts("profile", *asked, "--json")
    assert code == 0 and known.items() <= rows_of(store).items(), err
    assert json.loads(printed)["validation"]["prefill"]["n"] == 5
    assert lts("profile", "--space", space_file, "--out", out)[0] == 2  # not overwritten


WITHOUT_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "transformers"): raise ImportError(name)
sys.meta_path.insert(0, NoTorch())
from lts_nb.cli.main import main
run, *search = sys.argv[1:]
assert main(search) == 0
for command in ("pick", "show"):
    print("---")
    assert main([command, run]) == 0
"""


def test_searched_without_torch(tmp_path, space_file):
    "A profile is a file: where torch and transformers cannot be imported, it still gives frontier, `show` and `pick`."
    asked = ("--space", space_file, "--prompt-len", 16, "--held-out", 5, "--out", tmp_path / "device.json")
    with quick_searches():
        assert lts("profile", *asked)[0] == 0
    tree = json.loads((tmp_path / "device.json").read_text())
    tree["machine"]["cpu"] = "a faraway one"
    (tmp_path / "device.json").write_text(json.dumps(tree))

    asked = ("search", "--profile", tmp_path / "device.json", "--out", tmp_path / "run")
    command = [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path / "run"), *map(str, asked)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    searched, picked, shown = found.stdout.split("---")
    assert "listed, with predicted latency" in searched
    assert "decoder parameters" in picked
    assert re.search(r" [\d.]+ \([\d.]+–[\d.]+\) ", shown)  # predicted, with intervals
