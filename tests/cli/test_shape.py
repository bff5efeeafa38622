"""`lts shape` and what is built from its folder."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch
from tiny_parent import save_stories, save_tiny_parent, stories, token_windows
from transformers import AutoModelForCausalLM

from lts_nb.cli.main import main
from lts_nb.core.files import LOCK, only_one
from lts_nb.core.workload import Workload
from lts_nb.evaluation.stored_models import open_backbone_model
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.shaping.origin import place_of_parent
from lts_nb.shaping.parents import read_parent
from lts_nb.shaping.settings import ShapeSettings
from lts_nb.shaping.shaped import shape_parent
from lts_nb.shaping.verification import window_losses
from lts_nb.space.architecture import Architecture
from lts_nb.space.space import SearchSpace


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A folder with a tiny trained parent and a text to shape it with."
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_parent(folder / "parent")
    save_stories(folder / "texts")
    return folder


def test_a_parent_is_shaped_and_a_member_is_built(place, capsys):
    out = place / "shaped"
    asked = ["shape", str(place / "parent"), "--corpus", str(place / "texts"), "--out", str(out)]
    few = ["--windows", "2", "--members", "3", "--widths", "0,96,192", "--calibration", "9"]
    assert main([*asked, *few]) == 0
    assert json.loads((out / "shaped.json").read_text(encoding="utf-8"))["settings"]["n_calibration"] == 9
    said = capsys.readouterr().out
    table = pd.read_csv(out / "members.csv")
    assert all(id[:8] in said for id in table.id) and "next: lts build" in said
    assert table.share.between(0.45, 1, inclusive="left").all() and table.share.is_monotonic_increasing
    assert table.rise.iloc[-1] < table.rise.iloc[0]  # what keeps more loses less
    scores = (out / "scores.jsonl").read_text(encoding="utf-8")
    assert main([*asked, *few, "--json"]) == 0  # from what is filed
    assert json.loads(capsys.readouterr().out)["members"][0]["rise"] == pytest.approx(table.rise[0])
    assert (out / "scores.jsonl").read_text(encoding="utf-8") == scores
    check_built(place, out, table.iloc[-1], capsys)
    assert main([*asked, *few[:-1], "12"]) == 2
    assert "are of another text; take another folder" in capsys.readouterr().err


def test_a_model_finds_its_parent_from_every_folder(place, capsys, monkeypatch):
    "Though the parent was named from one folder, the model is healed from another."
    out, few = place / "found_again", ["--windows", "2", "--members", "2", "--widths", "0", "--groups", "0"]
    assert main(["shape", str(place / "parent"), "--corpus", str(place / "texts"), "--out", str(out), *few]) == 0
    id = pd.read_csv(out / "members.csv").id[0]
    monkeypatch.chdir(place)
    assert main(["build", str(out), id, "--out", "built", "--parent", "parent"]) == 0
    monkeypatch.chdir(out)
    assert read_parent(place_of_parent("parent", place / "built", "teacher")).name == "parent"


def check_built(place, out, row, capsys):
    "Does a built member have the parent's weights, and the loss that the table says?"
    assert main(["build", str(out), row.id[:8], "--out", str(place / "model")]) == 0
    assert "with the weights of" in capsys.readouterr().out
    model, architecture = open_backbone_model(place / "model")[:2]
    assert architecture.id == row.id
    again = AutoModelForCausalLM.from_pretrained(place / "model", trust_remote_code=True)
    tokens = token_windows(stories().valid, 8)
    with torch.no_grad():
        torch.testing.assert_close(again(tokens).logits, model(tokens).logits)
    parent = read_parent(place / "parent")
    rise = window_losses(model.eval(), tokens).mean() - window_losses(parent.model, tokens).mean()
    assert rise < 3 * row.rise + 0.1


def test_bad_input(place, capsys):
    out = place / "refused"
    asked = ["shape", str(place / "parent"), "--corpus", str(place / "texts"), "--out", str(out)]
    for more, sentence in (
        (["--widths", "a"], "widths='a': must be whole numbers"),
        (["--members", "1"], "members"),
        (["--profile", str(place / "none.json")], "none.json"),
    ):
        assert main([*asked, *more]) == 2
        assert sentence in (said := capsys.readouterr().err) and said.count("error") == 1
    assert main(["build", str(place / "shaped"), "--out", str(place / "other")]) == 2
    assert "id: is missing" in capsys.readouterr().err


def test_scores_of_another_question_are_refused(place):
    parent = read_parent(place / "parent")
    few = dict(n_calibration=4, n_scored=2, n_judged=2, n_members=2)
    shape_parent(parent, stories(), place / "once", ShapeSettings(**few))
    with pytest.raises(Exception, match="are of another list of choices, or repair; take another folder"):
        shape_parent(parent, stories(), place / "once", ShapeSettings(**few, groups=(1,)))


def test_latency_takes_the_place_of_parameters(place, capsys):
    heads = dict(n_head=[2, 4], n_kv_head=[1, 2], d_head=16)
    space = SearchSpace("llama", [2, 3, 4], [64], [24, 96, 192], vocab_size=[300], max_len=64, min_ratio=0, **heads)
    device = FakeTarget(seconds_per_part=1e-5, seconds_per_flop=1e-9)
    profile = DeviceProfile.measure(space, device, Workload(prompt_len=32), held_out=0)
    profile.save(place / "device.json")
    out = place / "timed"
    asked = ["shape", str(place / "parent"), "--corpus", str(place / "texts"), "--out", str(out), "--windows", "2"]
    assert main([*asked, "--members", "2", "--widths", "0,96,192", "--profile", str(place / "device.json")]) == 0
    table = pd.read_csv(out / "members.csv")
    for row in table.itertuples():
        true = device.seconds(Architecture.from_json(row.architecture), Workload(prompt_len=32))
        assert row.predicted_latency_s == pytest.approx(true, rel=0.05)
    capsys.readouterr()
    wider = DeviceProfile.measure(replace(space, d_model=(128,)), device, Workload(prompt_len=32), held_out=0)
    wider.save(place / "wider.json")
    assert main([*asked, "--out", str(place / "other"), "--profile", str(place / "wider.json")]) == 2
    assert "profile: is of llama, d_model=[128], d_head=16; the parent is llama, d_model=64" in capsys.readouterr().err


def test_a_folder_belongs_to_one_process_at_a_time(place, capsys, monkeypatch):
    (out := place / "held").mkdir()
    monkeypatch.chdir(out)
    with only_one(place / f".held{LOCK}", "out", "shaping"):
        for name in (str(out), "."):
            asked = ["shape", str(place / "parent"), "--corpus", str(place / "texts"), "--out", name]
            assert main(asked) == 2
            assert f"out={name!r}: another shaping is running there" in capsys.readouterr().err
    assert not (out / "scores.jsonl").exists()


def test_the_current_folder_is_shaped_into(place, monkeypatch):
    (place / "here").mkdir()
    monkeypatch.chdir(place / "here")
    asked = ["shape", "../parent", "--corpus", "../texts", "--out", ".", "--windows", "2", "--members", "2"]
    before = {path.name for path in place.iterdir()}
    assert main([*asked, "--widths", "0,96,192"]) == 0
    assert (place / "here" / "shaped.json").is_file()
    assert {path.name for path in place.iterdir()} == before  # nothing is left beside it


@pytest.mark.parametrize("limit", [1_000, 20_000])  # bytes a file: for the calibration text, and for scores
def test_a_full_disk(place, tmp_path, capsys, limit):
    resource = pytest.importorskip("resource")
    out, (soft, hard) = tmp_path / "out", resource.getrlimit(resource.RLIMIT_FSIZE)
    asked = ["shape", str(place / "parent"), "--corpus", str(place / "texts"), "--out", str(out), "--windows", "2"]
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        assert main(asked) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f"error: out='{out}': File too large") and "so far are kept" in said
    assert not list(out.glob("*.part*")) and not (out / "shaped.json").exists()
