"""A shaped folder is a run folder: it is shown, drawn and picked from; what is damaged in it is one line."""

import json
import os
import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from kit import SMALL, lts
from safetensors.torch import load_file, save_file
from tiny_parent import save_stories, save_tiny_parent, stories, tiny_parent
from transformers import PreTrainedTokenizerFast

from lts_nb.core.screen import width_of
from lts_nb.core.workload import Workload
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.shaping.parents import read_parent
from lts_nb.shaping.settings import ShapeSettings
from lts_nb.shaping.shaped import steps_of
from lts_nb.shaping.shaped_folder import ShapedFolder
from lts_nb.space.space import SearchSpace

PROGRESS = ("reading ", "listening to ", "ordering ", "scoring ", "judging ", "repairing")
HEADS = dict(n_head=[2, 4], n_kv_head=[1, 2], d_head=16)
SPACE = SearchSpace(
    "llama", [2, 3, 4], [64], [24, 96, 192], vocab_size=[300], max_len=64, min_ratio=0, **HEADS
)  # what a profile must cover for the tiny parent


def profile_of(space: SearchSpace, path: Path) -> Path:
    "The profile of a pretended device."
    device = FakeTarget(seconds_per_part=1e-5, seconds_per_flop=1e-9)
    DeviceProfile.measure(space, device, Workload(prompt_len=32), held_out=0).save(path)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A folder with a tiny parent, a text, a profile, and what it was shaped into; not to be changed."
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_parent(folder / "parent")
    save_stories(folder / "texts")
    profile_of(SPACE, folder / "device.json")
    code, _, wrong = shape(folder, folder / "run", "--profile", folder / "device.json")
    assert code == 0, wrong
    return folder


def shape(place, out, *more):
    "`lts shape` of the tiny parent, quickly."
    few = ["--windows", 2, "--members", 4, "--widths", "0,48,96,144,192"]
    return lts("shape", place / "parent", "--corpus", place / "texts", "--out", out, *few, *more)


@pytest.fixture
def run(place, tmp_path):
    "A copy of the shaped folder to spoil."
    return Path(shutil.copytree(place / "run", tmp_path / "run"))


@pytest.fixture
def parent(place, tmp_path):
    "A copy of the parent to spoil."
    return Path(shutil.copytree(place / "parent", tmp_path / "parent"))


def one_line(*said, of):
    "Did a command end with code 2 and one line, progress aside, that says all this?"
    code, out, err = of
    lines = [line for line in err.splitlines() if not line.startswith(PROGRESS)]
    assert (code, out, len(lines)) == (2, "", 1) and lines[0].startswith("error: "), (code, out, err)
    assert all(part in lines[0] for part in said), lines[0]


# --- show


