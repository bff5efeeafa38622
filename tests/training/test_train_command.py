"""A model trained on this CPU from the command line: killed, continued, shared by two processes, and given nonsense."""

import json
import os
import subprocess
import sys
import time

import pytest
from kit import SMALL, AtOnce, begin, lts

from lts_nb.training.corpus import stdlib_corpus


@pytest.fixture(scope="module")
def run(tmp_path_factory, quickly):
    "A small search, and some text."
    folder = tmp_path_factory.mktemp("train")
    (folder / "space.json").write_text(SMALL.to_json(), encoding="utf-8")
    search = ["--prompt-len", 16, "--method", "lts", "--evaluations", 10, "--out", folder / "run"]
    code, _, err = lts("search", "--space", folder / "space.json", *search)
    assert code == 0, err
    (folder / "text").mkdir()
    library = stdlib_corpus()
    for i, text in enumerate(library.train[::12] + library.valid[::12]):
        (folder / "text" / f"{i}.txt").write_text(text, encoding="utf-8")
    return folder


def options(folder, *more):
    "Of `lts train`; where one stands there twice, the last counts."
    text = ["--corpus", folder / "text", "--tokens", 24_000, "--batch-size", 8, "--dtype", "float32"]
    return ["train", folder / "run", *text, "--json", *more]


@pytest.fixture(scope="module")
def straight(run):
    "What an uninterrupted training gives."
    code, out, err = lts(*options(run, "--out", run / "straight"))
    assert code == 0 and "tokens/s" in err, err
    (trained,) = json.loads(out)
    return trained


def without_time(trained):
    return {name: value for name, value in trained.items() if name not in ("seconds", "out")}


def test_trained_and_reported(run, straight):
    assert straight["loss"] < 5
    assert (run / "straight" / "config.json").exists()
    assert (run / "straight" / "curve.png").stat().st_size > 1000


def test_called_again(run, straight):
    code, out, err = lts(*options(run, "--out", run / "straight"))
    assert (code, json.loads(out)) == (0, [straight]), err
    code, out, err = lts(*options(run, "--out", run / "straight", "--seed", 1))
    assert (code, out, err.count("\n")) == (2, "", 3) and "was begun with seed='0'" in err


def test_judged_and_handed_over(run, straight):
    code, out, err = lts("eval", run / "straight", "--corpus", run / "text", "--window", 32, "--json")
    assert code == 0, err
    judged = json.loads(out)["perplexity"]
    assert abs(judged["nats_per_token"] - straight["loss"]) < 0.15
    assert judged["nats_per_token_low"] < judged["nats_per_token"] < judged["nats_per_token_high"]
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
    assert code == 0, err
    assert [trained["id"] for trained in json.loads(out)] == ids
    assert all((run / "run" / "models" / id_[:8] / "model.safetensors").exists() for id_ in ids)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_and_continued(run, straight):
    "Both on one thread, as `begin` and the fixture of this folder see to: so the losses agree to the last bit."
    process = begin(*options(run, "--out", run / "killed"))
    while process.exitcode is None and not list(run.glob("killed/checkpoints/0/*/trainer_state.json")):
        time.sleep(0.05)
    process.kill()
    process.join()
    code, out, err = lts(*options(run, "--out", run / "killed"))
    assert code == 0, err
    assert without_time(json.loads(out)[0]) == without_time(straight)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="gloo as Linux has it")
def test_two_processes_come_to_the_same(run, straight, tmp_path):
    script = tmp_path / "lts.py"
    script.write_text("import sys; from lts_nb.cli.main import main; sys.exit(main())", encoding="utf-8")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", script]
    command = [*map(str, [*launch, *options(run, "--out", run / "shared")])]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    (trained,) = json.loads(done.stdout)
    assert trained["loss"] == pytest.approx(straight["loss"], abs=0.01)
    differences = [abs(a - b) for (_, a), (_, b) in zip(trained["curve"], straight["curve"], strict=True)]
    assert max(differences) < 0.1


@pytest.mark.parametrize("executor", [[], ["--executor", "here"]])
def test_a_seed_that_numpy_does_not_take(run, monkeypatch, executor):
    "Nothing is begun that would stand in the way of a call with a seed that can be."
    monkeypatch.setattr("lts_nb.profiler.executor.get_executor", lambda name: AtOnce())
    code, out, err = lts(*options(run, "--out", run / "large seed", "--seed", 5_000_000_000, *executor))
    said = err.splitlines()[-1]
    assert (code, out) == (2, "") and said.startswith("error: ") and "Traceback" not in err
    assert "seed=5000000000: must be a whole number from 0 to 4,294,967,295" in said
    assert not (run / "large seed").exists()


@pytest.mark.parametrize(
    "more, reason",
    [
        (["--corpus", "{folder}/nowhere"], "is neither a folder nor a file"),
        (["--corpus", "{folder}/empty.txt"], "documents that are not empty: 0"),
        (["--corpus", "{folder}/latin.txt"], "is not UTF-8 text (byte 3 is 0xe9)"),
        (["--corpus", "{folder}/binary.txt"], "is binary"),
        (["--corpus", "{folder}/short", "--vocab-size", 257], "must be at least a step"),
        (["--vocab-size", 5000], "vocab_size=300: must be at least the tokenizer's 5000"),
        (["--tokenizer", "{folder}/empty.txt"], "cannot be read"),
        (["--tokens", 10], "must be at least ten steps"),
        (["--parts", 3], "must be a multiple of 3 parts"),
        (["--seq-len", 64], "max_len=32: must be at least seq_len=64"),
        (["--dtype", "int4"], "dtype='int4'"),
        (["--out", "{folder}/text"], "holds other things"),
    ],
)
def test_bad_input(run, more, reason):
    for name, content in {"empty.txt": b"", "latin.txt": b"caf\xe9", "binary.txt": b"\0\1\2"}.items():
        (run / name).write_bytes(content)
    (run / "short").mkdir(exist_ok=True)
    for i in range(60):
        (run / "short" / f"{i}.txt").write_text(f"{i}", encoding="utf-8")
    code, out, err = lts(*options(run, "--out", run / "bad", *(str(word).format(folder=run) for word in more)))
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: ") and reason in err and "Traceback" not in err
