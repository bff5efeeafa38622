"""What the tutorial on shaping reads from stored results: which shapes are ours, who wins, what scores are worth."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "shaped"


NAMES = ("tables", "judging", "scored")


@pytest.fixture(scope="module")
def made():
    "The modules of the benchmark."
    sys.path.insert(0, str(FOLDER))
    try:
        yield {name: importlib.import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(FOLDER))
        for path in FOLDER.glob("*.py"):
            sys.modules.pop(path.stem, None)


def row(rule: str, share: float, rise: float, **more) -> dict:
    "A shape whose windows all lose as much more than the parent's, or nearly."
    losses = (3 + rise + 0.001 * np.array([1, -1, 1, -1])).tolist()
    return dict(rule=rule, goal=share, share=share, text="wikitext", losses=losses, repair="fitted") | more


ROWS = [
    row("parent", 1.0, 0.0, repair="plain"),
    row("exact", 0.898, 0.1, id="a" * 16),
    row("alone", 0.899, 0.05, id="b" * 16),
    row("uniform", 0.9, 0.2),
    row("uniform", 0.9, 0.3, repair="plain"),
    row("flap", 0.9, 0.08),
    row("influence", 0.9, 0.1, repair="plain"),
]


def test_shapes_that_were_drawn_together_are_ours(made):
    tables = made["tables"]
    found = tables.verdicts(tables.rises(ROWS), [0.9]).set_index("rival")
    assert tables.WORDS["alone"] not in found.index and len(found) == 3
    assert found.own.tolist() == pytest.approx([0.1] * 3)
    assert found.difference["uniform narrowing"] == pytest.approx(0.1)  # its best, which is fitted
    assert found.winner.to_dict() == {
        "uniform narrowing": "ours wins",
        "FLAP's allocation": "the rival wins",
        "layers by influence": "neither, beyond noise",
    }


def test_stored_results_have_ours_at_every_size(made):
    tables = made["tables"]
    for text in ("wikitext", "stdlib"):
        found = tables.rises(tables.read_rows(FOLDER / "results_mixture"), text)
        own = [tables.at_size(found, "exact", goal, "") for goal in (0.9, 0.8, 0.7, 0.6)]
        assert [len(each) for each in own] == [1] * 4
        assert all(np.isfinite(each.iloc[0].judged) for each in own)


def test_the_line_through_the_parent(made):
    tables = made["tables"]
    rows = [*ROWS, row("uniform", 0.8, 0.5)]
    latency = {
        "parent": dict(decode_s=dict(faster=1.0, error=0.0)),
        "uniform 90%": dict(decode_s=dict(faster=1 / 0.95, error=0.01)),
        "uniform 80%": dict(decode_s=dict(faster=1 / 0.9, error=0.01)),
    }
    timed = tables.timed_rises(tables.rises(rows), dict(engines=dict(torch=latency)), "fitted")
    found = tables.savings(timed, "decode_s")
    assert found["saved by share"].item() == pytest.approx(0.5) and found.misfit.item() == pytest.approx(0, abs=1e-12)
    assert found["what goes"].item() == "narrower layers"


def test_scores_of_many_shapes(made):
    judging, random = made["judging"], np.random.default_rng(0)
    size, shape = random.uniform(50, 100, 60), random.normal(0, 1, 60)
    loss = 3 - size / 100 + 0.3 * shape
    shapes = [
        dict(number=i, losses=dict(wikitext=(value + random.normal(0, 0.01, 4)).tolist()))
        for i, value in enumerate(loss)
    ]
    said = [
        {judging.COUNT: n, "all of it": n / 100 - 0.3 * s, "nothing": r}
        for n, s, r in zip(size, shape, random.normal(size=60))
    ]
    scored = [dict(number=i, scores=scores) for i, scores in reversed(list(enumerate(said)))][:-5]
    found = judging.judged_scores(shapes, scored, "wikitext").set_index("score")
    assert found.index[:2].sort_values().tolist() == sorted(["all of it", judging.OTHER_WINDOWS])
    assert found.right["all of it"] > 0.9 > found.right[judging.COUNT] > found.right["nothing"]
    assert found.more_low["all of it"] > 0 == found.more[judging.COUNT]
    assert found.rho["all of it"] > found.rho[judging.COUNT] > abs(found.rho["nothing"])
    spread = [row | dict(spread=0.1 if row["number"] < 30 else 1.0) for row in shapes]
    by_spread = judging.more_by_spread(spread, scored, "wikitext", ["all of it"])
    assert by_spread.shapes.to_dict() == {0.1: 25, 1.0: 30} and (by_spread["all of it"].str[0] == "+").all()


def test_proxies_of_shapes(made):
    judging = made["judging"]
    shapes = [dict(number=i, losses=dict(wikitext=[5.0 - i] * 4)) for i in range(6)]
    scored = [dict(number=i, scores={judging.COUNT: 100 + i}) for i in range(6)]
    proxied = [dict(number=i, scores=dict(snip=None if i == 3 else i * 1.5)) for i in range(5)]
    found = judging.judged_scores(shapes, judging.beside_the_count(proxied, scored), "wikitext").set_index("score")
    assert found.rho.to_dict() == {judging.COUNT: 1, "snip": 1, judging.OTHER_WINDOWS: 1}  # without what has none


def test_what_a_shape_loses(made):
    halves = {(0, "attention"): ([0, 2], [8.0, 0.0]), (0, "feed_forward"): ([0, 10, 20], [5.0, 1.0, 0.0])}
    table = made["scored"].Table(halves | {(1, half): at for (_, half), at in halves.items()} | {(1, "layer"): 9.0})
    assert table.lost([(2, 20), (2, 20)]) == 0
    assert table.lost([(1, 15), (2, 20)]) == pytest.approx(4 + 0.5)  # straight between what was computed
    assert table.lost([(0, 0), (0, 0)]) == pytest.approx(13 + 9)  # a layer that was looked at as a whole


def test_only_near_pairs_count(made):
    judging = made["judging"]
    shapes = [dict(number=i, losses=dict(wikitext=[loss] * 2)) for i, loss in enumerate([2.0, 2.1, 1.0])]
    scored = [dict(number=i, scores={judging.COUNT: size}) for i, size in enumerate([100, 124, 156])]
    found = judging.judged_scores(shapes, scored, "wikitext").set_index("score")
    assert found.right[judging.COUNT] == 0  # of the pair that lies within a quarter, the larger one is worse
