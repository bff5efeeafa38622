"Which windows are read, which of shapes that are alike is taken, which repair, and what pairs add: by hand."

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_parent import TINY, stories, tiny_parent

from lts_nb.core.errors import InputError
from lts_nb.models.shape import Kept, Shape
from lts_nb.shaping import budgets, repaired, shaped
from lts_nb.shaping.evidence import Evidence
from lts_nb.shaping.filing import open_filing
from lts_nb.shaping.gradients import Gradients
from lts_nb.shaping.moments import STRETCH, sample_windows
from lts_nb.shaping.repaired import Repairs
from lts_nb.shaping.scores import Choice
from lts_nb.shaping.settings import ShapeSettings, digest_of, texts_of
from lts_nb.training.corpus import Corpus

WHOLE = Kept(range(2), range(192))


class Numbers:
    "A tokenizer of words that are numbers."

    eos_token_id = None

    def __call__(self, text, **_):
        return {"input_ids": [int(word) for word in text.split()]}


def test_windows_come_from_all_over_a_text():
    text = [" ".join(map(str, range(3000)))]
    found = sample_windows(text, Numbers(), 3, 20)
    starts = found[:, 0].tolist()
    assert torch.equal(found, sample_windows(text, Numbers(), 3, 20))  # the same ones every time
    assert len(set(starts)) == 20 and all(start % 3 == 0 for start in starts)
    assert min(starts) < 3 * 20 < 3 * 20 * STRETCH / 2 < max(starts) < 3 * 20 * STRETCH


def test_no_two_purposes_share_a_window():
    settings = ShapeSettings(n_calibration=6, n_scored=3, n_sequences=16, n_judged=4).of(tiny_parent())
    texts = texts_of(stories(), tiny_parent(), settings)
    assert (texts.calibration.shape, texts.scored.shape, texts.judged.shape) == ((6, 64), (3, 64), (4, 64))
    assert texts.sequences.shape == (16, 16)
    rows = [tuple(row[:16].tolist()) for part in (texts.calibration, texts.scored, texts.judged) for row in part]
    rows += [tuple(row.tolist()) for row in texts.sequences[::4]]
    assert len(set(rows)) == len(rows) == 6 + 3 + 4 + 4


@pytest.mark.parametrize("losses", [(2.0, 1.0), (1.0, 2.0)])
def test_the_repair_that_loses_less_is_taken(monkeypatch, losses):
    monkeypatch.setattr(Repairs, "outputs", lambda self, shape, fitted: (losses[fitted], {}))
    monkeypatch.setattr(repaired, "cut", lambda parent, shape, matrices, biases: matrices)
    monkeypatch.setattr(repaired, "window_losses", lambda model, windows: np.array([model]))
    repairs = Repairs(tiny_parent(), torch.zeros((2, 8), dtype=torch.long))
    assert repairs.best_model(None, None) == (1.0, losses[1] == 1.0, (1.0, {}))


def frontier_of(*shapes):
    "A frontier with these shapes, as large as their number."
    F = np.array([[0.1, 10.0 * i] for i in range(len(shapes))])
    known = dict(objectives=("loss_rise", "decoder_params"), scored=None)
    return SimpleNamespace(F=F, shape=lambda i: shapes[i], within=within, **known)


