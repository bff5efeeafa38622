"""A real search on this CPU, killed, interrupted and starved of disk, and continued."""
import json, os, signal, sqlite3, sys, time

import pytest
from conftest import lts, start

ROWS = "select architecture, occasion, body from measurement"


def filed(folder) -> dict:  # (architecture, occasion) -> measurement
    if not (folder/"store.sqlite").exists(): return {}
    db = sqlite3.connect(f"file:{folder/'store.sqlite'}?mode=ro", uri=True, timeout=30)
    try: return {(a, o): b for a, o, b in db.execute(ROWS)}
    except sqlite3.OperationalError: return {}  # not made yet
    finally: db.close()


def stop_at(process, folder, rows: int, how) -> None:
    while process.poll() is None and len(filed(folder)) < rows: time.sleep(.05)
    if process.poll() is None: process.send_signal(how)
    process.communicate()


def test_killed_again_and_again(tmp_path, space_file):
    run, begin = tmp_path/"run", ["--space", space_file, "--prompt-len", 16, "--evaluations", 14]
    known = {}
    for rows in (1, 6, 13, 19):  # while planning, searching, and measuring the frontier afresh
        stop_at(start("search", "--out", run, *([] if (run/"run.json").exists() else begin), "--resume"), run, rows, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        now = filed(run)
        assert known.items() <= now.items()  # nothing lost, nothing measured a second time
        known = now
    code, out, err = lts("search", "--out", run, "--resume", "--json")
    assert code == 0, err
    assert known.items() <= filed(run).items()
    assert sum(o == "search" for _, o in filed(run)) == 14 == json.loads(out)["run"]["evaluations"]
    again = lts("search", "--out", run, "--resume", "--json")
    assert json.loads(again[1])["frontier"] == json.loads(out)["frontier"]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGINT for one process")
def test_ctrl_c_says_how_to_go_on(tmp_path, space_file):
    process = start("search", "--out", tmp_path/"run", "--space", space_file, "--prompt-len", 16, "--evaluations", 200)
    while process.poll() is None and len(filed(tmp_path/"run")) < 3: time.sleep(.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert f"lts search --out {tmp_path/'run'} --resume" in err.splitlines()[-1]
    code, _, err = lts("show", tmp_path/"run")
    assert code == 2 and "has not finished" in err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files as Linux does")
def test_full_disk(tmp_path, space_file):
    import resource
    tight = dict(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)))
    code, out, err = lts("search", "--out", tmp_path/"run", "--space", space_file, "--prompt-len", 16, "--evaluations", 30, **tight)
    last = err.strip().splitlines()[-1]
    assert code == 2 and out == "" and "Traceback" not in err and last.startswith("error: out="), err
    before = filed(tmp_path/"run")
    assert before
    code, _, err = lts("search", "--out", tmp_path/"run", "--resume")
    assert code == 0 and before.items() <= filed(tmp_path/"run").items(), err
