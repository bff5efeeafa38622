"""The first picture of the README shows what benchmarks stored, and the README says the same in words."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made():
    "The tool as a module."
    spec = importlib.util.spec_from_file_location("first_picture", ROOT / "tools" / "first_picture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_says_what_is_stored(made):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\n".join(made.sentences()) in readme and "nbs/images/gains.png" in readme


def test_gains_by_hand(made):
    (engine,) = made.of_engines()
    regret = made.read("targets/results.json")["regret"]
    worst = np.exp(np.mean(np.log(regret["onnx-cpu-int8 on llama-cpp-f32"])))
    assert len(regret) == 36 and engine.high == pytest.approx(worst) and engine.low < 1 < engine.ratio
    (row,) = [
        row
        for row in made.read("workloads/results.json")["rows"]
        if (row["question"], row["parameters"], row["goal"]) == ("embedding", 1e7, "decode_s")
    ]
    ordinary, narrow = (np.array(rounds)[:, 1] for rounds in row["measured"])
    writing = next(gain for gain in made.of_workloads() if gain.what == "narrower embedding, to write")
    assert writing.high == pytest.approx(np.median(ordinary / narrow)) and writing.low > 1


def test_gains_of_shapes_by_hand(made):
    rises, gains = made.shape_rises(), made.of_shapes()
    assert [gain.what[:4] for gain in gains] == ["95 %", "90 %", "80 %", "70 %", "60 %"]
    for gain, size in zip(gains, (0.95, 0.9, 0.8, 0.7, 0.6)):
        ours, theirs = (sum(rise.mean() for rise in rises[rule, size].values()) for rule in ("exact", "uniform"))
        assert gain.ratio == pytest.approx(theirs / ours) and 1 < gain.low < gain.ratio < gain.high


def test_shapes_at_fewer_bits_are_not_taken_for_whole_ones(made):
    lines = (ROOT / "benchmarks/shaped/results_mixture/rivals.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["text"] == "wikitext"]
    parent = next(row["losses"] for row in rows if row["rule"] == "parent")
    exact = [row for row in rows if row["rule"] == "exact" and row["repair"] == "fitted"]
    assert any("bits" in row for row in exact)
    for row in (row for row in exact if "bits" not in row):
        rise = made.shape_rises()["exact", round(20 * row["share"]) / 20]["wikitext"]
        assert rise == pytest.approx(np.subtract(row["losses"], parent))


def test_the_picture(made):
    gains = made.stored_gains()
    curves, bars = made.draw().axes
    ends = sorted(bar.get_x() + bar.get_width() for bar in bars.patches)
    assert (
        ends == pytest.approx(sorted(gain.ratio for gain in gains)) and len(curves.get_legend_handles_labels()[1]) == 3
    )
    assert [axis.get_xscale() for axis in (curves, bars)] == ["log"] * 2
