"""`lts train` on a shaped parent and on a model with weights, and `lts eval` beside the parent."""

import json

import pandas as pd
import pytest
import torch
from kit import lts
from tiny_parent import save_stories, save_tiny_parent

from lts_nb.evaluation.stored_models import open_backbone_model


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A folder with a tiny trained parent, a text, and what became of the parent."
    folder = tmp_path_factory.mktemp("heal")
    save_tiny_parent(folder / "parent")
    save_stories(folder / "texts")
    shape = ["shape", folder / "parent", "--corpus", folder / "texts", "--out", folder / "shaped"]
    code, _, err = lts(*shape, "--windows", 2, "--members", 2, "--widths", "0,96,192")
    assert code == 0, err
    return folder


def asked(place, source, *more):
    "To train for a moment."
    text = ["--corpus", place / "texts", "--tokens", 10_240, "--batch-size", 8, "--lr", 0.0005, "--dtype", "float32"]
    return ["train", source, *text, *more]


@pytest.fixture(scope="module")
def healed(place):
    "The record of the smallest member, taught by its parent."
    id = pd.read_csv(place / "shaped" / "members.csv").id[0][:8]
    code, out, err = lts(*asked(place, place / "shaped", id, "--teacher", "parent", "--json"))
    assert code == 0 and "tokens/s" in err and "learns by divergence from the teacher" in err, err
    (record,) = json.loads(out)
    assert record["id"].startswith(id) and record["out"] == str(place / "shaped" / "models" / id)
    return record


def test_a_member_is_built_and_healed(place, healed):
    built = place / "shaped" / "built" / healed["id"][:8]
    assert (built / "parent.json").is_file() and (built / "model.safetensors").is_file()
    judged = healed["judged"]
    assert judged["gained"] == pytest.approx(judged["before"]["loss"] - judged["after"]["loss"])
    assert judged["before"]["over"] == "teacher" and judged["after"]["error"] > 0
    before, after = (open_backbone_model(folder)[0].state_dict() for folder in (built, healed["out"]))
    assert all(not torch.equal(weight, after[name]) for name, weight in before.items())


def test_called_again_it_says_what_is_there(place, healed):
    again = asked(place, place / "shaped", healed["id"][:8], "--teacher", "parent")
    code, out, err = lts(*again)
    assert code == 0, err
    judged = healed["judged"]
    assert f"before  {judged['before']['loss']:.4f}" in out and f"after   {judged['after']['loss']:.4f}" in out
    assert f"gained  {judged['gained']:.4f} ± {judged['gained_error']:.4f} nats" in out
    assert f"next: lts eval {healed['out']} --beside parent" in out
    code, out, err = lts(*again, "--hidden", 0.5)
    assert (code, out) == (2, "") and "was begun with hidden='0.0', and now it is '0.5'" in err


def test_evaluated_beside_its_parent(place, healed):
    options = ["--corpus", place / "texts", "--window", 64, "--stride", 64]
    code, out, err = lts("eval", healed["out"], *options, "--beside", "parent", "--json")
    assert code == 0, err
    found = json.loads(out)
    own, parents = found["perplexity"], found["beside"]
    assert parents["name"] == "parent" and (own["tokens"], own["window"]) == (parents["tokens"], parents["window"])
    assert parents["nats_per_token"] < own["nats_per_token"] < parents["nats_per_token"] + 1
    alone = json.loads(lts("eval", place / "parent", *options, "--json")[1])["perplexity"]
    assert alone["nats_per_token"] == pytest.approx(parents["nats_per_token"], abs=1e-5)
    code, out, err = lts("eval", healed["out"], *options, "--beside", "parent")
    assert code == 0 and "beside it, parent:" in out, err


def test_any_model_with_weights_goes_on_learning(place):
    code, out, err = lts(*asked(place, place / "parent", "--json"))
    assert code == 0, err
    (record,) = json.loads(out)
    assert record["out"] == str(place / "parent-healed") and record["learned_by"] == "cross entropy of the text"
    assert record["judged"]["gained"] > 0


@pytest.mark.parametrize(
    "source, more, reason",
    [
        ("shaped", [], "id: is missing; a parent has many shapes; `lts show` lists them"),
        ("shaped", ["0000"], "0 members begin so"),
        ("shaped", ["{id}", "{id}"], "the same member twice"),
        ("parent", ["{id}"], "is the id of a member, and this folder holds one model"),
        ("parent", ["--hidden", 1], "hidden=1.0: needs a teacher"),
        ("parent", ["--teacher", "parent"], "does not say what it was cut from"),
        ("parent", ["--vocab-size", 257], "vocab_size=257: a model that has weights keeps its tokenizer"),
        ("parent", ["--min-params", 1e4], "a model that has weights is trained here, and named by its id"),
        ("parent", ["--tokens", 100], "tokens=100: must be at least ten steps of 8 × 64 tokens"),
        ("parent", ["--recipe", "best"], "recipe='best'"),
        ("texts", ["--teacher", "{place}/parent"], "teacher="),
    ],
)
def test_bad_input(place, healed, source, more, reason):
    words = [str(word).format(id=healed["id"][:8], place=place) for word in more]
    code, out, err = lts(*asked(place, place / source, "--out", place / "refused", *words))
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: ") and reason in err.splitlines()[-1]
    assert not (place / "refused").exists()
