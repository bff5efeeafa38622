"""A model trained on this CPU from the command line: killed, continued, shared by two processes, and given nonsense."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import SMALL, lts, start

from lts_nb.training.corpus import stdlib


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    "A small search, and some text."
    d = tmp_path_factory.mktemp("train")
    (d / "space.json").write_text(SMALL.to_json())
    code, _, err = lts(
        "search",
        "--space",
        d / "space.json",
        "--prompt-len",
        16,
        "--method",
        "lts",
        "--evaluations",
        10,
        "--out",
        d / "run",
    )
    assert code == 0, err
    (d / "text").mkdir()
    for i, text in enumerate((texts := stdlib()).train[::12] + texts.valid[::12]):
        (d / "text" / f"{i}.txt").write_text(text, encoding="utf-8")
    return d


def options(d, *more):
    return [
        "train",
        d / "run",
        "--corpus",
        d / "text",
        "--tokens",
        60_000,
        "--batch-size",
        8,
        "--dtype",
        "float32",
        "--json",
        *more,
    ]  # the last of two counts


@pytest.fixture(scope="module")
def straight(run):
    code, out, err = lts(*options(run, "--out", run / "straight"))
    assert code == 0 and "tokens/s" in err, err
    (trained,) = json.loads(out)
    return trained


def timeless(trained):
    return {k: v for k, v in trained.items() if k not in ("seconds", "out")}


def test_trained_and_told(run, straight):
    assert (
        straight["loss"] < 5
        and (run / "straight" / "config.json").exists()
        and (run / "straight" / "curve.png").stat().st_size > 1000
    )
    code, out, err = lts(*options(run, "--out", run / "straight"))  # called again: what is there
    assert (code, json.loads(out)) == (0, [straight]), err
    code, out, err = lts(*options(run, "--out", run / "straight", "--seed", 1))
    assert (code, out, err.count("\n")) == (2, "", 2) and "was begun with seed='0'" in err


def test_judged_and_handed_over(run, straight):
    code, out, err = lts("eval", run / "straight", "--corpus", run / "text", "--window", 32, "--json")
    assert code == 0, err
    judged = json.loads(out)["perplexity"]
    assert (
        abs(judged["nats_per_token"] - straight["loss"]) < 0.15
        and judged["nats_per_token_low"] < judged["nats_per_token"] < judged["nats_per_token_high"]
    )
    code, out, err = lts("export", run / "straight", "--out", run / "handed", "--run", run / "run", "--json")
    assert code == 0 and json.loads(out)["id"] == straight["id"], err
    card = (run / "handed" / "README.md").read_text(encoding="utf-8")
    assert f"{straight['loss']:.4f}" in card and f"{judged['token_perplexity']:,.3f}" in card and "torch-cpu" in card
    code, out, err = lts("export", run / "straight", "--out", run / "handed")
    assert (code, out, err.count("\n")) == (2, "", 1) and "must be a new name or an empty folder" in err


def test_several_by_their_ids(run):
    code, out, _ = lts("show", run / "run", "--json")
    ids = [row["id"] for row in json.loads(out)["frontier"]][:2]
    code, out, err = lts(*options(run, *ids, "--tokens", 3000))
    assert (
        code == 0
        and [t["id"] for t in json.loads(out)] == ids
        and all((run / "run" / "models" / i[:8] / "model.safetensors").exists() for i in ids)
    ), err


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_and_continued(run, straight):
    process = start(*options(run, "--out", run / "killed"))
    while process.poll() is None and not list(run.glob("killed/checkpoints/0/*/trainer_state.json")):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    code, out, err = lts(*options(run, "--out", run / "killed"))
    assert code == 0, err
    assert timeless(json.loads(out)[0]) == timeless(straight)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="gloo as Linux has it")
def test_two_processes_come_to_the_same(run, straight, tmp_path):
    (tmp_path / "lts.py").write_text("import sys; from lts_nb.cli import main; sys.exit(main())")
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        tmp_path / "lts.py",
    ]
    done = subprocess.run(
        [*map(str, [*launch, *options(run, "--out", run / "shared")])],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (trained,) = json.loads(done.stdout)
    assert (
        abs(trained["loss"] - straight["loss"]) < 0.01
        and max(abs(a - b) for (_, a), (_, b) in zip(trained["curve"], straight["curve"])) < 0.1
    )


@pytest.mark.parametrize(
    "more, told",
    [
        (["--corpus", "{d}/nowhere"], "is neither a folder nor a file"),
        (["--corpus", "{d}/empty.txt"], "0 different documents"),
        (["--corpus", "{d}/latin.txt"], "is not UTF-8 text (byte 3)"),
        (["--corpus", "{d}/binary.txt"], "is binary"),
        (["--corpus", "{d}/short", "--vocab-size", 257], "must be at least a step"),
        (["--vocab-size", 5000], "vocab_size=300: must be at least the tokenizer's 5000"),
        (["--tokenizer", "{d}/empty.txt"], "cannot be read"),
        (["--tokens", 10], "must be at least ten steps"),
        (["--parts", 3], "must be a multiple of 3 parts"),
        (["--seq-len", 64], "max_len=32: must be at least seq_len=64"),
        (["--dtype", "int4"], "dtype='int4'"),
        (["--out", "{d}/text"], "holds other things"),
    ],
)
def test_bad_input(run, more, told):
    for name, content in {"empty.txt": b"", "latin.txt": b"caf\xe9", "binary.txt": b"\0\1\2"}.items():
        (run / name).write_bytes(content)
    (run / "short").mkdir(exist_ok=True)
    for i in range(60):
        (run / "short" / f"{i}.txt").write_text(f"{i}")
    code, out, err = lts(*options(run, "--out", run / "bad", *(str(m).format(d=run) for m in more)))
    assert (
        code == 2
        and out == ""
        and err.splitlines()[-1].startswith("error: ")
        and told in err
        and "Traceback" not in err
    )
