"""Every way of being wrong: one line on standard error, exit code 2, no traceback, and nothing on standard output."""

from pathlib import Path

import pytest
from kit import lts

RUN = Path(__file__).parents[2] / "benchmarks" / "gpt2_cpu"
NEW, FILE, DAMAGED, EMPTY = "{new}", "{file}", "{damaged}", "{empty}"  # paths of the fixture below


@pytest.fixture
def places(tmp_path) -> dict:
    "Where things are, by the names above: a name that is free, a file, a damaged run, an empty folder."
    found = {name: tmp_path / name for name in ("new", "file", "damaged", "empty")}
    found["file"].write_text("x", encoding="utf-8")
    found["damaged"].mkdir()
    (found["damaged"] / "run.json").write_text('{"format": "lts_nb.run"', encoding="utf-8")
    found["empty"].mkdir()
    return found


SEARCH = [
    (["--sede", "1"], "--sede"),
    (["--seed", "many"], "many"),
    (["--method", "lts", "--evaluations", "0"], "evaluations=0"),
    (["--evaluations", "9"], "is for lts and random, not for method 'exact'"),
    (["--profile", FILE], "file': profile: not JSON"),
    (["--method", "lts", "--profile", FILE], "not JSON"),
    (["--out", FILE], "is a file"),
    (["--space", "gpt9"], "space='gpt9'"),
    (["--space", FILE], "not JSON"),
    (["--target", "tpu"], "target='tpu'"),
    (["--proxy", "dpeth"], "proxy='dpeth': must be one of decoder_params, total_params, depth, width"),
    (["--proxy", FILE], "loss_law: not JSON"),
    (["--max-latency-s", "nan"], "max_latency_s=nan"),
    (["--out", DAMAGED, "--resume"], "cut short"),
    (["--prompt-len", "1000"], "must be at most max_len=192"),
]
OTHERS = [
    (["serach"], "serach"),
    (["profile", "--out", FILE], "exists; choose a new name"),
    (["profile", "--prompt-len", "500", "--out", NEW], "must be at most max_len=192"),
    (["profile", "--out", NEW + ".sqlite"], "must not end in .sqlite, which its measurements have"),
    (["profile", "--held-out", "1", "--out", NEW], "held_out=1"),
    (["profile", "--out", FILE + "/p.json"], "cannot be written"),
    (["show", EMPTY], "is not a run folder"),
    (["show"], "Missing argument"),
    (["pick", RUN, "--max-latency-s", "1e-9"], "no member of the frontier meets it"),
    (
        ["pick", RUN, "--max-loss", "3"],
        "predicted loss was no objective of this search; it takes --max-latency-s",
    ),
    (["build", RUN, "zzz"], "id='zzz'"),
    (["build", RUN, "", "--out", FILE], "several architectures"),
    (["build", "sample", "2b9f66f4", "--seed", "5000000000", "--out", NEW], "seed=5000000000: must be a whole number"),
    (["train", EMPTY], "is not a run folder"),
    (["train", RUN, "zzz"], "id='zzz'"),
    (["train", RUN, "a", "--max-latency-s", "1"], "id='a': give ids, or a budget, not both"),
    (["train", RUN, "--recipe", "best"], "recipe='best'"),
    (["train", RUN, "--lr", "-1"], "lr=-1.0: must be a number above 0"),
    (["train", RUN, "--seq-len", "many"], "--seq-len='many'"),
    (["train", RUN, "--tokens", "nan"], "tokens=nan: must be a number above 0"),
    (["train", RUN, "--tokens", "inf"], "tokens=inf: must be a number above 0"),
    (["eval", EMPTY], "is a folder without config.json"),
    (["eval", FILE + "/x"], "must be the folder of a trained model"),
    (["export", EMPTY, "--out", NEW], "is no folder of a model"),
    (["study", "--published", "--train"], "choose one"),
    (["study", "--out", EMPTY], "holds no study"),
    (["study", "--train", "--tokens", "many", "--out", NEW], "tokens='many': must be whole numbers with commas"),
]


def check_one_line(args: list, finding: str, places: dict):
    "Call `lts` with these arguments and check that it says what is wrong."
    code, out, err = lts(*(str(arg).format(**places) for arg in args))
    assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith("error: ") and finding in err, (code, out, err)


@pytest.mark.parametrize("args, finding", SEARCH, ids=lambda value: " ".join(map(str, value)) * isinstance(value, list))
def test_search(args, finding, places):
    check_one_line(["search", *args] + ["--out", NEW] * ("--out" not in args), finding, places)
    assert not (places["new"] / "store.sqlite").exists()  # nothing was begun


@pytest.mark.parametrize("args, finding", OTHERS, ids=lambda value: " ".join(map(str, value)) * isinstance(value, list))
def test_other_commands(args, finding, places):
    check_one_line(args, finding, places)
