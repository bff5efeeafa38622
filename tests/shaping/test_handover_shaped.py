"""What is built from a shaped parent is handed over: it opens elsewhere, other engines read it, and its card is true.

A parent of the hub is pretended: its id leads to the tiny parent's folder.
"""

import json
import os
import subprocess
import sys
from unittest.mock import patch

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from kit import lts, slow_but
from tiny_parent import save_stories, save_tiny_parent, stories, tiny_parent, token_windows
from transformers import AutoModelForCausalLM

from lts_nb.evaluation.handover import export
from lts_nb.evaluation.stored_models import open_backbone_model
from lts_nb.formats.gguf_checks import has_llama_cpp
from lts_nb.models.build import config_of
from lts_nb.models.cut import cut
from lts_nb.models.parent import Parent, own_model
from lts_nb.models.shape import Kept, Shape
from lts_nb.models.small_models import randomised, relative_difference
from lts_nb.shaping.shaped_folder import ShapedFolder
from lts_nb.shaping.verification import window_losses
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count

HUB_ID = "owner/tiny-stories"
ELSEWHERE = """
import json, os, sys
sys.modules["lts_nb"] = None
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], trust_remote_code=True).eval()
ids = AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=True)("Anna has 3 apples and", return_tensors="pt")
print(json.dumps([model(**ids).logits[0].tolist(), model.generate(**ids, max_new_tokens=8, do_sample=False).tolist()]))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A folder with a shaped run of a parent at the hub, and the member of it that differs most, built."
    folder = tmp_path_factory.mktemp("shaped")
    parent = save_tiny_parent(folder / "parent")
    save_stories(folder / "texts")
    asked = ["--corpus", folder / "texts", "--out", folder / "run", "--windows", 2, "--members", 3]
    with patch("huggingface_hub.snapshot_download", lambda name, **options: str(parent)):
        code, _, wrong = lts("shape", HUB_ID, *asked, "--widths", "0,96,192", "--groups", "0,2")
        assert code == 0, wrong
        smallest = ShapedFolder.load(folder / "run").members.id[0]
        code, said, wrong = lts("build", folder / "run", smallest[:8], "--out", folder / "model")
        assert code == 0 and HUB_ID in said and "trust_remote_code=True" in said, wrong
    return folder


def member_of(place):
    "The row of the member that was built."
    shaped = ShapedFolder.load(place / "run")
    return shaped, shaped.members.iloc[0]


def test_the_built_model_is_the_one_that_was_judged(place):
    shaped, row = member_of(place)
    model, architecture, _ = open_backbone_model(place / "model")
    assert architecture.id == row.id and not architecture.homogeneous
    assert 0 in architecture.d_inner + architecture.n_head or architecture.n_layer < 4  # halves or layers are gone
    tokens = token_windows(stories().valid, 16)
    rise = window_losses(model.eval(), tokens).mean() - window_losses(tiny_parent().model, tokens).mean()
    assert rise == pytest.approx(row.rise, abs=0.5 * row.rise + 0.02)  # another text of the same kind


def test_it_opens_where_this_package_is_not(place):
    environment = os.environ | dict(HF_MODULES_CACHE=str(place / "cache"), PYTHONUTF8="1", OMP_NUM_THREADS="1")
    command = [sys.executable, "-c", ELSEWHERE, str(place / "model")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert run.returncode == 0, run.stderr
    logits, made = json.loads(run.stdout.splitlines()[-1])
    ids = tiny_parent().tokenizer("Anna has 3 apples and", return_tensors="pt")
    model = open_backbone_model(place / "model")[0].eval()
    with torch.no_grad():
        assert relative_difference(torch.tensor(logits), model(**ids).logits[0]) < 1e-5
    assert made == model.generate(**ids, max_new_tokens=8, do_sample=False).tolist()


def check_card(place, folder):
    "Does a card say where the model comes from, and what is left of how much?"
    shaped, row = member_of(place)
    page = (folder / "README.md").read_text(encoding="utf-8")
    card, before, after = ModelCard(page).data, count(tiny_parent().architecture), row.decoder_params
    assert (card.license, card.base_model) == ("apache-2.0", HUB_ID)
    neurons, heads = sum(row.d_inner), sum(row.n_head)
    n_calibration = len(np.load(place / "run" / "calibration.npy"))
    for said in (
        f"[{HUB_ID}](https://huggingface.co/{HUB_ID})",
        f"| decoder parameters | {after:,} of {before.decoder:,} ({row.share:.1%}) |",
        f"| feed-forward neurons | {neurons:,} of 768 ({neurons / 768:.1%}) |",
        f"| heads | {heads} of 16 ({heads / 16:.1%}) |",
        f"{row.rise:.4f} ± {row.error:.4f} nats a token over the parent's {shaped.parent.loss:.4f}",
        "least squares",
        f"| calibration text | {n_calibration} windows of 64 tokens of ",
        f"| judged on | {row.windows} windows of 64 tokens of ",
        "Its licence is its parent's, apache-2.0.",
        "Nothing was trained: the weights are the parent's",
    ):
        assert said in page, said


def test_the_card(place):
    check_card(place, place / "model")


def test_it_is_evaluated_and_exported(place):
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    gguf = pytest.importorskip("gguf")
    code, said, wrong = lts("eval", place / "model", "--corpus", place / "texts", "--json")
    assert code == 0 and json.loads(said)["perplexity"]["token_perplexity"] < 10, wrong
    code, _, wrong = lts("export", place / "model", "--out", place / "out", "--gguf", "q8_0,float32", "--onnx")
    assert code == 0, wrong
    check_card(place, place / "out")
    said = gguf.GGUFReader(next((place / "out" / "gguf").glob("*q8_0.gguf"))).fields
    keys = {"general.name": "out", "general.license": "apache-2.0", "general.base_model.0.name": HUB_ID}
    keys["general.base_model.0.repo_url"] = f"https://huggingface.co/{HUB_ID}"
    assert {key: said[key].contents() for key in keys} == keys
    assert "## ONNX" in (place / "out" / "README.md").read_text(encoding="utf-8")
    checks = json.loads((place / "out" / "gguf" / "checks.json").read_text(encoding="utf-8"))
    graph = json.loads((place / "out" / "onnx" / "checks.json").read_text(encoding="utf-8"))["float32"]
    assert graph["difference"] < 1e-4 and checks["float32"]["loss_weights"] == checks["float32"]["loss"]
    if has_llama_cpp():
        assert checks["float32"]["difference"] < 1e-3 and abs(checks["q8_0"]["difference"]) < 0.1
    again = AutoModelForCausalLM.from_pretrained(place / "out", trust_remote_code=True)
    tokens = token_windows(stories().valid, 2)
    with torch.no_grad():
        assert relative_difference(again(tokens).logits, open_backbone_model(place / "model")[0](tokens).logits) < 1e-6


def test_the_rest_of_a_model_folder_is_checked(place, tmp_path):
    facts = json.loads((place / "model" / "shaping.json").read_text(encoding="utf-8"))
    model = open_backbone_model(place / "model")[0]
    del facts["rise"]
    with pytest.raises(ValueError, match=r"about\['shaping'\]: lacks rise"):
        export(model, tmp_path / "out", about=dict(shaping=facts))


# --- constants and families that no default knows


SIZES = dict(d_model=64, n_head=(4,) * 3, d_inner=(96,) * 3, vocab_size=97, max_len=32)
GROUPED = dict(n_kv_head=(2,) * 3, d_head=16)
SHAPE = Shape((Kept([1], range(0, 96, 3)), None, Kept([0, 1], range(64))))
WHOLE_HEADS = Shape((Kept([], range(40)), None, Kept(range(4), ())))


def parent_with(backbone, fields, **constants):
    "A random parent whose constants are no defaults."
    config = config_of(Architecture(backbone, **SIZES | fields))
    for name, value in constants.items():
        setattr(config, name, value)
    own = own_model(randomised(AutoModelForCausalLM.from_config(config).eval()))
    return Parent(Architecture(backbone, **SIZES | fields), own)


CONVOLVED = dict(GROUPED, n_head=(4, 0, 4), n_kv_head=(2, 0, 2), layer_kind=("attention", "conv", "attention"))
KINDS = {
    "llama": (GROUPED, SHAPE, dict(rms_norm_eps=0.1, rope_parameters=dict(rope_type="default", rope_theta=5e4))),
    "gpt2": ({}, WHOLE_HEADS, dict(layer_norm_epsilon=0.1, scale_attn_by_inverse_layer_idx=True)),
    "opt": ({}, Shape((Kept(range(4), range(40)), None, Kept(range(4), range(9)))), {}),
    "lfm2": (CONVOLVED, Shape((None, Kept([0], range(40)), Kept([0, 1], range(40, 80)))), dict(norm_eps=0.1)),
}


@pytest.mark.parametrize("kind", slow_but(KINDS, "llama"))
def test_engines_have_the_parents_constants(tmp_path, kind):
    "Each file is compared with the model, logit for logit, before it is kept."
    for package in ("gguf", "onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    fields, shape, constants = KINDS[kind]
    model = cut(parent_with(kind, fields, **constants), shape)
    gguf = ("float32",) if kind in ("llama", "lfm2") else ()
    folder = export(model, tmp_path / "out", onnx=("float32",), gguf=gguf)
    assert all(getattr(model.config, name) == value for name, value in constants.items())
    again = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    tokens = torch.arange(24)[None]
    with torch.no_grad():
        assert relative_difference(again(tokens).logits, model(tokens).logits) < 1e-6
    checks = json.loads((folder / "onnx" / "checks.json").read_text(encoding="utf-8"))
    assert checks["float32"]["difference"] < 1e-4