def test_show(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")  # a window in which each row is a line
    (run / "frontier.png").unlink()
    code, said, wrong = lts("show", run)
    shaped, (head, names, first, *rows) = ShapedFolder.load(run), said.splitlines()
    assert code == 0 and "drawn in" in wrong and (run / "frontier.png").read_bytes()[:4] == b"\x89PNG"
    assert head.startswith("parent, 4 layers of width 64: 4 shapes judged")
    assert f"on {shaped.members.windows[0]} windows" in head
    assert first.split()[0] == "parent" and "100.0" in first
    assert [row.split()[0] for row in rows] == [id[:8] for id in shaped.frontier.id]  # by size
    for name in ("params [M]", "of the parent [%]", "rise [nats]", "±", "perplexity", "predicted [ms]", "times faster"):
        assert name in names
    assert len(lts("show", run, "--at-most", 2)[1].splitlines()) == 5
    monkeypatch.delenv("COLUMNS")
    assert width_of(lts("show", run)[1].splitlines()[1:]) <= 80


def test_show_as_json(place):
    code, said, _ = lts("show", place / "run", "--json")
    found, table = json.loads(said), pd.read_csv(place / "run" / "members.csv")
    assert code == 0 and found["run"]["parent"] == "parent" and found["run"]["licence"] == "apache-2.0"
    assert (found["parent"]["rise"], found["parent"]["share"]) == (0, 1)
    for row in found["frontier"]:
        filed = table[table.id == row["id"]].iloc[0]
        assert (row["rise"], row["error"]) == pytest.approx((filed.rise, filed.error))
        assert row["decoder_params"] == pytest.approx(filed.share * found["parent"]["decoder_params"])
        assert row["latency_s"] == pytest.approx(filed.latency_s_share * found["parent"]["latency_s"])


def test_columns_of_later_versions_are_kept(run):
    table = pd.read_csv(run / "members.csv")
    table[table.columns[::-1]].assign(seed=7, note="new").to_csv(run / "members.csv", index=False)
    assert ShapedFolder.load(run).members.seed.tolist() == [7] * len(table)
    assert lts("show", run)[0] == 0 and lts("pick", run)[0] == 0


def test_several_members_of_a_size(run):
    "The worse one of two is judged, and not on the frontier."
    table = pd.read_csv(run / "members.csv")
    worse = table.iloc[[1]].assign(rise=lambda rows: rows.rise + 0.1, loss=lambda rows: rows.loss + 0.1)
    pd.concat([worse, table]).to_csv(run / "members.csv", index=False)
    shaped = ShapedFolder.load(run)
    assert len(shaped.members) == 5 and worse.rise.iloc[0] not in shaped.frontier.rise.tolist()
    limit = int(table.decoder_params[1])
    found = json.loads(lts("pick", run, "--max-params", limit, "--json")[1])
    assert found["rise"] == pytest.approx(table[table.decoder_params <= limit].rise.min())


# --- pick


def test_pick(place):
    members = ShapedFolder.load(place / "run").members
    for flag, column in (("--max-params", "decoder_params"), ("--max-latency-s", "latency_s")):
        limit = members[column][1] * 1.001
        code, said, wrong = lts("pick", place / "run", flag, limit)
        best = members[members[column] <= limit].sort_values("rise").iloc[0]
        assert code == 0 and said.startswith(best.id) and f"next: lts build {place / 'run'} {best.id[:8]}" in said
        assert "ms predicted (not measured yet)" in said and "% of parent, rise" in said and "perplexity" in said
    within = members[members.rise <= members.rise[2] + 1e-9].sort_values("latency_s")
    found = json.loads(lts("pick", place / "run", "--max-rise", members.rise[2] + 1e-9, "--json")[1])
    assert found["id"] == within.id.iloc[0] and found["measured"] is False  # the fastest that is so good
    share = f"{100 * (np.exp(members.rise[2] + 1e-9) - 1)}%"
    assert json.loads(lts("pick", place / "run", "--max-rise", share, "--json")[1])["id"] == within.id.iloc[0]
    code, said, wrong = lts("pick", place / "run", "--max-params", 1e9)
    assert code == 0 and wrong == "parent itself is within this budget\n"


def test_budgets_that_no_shape_meets(place):
    shaped, searched = ShapedFolder.load(place / "run"), Path(__file__).parents[2] / "benchmarks" / "gpt2_cpu"
    first = shaped.members.iloc[0]
    smallest = f"the smallest, {first.id[:8]}, has decoder parameters [M] {first.decoder_params / 1e6:.4g}"
    one_line("decoder parameters [M] ≤ 0.001", smallest, of=lts("pick", place / "run", "--max-params", 1000))
    judged = "the same `lts shape` with --max-latency-s 1e-06 judges the best shape within"
    one_line("latency [ms] ≤ 0.001", "the smallest, ", judged, of=lts("pick", place / "run", "--max-latency-s", 1e-6))
    one_line("the best, ", of=lts("pick", place / "run", "--max-rise", 1e-9))
    one_line("max_rise='-1'", "such as 5%", of=lts("pick", place / "run", "--max-rise=-1"))
    one_line("max_rise='much'", of=lts("pick", place / "run", "--max-rise", "much"))
    one_line("max_params=-1", of=lts("pick", place / "run", "--max-params=-1"))
    one_line("energy_j=1", "not known", of=lts("pick", place / "run", "--max-energy-j", 1))
    one_line("max_params", "in a search", of=lts("pick", searched, "--max-params", 1e6))


# --- a damaged folder


@pytest.mark.parametrize("name", ["shaped.json", "members.csv"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\0\0", b"[]", b'{"format": "lts_nb.shaped", "version": 9}'])
def test_damaged_tables(run, name, content):
    (run / name).write_bytes(content)
    one_line("run" if name == "members.csv" else "shaped", of=lts("show", run))
    one_line("run" if name == "members.csv" else "shaped", of=lts("pick", run))


def edit(path, **fields):
    "Change a file of JSON; None takes a field out."
    content = json.loads(path.read_text(encoding="utf-8")) | fields
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), encoding="utf-8")


@pytest.mark.parametrize(
    "fields, said",
    [
        (dict(place=None), "shaped.json lacks place"),
        (dict(loss="low"), "shaped.json is damaged: loss='low'"),
        (dict(settings=[]), "shaped.json is damaged: settings=[]"),
        (dict(architecture={}), "architecture: format=None"),
    ],
)
def test_damaged_shaped_json(run, tmp_path, fields, said):
    edit(run / "shaped.json", **fields)
    one_line(said, of=lts("show", run))
    one_line(said, of=lts("build", run, "a", "--out", tmp_path / "model"))


def test_damaged_settings(run, tmp_path):
    edit(run / "shaped.json", settings=dict(window=64))
    one_line("shaped.json is damaged: settings", of=lts("build", run, first_id(run), "--out", tmp_path / "model"))


def test_damaged_columns(run):
    table = pd.read_csv(run / "members.csv")
    for spoiled in (
        table.drop(columns="rise"),
        table.assign(rise="much"),
        table.assign(rise=[np.nan, *table.rise[1:]]),
        table.assign(architecture="{}"),
        table.assign(id="0123456789abcdef"),
        table.iloc[:0],
    ):
        spoiled.to_csv(run / "members.csv", index=False)
        one_line("members.csv is missing, cut short or damaged", of=lts("show", run))
    (run / "members.csv").unlink()
    one_line("members.csv is missing", of=lts("pick", run))


def first_id(run):
    return pd.read_csv(run / "members.csv").id[0]


def test_damaged_members(place, run, tmp_path):
    file = run / "members" / f"{first_id(run)}.json"
    whole = file.read_text(encoding="utf-8")
    for spoiled in (whole[:200], "", "[]", whole.replace('"fitted"', '"fit"'), whole.replace("groups", "heads")):
        file.write_text(spoiled, encoding="utf-8")
        one_line("is cut short or damaged", of=lts("build", run, first_id(run), "--out", tmp_path / "model"))
        one_line("is cut short or damaged; delete it", of=shape(place, run, "--profile", place / "device.json"))
    file.unlink()
    for nobody in (first_id(run), "/abc", "../x", "**", "[", "*"):
        one_line("0 members begin so", of=lts("build", run, nobody, "--out", tmp_path / "model"))
    assert not (tmp_path / "model").exists()


def test_damaged_windows(run, tmp_path):
    for content in (b"", b"\x93NUMPY", pickle.dumps([1])):
        (run / "calibration.npy").write_bytes(content)
        one_line("calibration.npy is missing", of=lts("build", run, first_id(run), "--out", tmp_path / "model"))


def test_damaged_scores(place, run):
    lines = (run / "scores.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    cut_within, short = [lines[0], lines[1][:50] + "\n", *lines[2:]], [lines[0], "[1.0]\n", *lines[2:]]
    for spoiled in (cut_within, short, ["{}\n", *lines[1:]], ["\0\n"], [lines[0], "{}\n"]):
        (run / "scores.jsonl").write_text("".join(spoiled), encoding="utf-8")
        one_line("scores=", of=shape(place, run, "--profile", place / "device.json"))


def test_damaged_orders(place, run):
    question, first, *more = (run / "orders.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    doubled = json.dumps([*json.loads(first)[:-1], [0] * len(json.loads(first)[-1])]) + "\n"
    for spoiled in ([question, first[:9] + "\n", *more], [question, doubled, *more]):
        (run / "orders.jsonl").write_text("".join(spoiled), encoding="utf-8")
        one_line("orders.jsonl", "is damaged; delete it", of=shape(place, run, "--profile", place / "device.json"))


def test_ends_of_a_member(run, tmp_path):
    "What was judged is what is built; ends that were deleted are repaired once more, and damaged ones are refused."
    id = first_id(run)
    assert "listening" not in lts("build", run, id, "--out", tmp_path / "model")[2]
    ends, whole = run / "members" / f"{id}.safetensors", load_file(tmp_path / "model" / "model.safetensors")
    stored = load_file(ends).values()
    assert all(any(torch.equal(end, weight) for weight in whole.values()) for end in stored if end.dim() == 2)
    ends.write_bytes(ends.read_bytes()[:-1])
    one_line("ends=", "delete it, and it is made anew", of=lts("build", run, id, "--out", tmp_path / "other"))
    ends.unlink()
    assert "listening" in lts("build", run, id, "--out", tmp_path / "other")[2]
    again = load_file(tmp_path / "other" / "model.safetensors")
    for name, weight in whole.items():
        torch.testing.assert_close(again[name], weight, rtol=1e-3, atol=1e-4)


def test_a_folder_that_is_not_finished(run, tmp_path):
    (run / "shaped.json").unlink()
    one_line("shaping has not finished", of=lts("show", run))
    one_line("shaping has not finished", of=lts("build", run, "a", "--out", tmp_path / "model"))
    one_line("is not a run folder", of=lts("show", tmp_path / "nowhere"))


# --- the parent of a folder


def test_a_parent_that_has_moved_or_changed(run, parent, tmp_path):
    "The fixture's parent lies elsewhere; this one is a copy of it, as if it had been moved."
    edit(run / "shaped.json", place=str(tmp_path / "gone"))
    asked = ["build", run, first_id(run), "--out", tmp_path / "model"]
    one_line("gone': must be a folder", "name the place with --parent", of=lts(*asked))
    code, said, wrong = lts(*asked, "--parent", parent)
    assert code == 0 and "with the weights of parent" in said, wrong
    shutil.rmtree(tmp_path / "model")
    weights = load_file(parent / "model.safetensors")
    weights["model.norm.weight"][0] *= 1.001
    save_file(weights, parent / "model.safetensors", metadata=dict(format="pt"))
    one_line("has other weights", of=lts(*asked, "--parent", parent))
    edit(parent / "config.json", rms_norm_eps=1e-6, max_position_embeddings=32)
    one_line("has another architecture", of=lts(*asked, "--parent", parent))
    edit(run / "shaped.json", place="")
    one_line("does not say where parent lies", of=lts(*asked))
    assert not (tmp_path / "model").exists()
    one_line("is for a folder that lts shape wrote", of=lts("build", "gpt2", "--parent", parent))


# --- parents that are none


def refused(place, parent, tmp_path, *said):
    one_line(*said, of=lts("shape", parent, "--corpus", place / "texts", "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


class Trap:
    "What an attacker would pickle: it makes a file when it is opened."

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickled_weights_stay_closed(place, parent, tmp_path):
    (parent / "model.safetensors").unlink()
    (parent / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "opened")))
    refused(place, parent, tmp_path, "its weights are pickled (pytorch_model.bin)", "safetensors")
    refused(place, parent / "pytorch_model.bin", tmp_path, "a pickled file is not opened")
    assert not (tmp_path / "opened").exists()


def test_an_unknown_family(place, parent, tmp_path):
    edit(parent / "config.json", model_type="mamba")
    refused(place, parent, tmp_path, "model_type='mamba': is not known here; known are gpt2, ", "llama", "lfm2")
    edit(parent / "config.json", model_type="transfo-xl")
    refused(place, parent, tmp_path, "parent=")


def test_weights_in_shards(place, parent, tmp_path):
    (parent / "model.safetensors").unlink()
    tiny_parent().model.save_pretrained(parent, max_shard_size="200KB")
    few = ["--windows", 2, "--members", 2, "--widths", "0,96,192"]
    code, _, wrong = lts("shape", parent, "--corpus", place / "texts", "--out", tmp_path / "run", *few)
    assert code == 0, wrong
    shutil.rmtree(tmp_path / "run")
    shard = next(parent.glob("model-00002-*"))
    shard.write_bytes(shard.read_bytes()[:1000])
    refused(place, parent, tmp_path, "has no model that can be read")
    shard.unlink()
    refused(place, parent, tmp_path, "lacks 1 of", "such as model-00002-of-")
    edit(parent / "model.safetensors.index.json", weight_map=[])
    refused(place, parent, tmp_path, "parent=", "model.safetensors.index.json is damaged; it names no weights")
    (parent / "model.safetensors.index.json").unlink()
    refused(place, parent, tmp_path, "lie in several files")


def test_missing_weights(place, parent, tmp_path):
    weights = load_file(parent / "model.safetensors")
    save_file({k: w for k, w in weights.items() if "layers.2.mlp" not in k}, parent / "model.safetensors")
    refused(place, parent, tmp_path, "lack 3 weights", "model.layers.2.mlp.down_proj.weight")
    (parent / "model.safetensors").unlink()
    refused(place, parent, tmp_path, "has no weights")


def test_tokenizers_that_do_not_fit(place, parent, tmp_path):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(parent)
    tokenizer.add_tokens(["<one>", "<more>"])
    tokenizer.save_pretrained(parent)
    refused(place, parent, tmp_path, "tokenizer: numbers tokens up to 301", "vocabulary of 300")
    (parent / "tokenizer.json").write_text("{}", encoding="utf-8")
    refused(place, parent, tmp_path, "has no tokenizer that can be read")
    for file in parent.glob("tokenizer*"):
        file.unlink()
    refused(place, parent, tmp_path, "has no tokenizer")


def test_no_parent(place, tmp_path):
    refused(place, tmp_path / "nowhere", tmp_path, "must be a folder with a model")
    (tmp_path / "empty").mkdir()
    refused(place, tmp_path / "empty", tmp_path, "has neither config.json nor a .gguf file")
    refused(place, "owner/nothing", tmp_path, "cannot be had from the Hugging Face hub")


# --- texts and profiles


def test_texts_that_are_too_short(place, tmp_path):
    (tmp_path / "texts").mkdir()
    for documents in (["Anna."], ["Anna goes home.", "Boris has 3 apples."], [*stories().train[:9], "A."]):
        for number, text in enumerate(documents):
            (tmp_path / "texts" / f"{number}.txt").write_text(text, encoding="utf-8")
        corpus = ["--corpus", tmp_path / "texts", "--out", tmp_path / "out"]
        one_line("corpus", of=lts("shape", place / "parent", *corpus))
    one_line("corpus=", of=lts("shape", place / "parent", "--corpus", tmp_path / "none", "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "space, said",
    [
        (replace(SPACE, d_model=(128,)), "d_model=[128]"),
        (replace(SPACE, d_inner=(24, 96)), "profile: knows d_inner 24 to 96"),
        (replace(SPACE, n_head=(4,), n_kv_head=(1,)), "(n_head, n_kv_head)=(4, 2)"),
        (SMALL, "profile: is of gpt2"),
    ],
    ids=["width", "neurons", "heads", "family"],
)
def test_profiles_of_something_else(place, tmp_path, space, said):
    "Said before anything is scored."
    profile = profile_of(space, tmp_path / "device.json")
    one_line("profile: ", said, of=shape(place, tmp_path / "out", "--profile", profile))
    assert not (tmp_path / "out" / "scores.jsonl").exists()


def test_groups_that_a_profile_does_not_know_are_no_choice(place, tmp_path):
    profile = profile_of(replace(SPACE, n_head=(4,), n_kv_head=(2,)), tmp_path / "device.json")
    code, _, err = shape(place, tmp_path / "out", "--profile", profile)
    assert code == 0 and "the profile knows 0, 2 of 2 groups of heads" in err
    kept = pd.read_csv(tmp_path / "out" / "members.csv").architecture.map(json.loads)
    assert {n for architecture in kept for n in architecture["n_kv_head"]} <= {0, 2}


def test_a_profile_of_what_a_parent_may_become(place, tmp_path):
    "Made by one line, and all that shaping asks of it is there."
    request = ["--prompt-len", 32, "--new-tokens", 4, "--measure-s", 0, "--held-out", 0]
    code, said, err = lts("profile", "--parent", place / "parent", "--out", tmp_path / "device.json", *request)
    assert code == 0 and "next: lts shape " in said, err
    code, said, err = shape(place, tmp_path / "out", "--profile", tmp_path / "device.json", "--json")
    assert code == 0 and "groups of heads" not in err and len(json.loads(said)["members"]) == 4
    both = ["--parent", place / "parent", "--space", "gpt2", "--out", tmp_path / "other.json"]
    one_line("parent=", "give one of them", of=lts("profile", *both))


@pytest.mark.parametrize(
    "more, said",
    [(("--widths", "9999"), "widths=9999: must be at most 192"), (("--groups", "0,3"), "groups=3: must be at most 2")],
)
def test_more_units_than_the_parent_has(place, tmp_path, more, said):
    one_line(said, of=shape(place, tmp_path / "out", *more))
    one_line("smallest=1.5: must be a share", of=shape(place, tmp_path / "out", "--smallest", 1.5))
    assert not (tmp_path / "out").exists()


def test_a_budget_is_one_more_member(place, tmp_path):
    "The best shape within it is judged beside what was judged before, and stays when no budget is named."
    shutil.copytree(place / "run", tmp_path / "run")
    device, before = ["--profile", place / "device.json"], ShapedFolder.load(place / "run").members
    limit = 0.3 * before.latency_s[0] + 0.7 * before.latency_s[1]
    code, _, err = lts("pick", tmp_path / "run", "--max-latency-s", limit)
    assert code == 0 and f"the same `lts shape` with --max-latency-s {limit:g} judges the best shape within" in err
    for more in (["--max-latency-s", limit], []):
        code, said, err = shape(place, tmp_path / "run", *device, *more, "--json")
        assert code == 0 and len(json.loads(said)["members"]) == len(before) + 1, err
        after = ShapedFolder.load(tmp_path / "run").members
        (new,) = after.index[~after.id.isin(before.id)]
        assert before.latency_s[0] < after.latency_s[new] <= limit
        kept = after.drop(new).reset_index(drop=True)
        pd.testing.assert_frame_equal(kept[["id", "rise", "latency_s"]], before[["id", "rise", "latency_s"]])


@pytest.mark.parametrize(
    "more, said",
    [
        (("--max-params", "1000"), "max_params=1000: the smallest shape has "),
        (("--max-params", "9e9"), "max_params=9e+09: the parent itself has "),
        (("--max-params", "-1"), "max_params=-1.0: must be a number above 0"),
        (("--max-latency-s", "1"), "max_latency_s=1: needs a device profile"),
    ],
)
def test_budgets_of_which_nothing_can_be_judged(place, tmp_path, more, said):
    "Said before anything is scored."
    one_line(said, of=shape(place, tmp_path / "out", *more))
    device = ["--profile", place / "device.json"]
    one_line("the smallest shape has ", of=shape(place, tmp_path / "out", *device, "--max-latency-s", 1e-9))
    one_line("the parent itself has ", of=shape(place, tmp_path / "out", *device, "--max-latency-s", 9))
    one_line("give max_latency_s", of=shape(place, tmp_path / "out", *device, "--max-params", 100_000))
    assert not (tmp_path / "out").exists()


def test_what_is_filed_is_no_step_that_is_left(place):
    settings, parent = ShapeSettings(n_scored=2, n_members=4), read_parent(place / "parent")
    begun, nothing = (steps_of(settings, parent, folder) for folder in (place / "run", place / "none"))
    assert nothing == 2 * 4 + settings.n_sequences + 4 * (1 + settings.n_alike)
    assert begun < nothing and begun >= 4 * (1 + settings.n_alike)


def test_what_scoring_took_is_said(place, tmp_path):
    code, _, err = shape(place, tmp_path / "out")
    (said,) = [line for line in err.splitlines() if "choices are scored" in line]
    assert code == 0 and re.fullmatch(r"\d+ choices are scored, in \d+ s; standard errors \S+ nats in the median", said)


def test_a_member_of_a_member_names_the_first_parent(place, tmp_path):
    id = ShapedFolder.load(place / "run").members.id[1]
    assert lts("build", place / "run", id, "--out", tmp_path / "once")[0] == 0
    few = ["--corpus", place / "texts", "--windows", 2, "--members", 2, "--calibration", 9, "--groups", "0,2"]
    code, said, err = lts("shape", tmp_path / "once", *few, "--out", tmp_path / "run", "--json")
    assert code == 0, err
    twice = json.loads(said)["members"][0]["id"]
    assert lts("build", tmp_path / "run", twice, "--out", tmp_path / "twice")[0] == 0
    page = (tmp_path / "twice" / "README.md").read_text(encoding="utf-8")
    assert "| parent | once |" in page and "| cut in turn from | parent |" in page
    assert "cut in turn from" not in (tmp_path / "once" / "README.md").read_text(encoding="utf-8")


def test_options_that_a_shape_does_not_take(place, tmp_path):
    id = ShapedFolder.load(place / "run").members.id[0]
    one_line("seed=1: is for random weights", of=lts("build", place / "run", id, "--out", tmp_path / "a", "--seed", 1))
    one_line("parent='': must be a folder", of=lts("build", place / "run", id, "--out", tmp_path / "a", "--parent", ""))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("command", ["eval", "export", "shape"])
def test_a_run_where_a_model_is_wanted(place, tmp_path, command):
    more = ["--corpus", place / "texts"] * (command != "export") + ["--out", tmp_path / "out"] * (command != "eval")
    one_line("it is a run: `lts build ", of=lts(command, place / "run", *more))


def test_a_folder_of_something_else_is_left_alone(place, parent):
    before = {path.name: path.read_bytes() for path in parent.iterdir()}
    one_line("out=", "holds files but no shaping", of=shape(place, parent))
    one_line("out=", "is a file", of=shape(place, parent / "config.json"))
    assert {path.name: path.read_bytes() for path in parent.iterdir()} == before


@pytest.mark.parametrize("name", ["calibration.npy", "calibration.part.npy"])
def test_a_shaping_that_ended_before_its_first_score_goes_on(place, tmp_path, name):
    (tmp_path / name).write_bytes(b"cut off")
    assert shape(place, tmp_path)[0] == 0


def test_smaller_shapes_and_layers_that_go_whatever_widths_are_named(place, tmp_path):
    few = ["--windows", 2, "--members", 3, "--widths", "96,192", "--groups", "2", "--smallest", "0.2"]
    asked = ["--corpus", place / "texts", "--out", tmp_path / "out", *few]
    code, _, wrong = lts("shape", place / "parent", *asked)
    assert code == 0, wrong
    members = pd.read_csv(tmp_path / "out" / "members.csv")
    assert 0.2 <= members.share.min() < 0.5 and members.n_layer.min() < 4


def test_profiles_that_are_none(place, tmp_path):
    (tmp_path / "device.json").write_text("{", encoding="utf-8")
    one_line("profile", of=shape(place, tmp_path / "out", "--profile", tmp_path / "device.json"))
    one_line("none.json", of=shape(place, tmp_path / "out", "--profile", tmp_path / "none.json"))
