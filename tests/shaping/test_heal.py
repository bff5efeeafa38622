"""A tiny parent loses half of its neurons and learns again: from its parent, killed and continued, or not at all."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from kit import killed_at
from tiny_parent import TINY, save_tiny_parent, stories, tiny_parent, token_windows

from lts_nb.core.errors import InputError
from lts_nb.evaluation.handover import export
from lts_nb.evaluation.stored_models import open_backbone_model
from lts_nb.models.build import build
from lts_nb.models.cut import cut
from lts_nb.models.parent import Parent
from lts_nb.models.shape import Kept, Shape
from lts_nb.shaping.heal import check_teacher, heal, layers_taught, open_patient, read_teacher, start_of
from lts_nb.shaping.origin import ORIGIN, Origin, write_origin
from lts_nb.training.loop import train
from lts_nb.training.model_folder import read_data
from lts_nb.training.recipe import recipe_for
from lts_nb.training.start import Lesson, divergence_loss, layers_in, stream_loss, streams_behind

HALF, ALL = Kept((0, 1), range(0, 192, 2)), Kept((0, 1), range(192))
SHALLOW = Shape((ALL, ALL, None, ALL))
RECIPE = recipe_for(TINY, "heal", tokens=10_240, batch_size=8, lr=0.002, dtype="float32", valid_tokens=2_048)

pytestmark = pytest.mark.usefixtures("one_thread")


def save_cut(folder: Path, shape: Shape, parent: Path) -> Path:  # the folder
    cut(tiny_parent(), shape).save_pretrained(folder)
    tiny_parent().tokenizer.save_pretrained(folder)
    write_origin(folder, Origin("tiny", str(parent), "apache-2.0", shape))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "The parent, what is left of it with half of its neurons, and without its third layer."
    folder = tmp_path_factory.mktemp("heal")
    parent = save_tiny_parent(folder / "parent")
    save_cut(folder / "half", Shape((HALF,) * 4), parent)
    save_cut(folder / "shallow", SHALLOW, parent)
    return folder


@pytest.fixture(scope="module")
def healed(place):
    "What half of the neurons learned from the parent without interruption; folder and record."
    folder = place / "healed"
    return folder, heal(place / "half", folder, stories(), RECIPE, teacher="parent", hidden=0.5, say=None)


def opened(folder: Path):
    return open_backbone_model(folder)[0].float().eval()


@torch.no_grad()
def far_from_parent(model) -> float:  # nats on held-out text
    windows = token_windows(stories().valid, 16)
    return divergence_loss(model(windows).logits, tiny_parent().model(windows).logits).item()


def test_it_comes_nearer_to_its_parent(place, healed):
    folder, record = healed
    before, after = far_from_parent(opened(place / "half")), far_from_parent(opened(folder))
    assert after < before / 4
    judged = record["judged"]
    assert judged["after"]["loss"] == pytest.approx(record["loss"], abs=1e-5)
    assert judged["gained"] == pytest.approx(judged["before"]["loss"] - judged["after"]["loss"])
    assert judged["before"]["rise"] > 4 * judged["after"]["rise"] and judged["gained"] > 10 * judged["gained_error"]


def test_the_record_and_the_card_say_how(healed, tmp_path):
    folder, record = healed
    assert json.loads((folder / "training.json").read_text(encoding="utf-8")) == json.loads(json.dumps(record))
    how = "divergence from the teacher + 0.5 × distance of residual streams"
    assert (record["learned_by"], record["teacher_name"], record["seed"]) == (how, "parent", 0)
    assert (record["tokens"], record["recipe"]["lr"], record["corpus"]) == (10_240, 0.002, "stories")
    card = (export(folder, tmp_path / "handed") / "README.md").read_text(encoding="utf-8")
    assert f"| learned by | {how} |" in card and "| teacher | parent (apache-2.0) |" in card
    assert f"after {record['judged']['after']['loss']:.4f}" in card


def test_the_tokenizer_stays_as_it_is(place, healed):
    ours, theirs = (transformers.AutoTokenizer.from_pretrained(folder) for folder in (healed[0], place / "half"))
    text = stories().valid[0]
    assert ours(text).input_ids == theirs(text).input_ids and ours.get_vocab() == theirs.get_vocab()
    configs = [json.loads((folder / "config.json").read_text()) for folder in (healed[0], place / "half")]
    assert configs[0] == configs[1]


def test_what_does_not_learn_does_not_change(place):
    "A rate so small that no weight moves: loading, preparing and saving are what is left."
    heal(place / "half", place / "still", stories(), replace(RECIPE, lr=1e-15), teacher="parent", say=None)
    before, after = opened(place / "half").state_dict(), opened(place / "still").state_dict()
    assert before.keys() == after.keys()
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, rtol=0, atol=1e-12)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_and_continued(place, healed):
    "On one thread, as in the process that is killed: the same to the last bit."
    folder, options = place / "killed", dict(teacher="parent", hidden=0.5, say=None)
    assert killed_at(13, heal, place / "half", folder, stories(), RECIPE, **options) == -9
    assert list(folder.glob("checkpoints/0/checkpoint-*")) and not (folder / "config.json").exists()
    record = heal(place / "half", folder, stories(), RECIPE, **options)
    for name in ("loss", "curve", "judged"):
        assert record[name] == healed[1][name]
    weights = opened(healed[0]).state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in opened(folder).state_dict().items())


def test_judged_later_if_killed_before(place, healed):
    folder, record = healed
    (folder / "training.json").write_text(json.dumps({k: v for k, v in record.items() if k != "judged"}))
    assert heal(place / "half", folder, stories(), RECIPE, teacher="parent", hidden=0.5, say=None) == record


def test_a_step_in_parts_is_the_same_step(place):
    patient = open_patient(place / "half")
    start = start_of(patient, read_teacher("parent", patient), hidden=0.5, cross_entropy=0.3)
    data = read_data(patient.architecture, RECIPE, (stories(), None), (place / "half", None), None)[1]
    at_once, in_parts = (train(patient.architecture, data, RECIPE, parts=parts, start=start) for parts in (1, 4))
    assert at_once["losses"][0] == pytest.approx(in_parts["losses"][0], abs=2e-4)
    for (_, one), (_, other) in zip(at_once["curve"], in_parts["curve"], strict=True):
        assert one == pytest.approx(other, abs=2e-3)


def test_a_parent_has_nothing_to_learn_from_itself():
    lesson = Lesson(tiny_parent().model, hidden=1.0, layers=range(4))
    assert lesson(tiny_parent().model, token_windows(stories().valid, 4)).item() == pytest.approx(0, abs=1e-6)


def test_layers_learn_from_those_that_they_were(place):
    "Before the layer that is gone, streams are the parent's; behind it they are not."
    patient = open_patient(place / "shallow")
    taught = layers_taught(tiny_parent(), patient)
    assert taught == (0, 1, 3)
    windows = token_windows(stories().valid, 4)
    with torch.no_grad(), streams_behind(layers_in(model := patient.load())) as own:
        model(windows)
    with torch.no_grad(), streams_behind([layers_in(tiny_parent().model)[i] for i in taught]) as theirs:
        tiny_parent().model(windows)
    shares = [stream_loss([mine], [wanted]).item() for mine, wanted in zip(own, theirs, strict=True)]
    assert shares[0] == pytest.approx(0, abs=1e-9) and shares[1] == pytest.approx(0, abs=1e-9) and shares[2] > 1e-3


@pytest.mark.parametrize("share, hidden", [(0, 0), (0.5, 0), (1, 0.5), (0, 0.5)])
def test_every_weight_learns(place, share, hidden):
    patient = open_patient(place / "shallow")
    lesson = start_of(patient, tiny_parent(), hidden, share).lesson
    lesson(model := patient.load(), token_windows(stories().valid, 2)).backward()
    assert all(weight.grad.abs().max() > 0 for weight in model.parameters())
    assert all(weight.grad is None for weight in tiny_parent().model.parameters())


def test_without_a_teacher_the_text_is_learned(place):
    patient = open_patient(place / "half")
    record = heal(place / "half", place / "plain", stories(), RECIPE, say=None)
    assert record["learned_by"] == "cross entropy of the text" and record["teacher"] is None
    assert "teacher" not in record["judged"] and record["judged"]["gained"] > 3 * record["judged"]["gained_error"] > 0
    assert start_of(patient).lesson is None


@pytest.mark.parametrize(
    "changes, reason",
    [
        (dict(vocab_size=301), "has another vocabulary, of 301; must be of the model's 300"),
        (dict(n_head=(4,) * 2, d_inner=(192,) * 2, n_kv_head=(2,) * 2), "has 2 layers; hidden takes 4 or more"),
        (dict(d_model=32), "is 32 wide; hidden takes 64"),
        (dict(n_head=(4,) * 5, d_inner=(192,) * 5, n_kv_head=(2,) * 5), "which of the teacher's 5 layers are left"),
    ],
)
def test_teachers_that_cannot_teach(place, changes, reason):
    architecture, patient = replace(TINY, **changes), open_patient(place / "half")
    teacher = Parent(architecture, build(architecture), name="other")
    with pytest.raises(InputError, match=reason):
        check_teacher(teacher, patient)
        start_of(patient, teacher, hidden=1.0)


def test_a_teacher_of_other_tokens(place):
    patient = open_patient(place / "half")
    tokenizer = transformers.AutoTokenizer.from_pretrained(place / "half")
    tokenizer.add_tokens(["never"])
    with pytest.raises(InputError, match="teacher='tiny': has another vocabulary; must be the model's, token by token"):
        check_teacher(replace(tiny_parent(), tokenizer=tokenizer), patient)


@pytest.mark.parametrize(
    "options, reason",
    [
        (dict(hidden=1.0), "hidden=1.0: needs a teacher"),
        (dict(cross_entropy=0.5), "cross_entropy=0.5: needs a teacher"),
        (dict(teacher="parent", hidden=-1.0), "hidden=-1.0: must be 0 or more"),
        (dict(teacher="parent", cross_entropy=1.5), "cross_entropy=1.5: must be a share from 0 to 1"),
        (dict(teacher="no/where/at/all"), "teacher='no/where/at/all': must be a folder"),
        (dict(recipe=replace(RECIPE, seq_len=128)), "max_len=64: must be at least seq_len=128"),
        (dict(recipe=replace(RECIPE, valid_tokens=64)), "has 1 held-out windows of 64 tokens; must have 2 or more"),
    ],
)
def test_what_does_not_go_together(place, tmp_path, options, reason):
    with pytest.raises(InputError, match=reason):
        heal(place / "half", tmp_path / "out", stories(), **dict(recipe=RECIPE, say=None) | options)
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_healed(place, tmp_path):
    cut(tiny_parent(), SHALLOW).save_pretrained(tmp_path / "mute")
    for folder, reason in ((tmp_path / "mute", "has no tokenizer"), (tmp_path / "none", "is no folder of a model")):
        with pytest.raises(InputError, match=reason):
            open_patient(folder)
    patient = open_patient(save_cut(tmp_path / "nameless", SHALLOW, place / "parent"))
    (tmp_path / "nameless" / ORIGIN).unlink()
    with pytest.raises(InputError, match="does not say what it was cut from"):
        read_teacher("parent", patient)
