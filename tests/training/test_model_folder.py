"""A trained model's folder: its own only, and complete or not there, also when the disk is full."""

import contextlib
import sys
from dataclasses import replace

import pytest
import torch
from kit import files_up_to, slow_but
from transformers import AutoModelForCausalLM

from lts_nb.core.errors import InputError
from lts_nb.core.files import LOCK, only_one
from lts_nb.space.architecture import Architecture
from lts_nb.training.model_folder import train_model
from lts_nb.training.progress import Progress
from lts_nb.training.recipe import recipe_for

ARCHITECTURE = Architecture("gpt2", 32, (2, 4), (64, 96), vocab_size=300, max_len=32)
RECIPE = recipe_for(ARCHITECTURE, tokens=8_000, batch_size=8, lr=0.01, dtype="float32", valid_tokens=8_192)


@pytest.fixture(scope="module")
def straight(small, tmp_path_factory):
    "The model's folder and its record."
    out = tmp_path_factory.mktemp("straight") / "model"
    return out, train_model(ARCHITECTURE, out, small, RECIPE, say=None)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the file size as Linux has them")
@pytest.mark.parametrize("share", slow_but([0.5, 1.5], 0.5))
def test_a_full_disk(share, straight, small, tmp_path, monkeypatch):
    "At step 20 no file may be larger than a share of the weights, or of the optimizer, which is twice as large."

    def starve(self, args, state, control, **_):
        if state.global_step == 20:
            weights = next(starved.rglob("model.safetensors")).stat().st_size
            within.enter_context(files_up_to(int(weights * share)))

    out, training = straight
    starved = tmp_path / "starved"
    with contextlib.ExitStack() as within, monkeypatch.context() as changed, pytest.raises(OSError):
        changed.setattr(Progress, "on_step_begin", starve)
        train_model(ARCHITECTURE, starved, small, RECIPE, say=None)
    assert not (starved / "config.json").exists() and not (starved / "training.json").exists()
    again = train_model(ARCHITECTURE, starved, small, RECIPE, say=None)
    assert (again["loss"], again["curve"]) == (training["loss"], training["curve"])
    assert not (starved / "checkpoints").exists() and not (starved / "model.part").exists()
    weights = AutoModelForCausalLM.from_pretrained(out).state_dict()
    reopened = AutoModelForCausalLM.from_pretrained(starved).state_dict()
    assert all(torch.equal(weight, reopened[name]) for name, weight in weights.items())


@pytest.mark.parametrize(
    "change, reason",
    [
        (dict(recipe=replace(RECIPE, lr=0.02)), "was begun with recipe="),
        (dict(seed=1), "was begun with seed='0', and now it is '1'"),
        (dict(architecture=replace(ARCHITECTURE, d_model=48)), "was begun with id="),
    ],
)
def test_another_training(straight, small, change, reason):
    with pytest.raises(InputError, match=reason):
        train_model(**dict(architecture=ARCHITECTURE, folder=straight[0], corpus=small, recipe=RECIPE) | change)


def test_somebody_elses_folder(small, tmp_path):
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(InputError, match="out=.*: holds other things"):
        train_model(ARCHITECTURE, tmp_path, small, RECIPE)


def test_nothing_is_made_for_what_does_not_fit(small, tmp_path):
    with pytest.raises(InputError, match="max_len=32: must be at least seq_len=64"):
        train_model(ARCHITECTURE, tmp_path / "new", small, replace(RECIPE, seq_len=64))
    assert not (tmp_path / "new").exists()


def test_of_several_budgets_the_largest(small, tmp_path):
    several = replace(RECIPE, tokens=(3_000, 6_000))
    assert train_model(ARCHITECTURE, tmp_path / "model", small, several, say=None)["tokens"] == 6_000


def test_two_trainings_do_not_share_a_folder(small, tmp_path):
    folder = tmp_path / "model"
    with only_one(folder / LOCK, "out='here'", "training"):
        with pytest.raises(InputError, match="model': another training is running there; wait until it ends"):
            train_model(ARCHITECTURE, folder, small, RECIPE, say=None)
    assert list(folder.iterdir()) == []