def within(name, limit):
    assert name == "decoder_params"
    return int(limit // 10)


def test_the_truly_best_of_shapes_that_are_alike_is_taken(monkeypatch, tmp_path):
    "Each is built once, and what was filed is not built again."
    wide, other, narrow = (Shape((Kept(range(2), range(n)), WHOLE, WHOLE, WHOLE)) for n in (192, 96, 48))
    loss, built = {wide: 3.0, other: 1.0, narrow: 2.0}, []
    texts = SimpleNamespace(scored=torch.zeros((2, 8), dtype=torch.long))
    repairs = SimpleNamespace(model=lambda shape, fitted: built.append(shape) or loss[shape])
    shaping = SimpleNamespace(repairs=repairs, parent=tiny_parent(), texts=texts)
    monkeypatch.setattr(shaped, "window_losses", lambda model, windows: np.full(2, model))
    frontiers = [frontier_of(narrow, wide), frontier_of(narrow, other), frontier_of(other, narrow)]
    for _ in range(2):
        with open_filing(tmp_path / "candidates.jsonl", "q") as filing:
            taken, at = shaped.best_alike(shaping, frontiers, 1, filing)
            assert (taken, at) == (frontiers[1], 1)
    assert built == [wide, other, narrow]


def test_shapes_of_one_architecture_are_tried_one_by_one(monkeypatch, tmp_path):
    "Without the first layer or without the second: the same architecture, and another model."
    without = [Shape((None, WHOLE, WHOLE, WHOLE)), Shape((WHOLE, None, WHOLE, WHOLE))]
    assert without[0].architecture(TINY) == without[1].architecture(TINY) and without[0].id != without[1].id
    texts = SimpleNamespace(scored=torch.zeros((2, 8), dtype=torch.long))
    repairs = SimpleNamespace(model=lambda shape, fitted: 1.0 + without.index(shape))
    shaping = SimpleNamespace(repairs=repairs, parent=tiny_parent(), texts=texts)
    monkeypatch.setattr(shaped, "window_losses", lambda model, windows: np.full(2, model))
    for better, worse in ((0, 1), (1, 0)):
        frontiers = [frontier_of(without[worse]), frontier_of(without[better])]
        with open_filing(tmp_path / f"{better}.jsonl", "q") as filing:
            assert shaped.best_alike(shaping, frontiers, 0, filing) == (frontiers[0 if worse == 0 else 1], 0)
            assert filing.found == {(shape.id,): [1.0 + i] * 2 for i, shape in enumerate(without)}


def test_the_table_and_the_file_of_a_member_tell_of_one_shape(monkeypatch, tmp_path):
    "Where two shapes have one architecture the file holds the last, and so does the table; not of other windows."
    without = [Shape((None, WHOLE, WHOLE, WHOLE)), Shape((WHOLE, None, WHOLE, WHOLE))]
    texts = SimpleNamespace(scored=None, judged=torch.zeros((2, 8), dtype=torch.long))
    (tmp_path / "members").mkdir()

    def judge(shaping, shape, parents, folder, id="same", judged=digest_of(texts.judged)):
        found = dict(id=id, judged=judged, rise=1.0 + without.index(shape))
        (folder / "members" / f"{id}.json").write_text(json.dumps(found), encoding="utf-8")

    judge(None, without[0], None, tmp_path, "before")
    judge(None, without[0], None, tmp_path, "elsewhere", "other windows")
    monkeypatch.setattr(shaped, "question_of", lambda *asked: "q")
    monkeypatch.setattr(shaped, "alike", lambda *asked: [frontier_of(*without)])
    monkeypatch.setattr(shaped, "wanted_members", lambda frontier, settings: [0, 1])
    monkeypatch.setattr(shaped, "best_alike", lambda shaping, frontiers, number, filing, done: (frontiers[0], number))
    monkeypatch.setattr(shaped, "judge_member", judge)
    row = lambda *given: dict(given[3], with_pairs=0.1, decoder_params=given[3]["rise"])  # noqa: E731
    monkeypatch.setattr(shaped, "row_of", row)
    shaping = SimpleNamespace(settings=None, parent=None, texts=texts, how="")
    asked = ("loss_rise", "decoder_params"), None, None
    table = shaped.judge_members(shaping, None, asked, np.zeros(2), tmp_path, lambda: None)
    assert dict(zip(table.id, table.rise)) == dict(before=1.0, same=2.0)


def test_choices_that_leave_no_shape(monkeypatch):
    monkeypatch.setattr(budgets, "spread_members", lambda frontier, n, smallest: [])
    with pytest.raises(InputError, match="widths, groups: leave no shape between 50% and 100 % of the parent"):
        budgets.wanted_members(frontier_of(Shape((WHOLE, WHOLE, WHOLE, WHOLE))), ShapeSettings())


def test_a_table_that_cannot_be_written_leaves_the_one_that_was_there(monkeypatch, tmp_path):
    def half(self, path, **options):
        Path(path).write_text("id,sh", encoding="utf-8")
        raise OSError("full")

    (tmp_path / "members.csv").write_text("whole", encoding="utf-8")
    monkeypatch.setattr("pandas.DataFrame.to_csv", half)
    with pytest.raises(OSError, match="full"):
        shaped.write_folder(tmp_path, tiny_parent(), ShapeSettings(), pd.DataFrame(dict(id=["a"])), {})
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["whole"]


@pytest.mark.parametrize("n_scored, n_sequences", [(10_000, 16), (2, 100_000), (10_000, 100_000), (2, 16)])
def test_every_purpose_has_a_window(n_scored, n_sequences):
    few = Corpus("few", stories().train[:8], stories().valid[:8], "")
    settings = ShapeSettings(n_scored=n_scored, n_sequences=n_sequences, n_judged=4).of(tiny_parent())
    texts = texts_of(few, tiny_parent(), settings)
    assert min(map(len, vars(texts).values())) >= 1


def test_only_whole_halves_may_go(tmp_path):
    "No choice is small then, and nothing is asked of gradients."
    settings = ShapeSettings(widths=(0,), groups=(0,), n_calibration=4, n_scored=2, n_judged=2, n_members=3)
    table = shaped.shape_parent(tiny_parent(), stories(), tmp_path, settings)
    assert len(table) >= 2 and np.isfinite(table.rise).all() and not (tmp_path / "gradients.jsonl").exists()


def test_a_member_is_built_from_the_parent_that_was_shaped_alone(tmp_path):
    settings = ShapeSettings(widths=(0,), groups=(0,), n_calibration=4, n_scored=2, n_judged=2, n_members=2)
    table = shaped.shape_parent(tiny_parent(), stories(), tmp_path, settings)
    other = tiny_parent(steps=1)
    with pytest.raises(InputError, match="has other weights than .* had when it was shaped"):
        shaped.build_member(tmp_path, table.id.iloc[0], other)
    with pytest.raises(InputError, match="parent='': must be a folder with a model"):
        shaped.build_member(tmp_path, table.id.iloc[0])  # nobody said where the parent lies
    assert shaped.build_member(tmp_path, table.id.iloc[0], tiny_parent())[2].id == table.id.iloc[0]


def test_what_pairs_add():
    "Two choices whose effects are 1 and 2 cost (1 + 2)² / 2 together and (1 + 4) / 2 apart."
    small = [Choice(0, "attention", 1), Choice(0, "feed_forward", 96), Choice(1, "feed_forward", 96)]
    evidence = Evidence([], np.zeros((1, 0)), Gradients(small, 1, np.array([[1.0, 2.0, 5.0]])))
    taken = Shape((Kept([0], range(96)), WHOLE, WHOLE, WHOLE))
    assert evidence.of_pairs(taken) == pytest.approx(9 / 2 - 5 / 2)
    assert evidence.of_pairs(Shape((Kept([0], range(192)), WHOLE, WHOLE, WHOLE))) == pytest.approx(0)
    assert evidence.of_pairs(Shape.whole(TINY)) == 0


@pytest.mark.parametrize("n, strengths", [(1, [0]), (3, [0, 1 / 3, 2 / 3])])
def test_frontiers_are_solved_with_scores_drawn_together_ever_more(monkeypatch, n, strengths):
    shaping = SimpleNamespace(settings=ShapeSettings(n_alike=n), scored=lambda evidence, strength: (evidence, strength))
    monkeypatch.setattr(shaped, "shape_frontier", lambda scored, *asked: (scored, asked))
    found = shaped.alike(shaping, "evidence", ("objectives", "profile"))
    assert found == [(("evidence", pytest.approx(each)), ("objectives", "profile")) for each in strengths]
