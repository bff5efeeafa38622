"Scores by replays and by gradients: what they mean, how they are filed, and that threads do not meet."

import json

import numpy as np
import pytest
import torch
from tiny_parent import stories, tiny_parent, token_windows

from lts_nb.core.errors import InputError
from lts_nb.shaping import blocks
from lts_nb.shaping.blocks import Replacement, ends_of
from lts_nb.shaping.filing import open_filing, read_filed
from lts_nb.shaping.gradients import Gradients, score_gradients
from lts_nb.shaping.scores import Choice, complete, score_windows


def shrunk(choice: Choice) -> Replacement:
    "An end with all its units, which sends a little less: the fewer `units`, the less."
    end = ends_of(tiny_parent())[choice.layer, choice.half]
    return Replacement(torch.arange(end.n_units), end.matrix * (1 - 0.02 * choice.units))


@pytest.fixture(scope="module")
def asked():
    choices = [Choice(layer, half, n) for layer in range(4) for half in ("attention", "feed_forward") for n in (1, 2)]
    return tiny_parent(), token_windows(stories().valid).reshape(-1, 16)[:80], choices


def by_gradients(asked, folder, n=80, **more) -> Gradients:
    parent, sequences, choices = asked
    return score_gradients(parent, sequences[:n], choices, shrunk, folder / "gradients.jsonl", **more)


def test_gradients_tell_what_replays_tell_of_little_changes(asked, tmp_path):
    "Twice the change is exactly four times the divergence to second order, and nearly so replayed."
    parent, sequences, choices = asked
    found = by_gradients(asked, tmp_path).nats.mean(0)
    whole = sorted([*choices, *(Choice(layer, "layer", 0) for layer in range(4))])
    replays = score_windows(parent, sequences, whole, shrunk, tmp_path / "scores.jsonl").mean(0)
    replayed = np.array([replays[whole.index(choice)] for choice in choices])
    assert found[1::2] == pytest.approx(4 * found[::2], rel=1e-3)
    assert np.corrcoef(np.log(found), np.log(replayed))[0, 1] > 0.95
    assert np.median(found / replayed) == pytest.approx(1, abs=0.2)


def test_what_is_done_together():
    drawn = np.array([[1.0, 2.0, 0.5], [3.0, -1.0, 0.5]])
    found = Gradients([Choice(0, "attention", 1), Choice(0, "feed_forward", 1), Choice(1, "attention", 1)], 4, drawn)
    assert found.nats[0].tolist() == [1 / 8, 4 / 8, 0.25 / 8]
    assert found.together(found.choices[:2]) == pytest.approx((9 + 4) / 2 / 2 / 4)
    assert found.together(found.choices[:1]) == pytest.approx(found.nats[:, 0].mean())


def test_killed_it_goes_on_to_the_same_end(asked, tmp_path):
    whole, path, counted = by_gradients(asked, tmp_path, 12), tmp_path / "gradients.jsonl", []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:6]) + lines[6][:-5], encoding="utf-8")
    again = by_gradients(asked, tmp_path, 12, done=lambda: counted.append(1))
    assert len(counted) == 7 and again.drawn == pytest.approx(whole.drawn, rel=1e-6, abs=1e-9)
    with pytest.raises(InputError, match="are of another text; take another folder"):
        by_gradients(asked, tmp_path, 11)


@pytest.mark.parametrize("cores", [1, 3])
def test_threads_do_not_meet(asked, tmp_path, monkeypatch, cores):
    "Three threads replace ends at once, each in modules of its own; the parent is as it was, and so are its flags."
    monkeypatch.setattr(blocks, "usable_cores", lambda: cores)
    parent, sequences, choices = asked
    flags = [weight.requires_grad for weight in parent.model.parameters()]
    threads, before = torch.get_num_threads(), parent.model(sequences[:1]).logits.detach()
    whole = sorted([*choices, *(Choice(layer, "layer", 0) for layer in range(4))])
    scores = score_windows(parent, sequences[:9], whole, shrunk, tmp_path / "scores.jsonl")
    found = by_gradients(asked, tmp_path, 9)
    monkeypatch.setattr(blocks, "usable_cores", lambda: 2)
    (tmp_path / "two").mkdir()
    assert by_gradients(asked, tmp_path / "two", 9).drawn == pytest.approx(found.drawn, rel=1e-5, abs=1e-7)
    again = score_windows(parent, sequences[:9], whole, shrunk, tmp_path / "two" / "scores.jsonl")
    assert again == pytest.approx(scores, rel=1e-4, abs=1e-7)
    assert torch.equal(parent.model(sequences[:1]).logits.detach(), before)
    assert (
        flags == [weight.requires_grad for weight in parent.model.parameters()] and threads == torch.get_num_threads()
    )


def test_the_time_that_is_given_ends_scores_after_a_window(asked, tmp_path):
    parent, sequences, choices = asked
    whole = sorted([*choices, *(Choice(layer, "layer", 0) for layer in range(4))])
    path = tmp_path / "scores.jsonl"
    some = score_windows(parent, sequences[:40], whole, shrunk, path, seconds=0)
    assert 1 <= len(some) < 40
    first, *rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    filed = {(window, layer): nats for window, layer, nats in rows}
    assert some.tolist() == [sum((filed[i, layer] for layer in range(4)), []) for i in complete(filed, 4)]
    assert len(score_windows(parent, sequences[:40], whole, shrunk, path)) == 40  # and all of them later


def test_a_line_is_there_the_moment_it_is_filed(tmp_path):
    path = tmp_path / "scores.jsonl"
    with open_filing(path, "q") as filing:
        filing.add(3, 1, figures=[0.5])
        assert read_filed(path, "q") == {(3, 1): [0.5]}  # whoever is killed now has it


@pytest.mark.parametrize("line", ["{}", "[1.0]", "[[1], 2]", "nothing", "[0, null]"])
def test_a_line_that_holds_no_figures(tmp_path, line):
    path = tmp_path / "scores.jsonl"
    path.write_text(f'{{"question": "q"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(InputError, match="is damaged; take another folder"):
        read_filed(path, "q")
