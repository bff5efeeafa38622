"""Recipes that cannot be, schedules at their ends, and models that a recipe does not fit."""

import re
from dataclasses import replace

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.space.architecture import Architecture
from lts_nb.training.recipe import RECIPES, Recipe, check_recipe_fits, recipe_for
from lts_nb.training.tokens import Tokens


@pytest.mark.parametrize(
    "fields, reason",
    [
        (dict(tokens=(2, 1)), r"tokens=\[2, 1\]: must be budgets that rise"),
        (dict(tokens=()), r"tokens=\[\]: must be budgets that rise"),
        (dict(tokens=(1e6,)), "tokens=1000000.0: must be a whole number"),
        (dict(tokens=100), "tokens=100: must be at least ten steps of 16 × 128 tokens"),
        (dict(batch_size=0), "batch_size=0: must be a whole number"),
        (dict(seq_len=1.5), "seq_len=1.5"),
        (dict(lr=-1), "lr=-1: must be a number above 0"),
        (dict(lr=float("nan")), "lr=nan: must be a number above 0"),
        (dict(warmup=2), "warmup=2: must be a number above 0 and at most 1"),
        (dict(dtype="int8"), "dtype='int8': must be one of bfloat16, float32, auto"),
        (dict(dropout=1), "dropout=1: must be a number from 0 to 0.9"),
        (dict(curve="square"), "curve='square'"),
        (dict(floor=True), "floor=True: must be a number from 0 to 1"),
        (dict(optimizer="sgd"), "optimizer='sgd': must be one of adamw, lamb"),
        (dict(scaled=None), "scaled=None"),
    ],
)
def test_what_cannot_be(fields, reason):
    with pytest.raises(InputError, match=reason):
        Recipe(**fields)


@pytest.mark.parametrize("recipe", [*RECIPES.values(), Recipe(tokens=(30_000, 50_000, 90_000), curve="cosine")])
def test_schedules_rise_hold_and_end(recipe):
    for k in range(len(recipe.tokens)):
        rates = [recipe.rate(step, k) for step in range(recipe.steps(k) + 1)]
        top = rates.index(max(rates))
        assert 0 < rates[0] and max(rates) <= 1 and rates[-1] == recipe.floor
        assert np.all(np.diff(rates[: top + 1]) >= 0) and np.all(np.diff(rates[max(top, recipe.hold(k)) :]) <= 0)


def test_budgets_agree_until_they_branch_off():
    recipe = Recipe(tokens=(30_000, 50_000, 90_000))
    for k in (0, 1):
        assert all(recipe.rate(step, k) == recipe.rate(step, 2) for step in range(recipe.hold(k)))


def test_changes_of_a_named_recipe():
    architecture = Architecture("gpt2", 32, (2, 4), (64, 96), vocab_size=300, max_len=32)
    assert recipe_for(architecture, "study") == RECIPES["study"]
    assert recipe_for(architecture, "cosine", seq_len=16, dtype=None).seq_len == 16
    with pytest.raises(InputError, match="lr=-1"):
        recipe_for(architecture, lr=-1)


@pytest.mark.parametrize("tokens", [float("nan"), float("inf"), 1e300, -1.0, 0])
def test_budgets_that_cannot_be(tokens):
    architecture = Architecture("gpt2", 32, (2, 4), (64, 96), vocab_size=300, max_len=32)
    with pytest.raises(InputError, match=re.escape(f"tokens={tokens}: must be a number above 0 and at most 1e+15")):
        recipe_for(architecture, tokens=tokens)


@pytest.mark.parametrize(
    "model, arrays, reason",
    [
        (dict(vocab_size=200), {}, "vocab_size=200: must be at least the tokenizer's 300"),
        (dict(max_len=16), {}, "max_len=16: must be at least seq_len=32"),
        ({}, dict(train=np.zeros(255)), "corpus: has 255 tokens to train on: must be at least a step, 8 × 32"),
        ({}, dict(valid=np.zeros(31)), "corpus: has 31 tokens to validate with: must be at least seq_len=32"),
    ],
)
def test_what_does_not_fit(model, arrays, reason):
    architecture = Architecture("gpt2", 32, (2,), (64,), **dict(vocab_size=300, max_len=32) | model)
    data = replace(Tokens(np.zeros(256), np.zeros(32), 64, 300, "", ""), **arrays)
    with pytest.raises(InputError, match=reason):
        check_recipe_fits(architecture, data, Recipe(tokens=(20_000,), batch_size=8, seq_len=32))
