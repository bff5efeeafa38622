"""The first picture of the README shows what benchmarks stored, and the README says the same in words."""

import importlib.util
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
    first, *_ = made.of_shapes()
    rises = made.shape_rises()
    ours, theirs = (sum(rise.mean() for rise in rises[rule, 0.9].values()) for rule in ("exact", "uniform"))
    assert first.what.startswith("90 %") and first.ratio == pytest.approx(theirs / ours)
    assert 1 < first.low < first.ratio < first.high < 2


def test_the_picture(made):
    gains = made.stored_gains()
    curves, bars = made.draw().axes
    ends = sorted(bar.get_x() + bar.get_width() for bar in bars.patches)
    assert (
        ends == pytest.approx(sorted(gain.ratio for gain in gains)) and len(curves.get_legend_handles_labels()[1]) == 3
    )
    assert [axis.get_xscale() for axis in (curves, bars)] == ["log"] * 2
