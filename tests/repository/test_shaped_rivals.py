"""The benchmark of shaping on a tiny parent: rivals have the size that is asked for, and more text is more text."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_parent import TINY, stories, tiny_parent, token_windows

from lts_nb.training.corpus import Corpus

FOLDER = Path(__file__).parents[2] / "benchmarks" / "shaped"
N_SCORED = 3


@pytest.fixture(scope="module")
def scripts():
    "The scripts of the benchmark, for windows as long as the tiny parent reads."
    sys.path.insert(0, str(FOLDER))
    try:
        names = ("common", "allocations", "rivals")
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(FOLDER))
        for path in FOLDER.glob("*.py"):
            sys.modules.pop(path.stem, None)


@pytest.fixture
def bench(scripts, tmp_path, one_thread):
    "A bench whose scored windows stand in what is read."
    read, held = token_windows(stories().train, 12), token_windows(stories().valid, 4)
    texts = scripts["common"].Texts(dict(wikitext=held), read[:6], read[-N_SCORED:])
    return scripts["common"].Bench(tiny_parent(), texts, tmp_path, tmp_path / "cache")


def filed(bench, name: str) -> list[dict]:
    "Lines of a file of results, as they lie on the disk."
    return [json.loads(line) for line in (bench.out / name).read_text(encoding="utf-8").splitlines()]


def test_rivals_are_as_large_as_asked_and_judged_once(scripts, bench):
    rules = ["uniform", "influence", "loss", "greedy", "flap"]
    for _ in range(2):  # the second time finds all of it
        scripts["rivals"].judge_rivals(bench, [0.75], rules)
    rows = filed(bench, "rivals.jsonl")
    assert [row["rule"] for row in rows] == ["uniform"] * 2 + ["influence", "loss", "greedy"] + ["flap"] * 2
    assert all(abs(row["share"] - 0.75) < 0.02 for row in rows)
    judged = {row["repair"]: np.mean(row["losses"]) for row in rows if row["rule"] == "uniform"}
    assert judged["repaired"] < judged["plain"]


def test_more_text_leaves_out_what_was_scored(scripts, bench, monkeypatch):
    rivals, read = scripts["rivals"], token_windows(stories().train, 12)
    seen = []

    def kept(cache):
        return lambda parent, shape, windows, outputs: seen.append(windows) or (outputs, {})

    monkeypatch.setattr(rivals, "keeping_fits", kept)
    monkeypatch.setattr(rivals, "sample_windows", lambda texts, tokenizer, length, n: read[:n])
    layers = [(2, 160)] * TINY.n_layer
    for share in (0.9, 0.6):
        row = dict(rule="exact", id="a", share=share, layers=layers, repair="fitted", text="wikitext", losses=[1.0])
        bench.file("rivals.jsonl", row)
    corpus = Corpus("stories", stories().train, stories().valid, "0" * 64)
    for _ in range(2):
        rivals.judge_more_text(bench, corpus, [0.9], ["exact"], len(read))
    (windows,) = seen
    assert windows.tolist() == read[:-N_SCORED].tolist()
    (row,) = filed(bench, "more_text.jsonl")
    assert row["share"] == 0.9 and row["windows"] == len(windows) and len(row["losses"]) == 4
