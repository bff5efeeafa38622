"""Folders of every backbone that open where lts_nb is not; and nothing is left of what could not be finished."""

import json
import os
import subprocess
import sys

import pytest
import torch
from evaluation_samples import model_of, tokenizer
from huggingface_hub import ModelCard

from lts_nb.core.errors import InputError
from lts_nb.evaluation.examples import EXAMPLES, random_model, save_example
from lts_nb.evaluation.handover import export
from lts_nb.models.build import build
from lts_nb.space.architecture import Architecture

ELSEWHERE = """
import os, sys, json
sys.modules["lts_nb"] = None
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
for folder in sys.argv[1:]:
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    ids = tokenizer("import json  # ä", return_tensors="pt")
    logits, made = model(**ids).logits.flatten().tolist(), model.generate(**ids, max_length=30).tolist()
    print(json.dumps([logits, tokenizer.decode(ids.input_ids[0]), made, type(model).__module__.split(".")[0]]))
"""


def open_elsewhere(folders, cache):
    "Open folders in a Python that cannot import lts_nb: logits, decoded text, generated tokens and module of each."
    run = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *map(str, folders)],
        env=os.environ | dict(HF_MODULES_CACHE=str(cache), PYTHONUTF8="1", OMP_NUM_THREADS="1"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_elsewhere(tmp_path):
    folders = [export(model_of(backbone), tmp_path / backbone, tokenizer()) for backbone in EXAMPLES]
    found = open_elsewhere(folders, tmp_path / "cache")
    ids, end = tokenizer()("import json  # ä", return_tensors="pt").input_ids, tokenizer().eos_token_id
    for backbone, (logits, decoded, made, module) in zip(EXAMPLES, found, strict=True):
        model = model_of(backbone)
        expected = model(ids).logits.flatten().detach()
        assert (torch.tensor(logits) - expected).abs().max() < 1e-5 * expected.abs().max()
        assert (decoded, module) == ("import json  # ä", "transformers_modules")
        options = dict(max_length=30, do_sample=False, eos_token_id=end, pad_token_id=end)
        assert torch.equal(torch.tensor(made), model.generate(ids, **options))


@pytest.mark.parametrize("backbone", EXAMPLES)
def test_card_and_code(tmp_path, backbone):
    folder = export(model_of(backbone), tmp_path / "out")
    code = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in folder.glob("*.py")}
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert sum(code.values()) < 700  # short enough to be read
    assert all(f"[{name}]({name}) ({lines} lines)" in page for name, lines in code.items())
    assert backbone in ModelCard(page).data.tags and "No tokenizer belongs to it" in page
    assert Architecture.from_json((folder / "architecture.json").read_text(encoding="utf-8")) == EXAMPLES[backbone]


def test_model_of_a_folder(tmp_path):
    "What lies beside the model is handed over with it."
    source = save_example(tmp_path / "trained", model_of("gpt2"), tokenizer())
    trained = dict(corpus="stdlib", seed=3)
    (source / "training.json").write_text(json.dumps(trained), encoding="utf-8")
    folder = export(source, tmp_path / "out")
    assert json.loads((folder / "training.json").read_text(encoding="utf-8")) == trained
    assert "| seed | 3 |" in (folder / "README.md").read_text(encoding="utf-8")
    assert (folder / "tokenizer.json").is_file()
    (source / "tokenizer_config.json").unlink()
    assert (export(source, tmp_path / "bare") / "tokenizer.json").is_file()


def test_straight_from_training(tmp_path):
    "Handed over as it is and not changed by it; its graph is made from a copy in float32."
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    model = build(EXAMPLES["opt"]).bfloat16().train()
    model.config.use_cache = False
    model.set_attn_implementation("eager")  # as training has it on a CPU
    folder = export(model, tmp_path / "out", onnx=("int8",))
    assert model.training and not model.config.use_cache and model.dtype == torch.bfloat16
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert (config["use_cache"], config["dtype"]) == (True, "bfloat16")
    assert sorted(file.name for file in (folder / "onnx").iterdir()) == ["checks.json", "model_int8.onnx"]
    checks = json.loads((folder / "onnx" / "checks.json").read_text(encoding="utf-8"))
    assert checks["int8"]["text"] == "random tokens"


@pytest.mark.parametrize("limit", [2_000, 60_000])  # in the middle of the code, of the weights
def test_full_disk(tmp_path, limit):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        with pytest.raises(InputError, match=r"cannot be written \("):
            export(model_of("gpt2"), tmp_path / "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options, says",
    [
        (dict(onnx=("float16",)), r"onnx=\('float16',\): must be a tuple of float32, int8"),
        (dict(onnx="int8"), "must be a tuple of float32, int8"),
        (dict(tokenizer="{}"), "is not the JSON of a tokenizer"),
        (dict(about=dict(licence="mine")), "about='licence': must be among"),
        (dict(model="nowhere"), "has no config.json"),
    ],
)
def test_refused(tmp_path, options, says):
    with pytest.raises(InputError, match=says):
        export(**dict(model=model_of("opt"), folder=tmp_path / "out") | options)
    assert not list(tmp_path.iterdir())


def test_place_taken(tmp_path):
    (tmp_path / "file").write_text("1", encoding="utf-8")
    with pytest.raises(InputError, match="must be a new name or an empty folder"):
        export(model_of("opt"), tmp_path / "file")
    with pytest.raises(InputError, match=r"cannot be written \("):
        export(model_of("opt"), tmp_path / "file" / "below")
    (tmp_path / "void").mkdir()
    assert export(model_of("opt"), tmp_path / "void") == tmp_path / "void"


def test_graph_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"pip install 'lts_nb\[onnx\]'"):
        export(model_of("opt"), tmp_path / "out", onnx=("float32",))
    assert not list(tmp_path.iterdir())


def test_model_too_small(tmp_path):
    small = random_model(Architecture("gpt2", 16, (2,), (32,), vocab_size=399, max_len=16))
    with pytest.raises(InputError, match="must be below the model's vocab_size=399"):
        export(small, tmp_path / "out", tokenizer())
