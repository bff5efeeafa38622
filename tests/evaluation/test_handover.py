"""Folders of every backbone that open where lts_nb is not; and nothing is left of what could not be finished."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from evaluation_samples import model_of, tokenizer
from huggingface_hub import ModelCard
from kit import slow_but
from transformers import AutoConfig, AutoModelForCausalLM

from lts_nb.core.errors import InputError
from lts_nb.evaluation.examples import EXAMPLES, random_model, save_example
from lts_nb.evaluation.handover import export
from lts_nb.space.architecture import Architecture
from lts_nb.training.scaling import prepare_for_training

LLAMA = Architecture("llama", 48, (6, 6), (64, 64), 400, 64, n_kv_head=(3, 3), d_head=8)
STOCK = {
    "gpt2": Architecture("gpt2", 48, (2, 2), (96, 96), 400, 64),
    "opt": Architecture("opt", 48, (2, 2), (96, 96), 400, 64, d_embed=24, pre_norm=False),
    "llama": LLAMA,
    "qwen2": replace(LLAMA, qkv_bias=True),
    "lfm2": Architecture(
        "lfm2", 48, (0, 6), (64, 64), 400, 64, n_kv_head=(0, 3), d_head=8, layer_kind=("conv", "attention")
    ),
}

ELSEWHERE = """
import os, sys, json
sys.modules["lts_nb"] = None
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
for folder in sys.argv[1:]:
    trust = dict(trust_remote_code=True) if any(name.endswith(".py") for name in os.listdir(folder)) else {}
    model = AutoModelForCausalLM.from_pretrained(folder, **trust).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, **trust)
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
    "Our models by the code in their folders, stock models without any."
    ours, stock = [model_of(backbone) for backbone in EXAMPLES], [random_model(a) for a in STOCK.values()]
    folders = [export(model, tmp_path / str(i), tokenizer()) for i, model in enumerate(ours + stock)]
    found = open_elsewhere(folders, tmp_path / "cache")
    modules = ["transformers_modules"] * len(ours) + ["transformers"] * len(stock)
    assert [module for *_, module in found] == modules
    for model, (logits, decoded, made, _) in zip(ours + stock, found, strict=True):
        assert decoded == "import json  # ä"
        check_same(model, torch.tensor(logits), torch.tensor(made))


def check_same(model, logits, made):
    "Check logits and a greedy continuation of a text that were computed elsewhere."
    ids, end = tokenizer()("import json  # ä", return_tensors="pt").input_ids, tokenizer().eos_token_id
    expected = model(ids).logits.flatten().detach()
    assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()
    options = dict(max_length=30, do_sample=False, eos_token_id=end, pad_token_id=end)
    assert torch.equal(made, model.generate(ids, **options))


@pytest.mark.parametrize("backbone", EXAMPLES)
def test_card_and_code(tmp_path, backbone):
    folder = export(model_of(backbone), tmp_path / "out")
    code = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in folder.glob("*.py")}
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert sum(code.values()) < 720  # short enough to be read
    assert all(f"[{name}]({name}) ({lines} lines)" in page for name, lines in code.items())
    assert backbone in ModelCard(page).data.tags and "No tokenizer belongs to it" in page
    assert Architecture.from_json((folder / "architecture.json").read_text(encoding="utf-8")) == EXAMPLES[backbone]


@pytest.mark.parametrize("kind", STOCK)
def test_stock_models_need_no_code(tmp_path, kind):
    model = random_model(STOCK[kind])
    source = save_example(tmp_path / "trained", model, tokenizer())
    folder = export(source, tmp_path / "out")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert (config["model_type"], config["architectures"]) == (kind, [type(model).__name__])
    assert "auto_map" not in config and not [*folder.glob("*.py"), *source.glob("*.py")]
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert "trust_remote_code" not in page and ".py" not in page and "there is no code in this folder" in page
    assert Architecture.from_json((folder / "architecture.json").read_text(encoding="utf-8")) == STOCK[kind]


def shallow(kind):
    "An architecture with no more layers than it has kinds of them: a graph takes seconds for each."
    architecture = STOCK[kind]
    if architecture.layer_kind:
        return architecture
    n_kv_head = architecture.n_kv_head and architecture.n_kv_head[:1]
    return replace(architecture, n_head=architecture.n_head[:1], d_inner=architecture.d_inner[:1], n_kv_head=n_kv_head)


OTHERS = [kind for kind in STOCK if kind != "opt"]  # which `test_straight_from_training` has


@pytest.mark.parametrize("kind", slow_but(OTHERS, "lfm2"))
def test_stock_models_as_graphs(tmp_path, kind):
    "Every kind becomes an ONNX graph, which is compared with it, logit for logit."
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    folder = export(random_model(shallow(kind)), tmp_path / "out", onnx=("float32",))
    assert (folder / "onnx" / "model.onnx").is_file()


def test_stock_model_of_other_people(tmp_path):
    "A folder that somebody else saved, with several tokens that end a text."
    ends = dict(bos_token_id=1, eos_token_id=[2, 3])
    config = dict(vocab_size=400, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("qwen2", num_key_value_heads=2, **config, **ends))
    model.save_pretrained(tmp_path / "theirs")
    folder = export(tmp_path / "theirs", tmp_path / "out")
    generation = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    assert (generation["eos_token_id"], generation["pad_token_id"]) == ([2, 3], 2)
    # at most: what was drawn at random may never come to an end
    assert AutoModelForCausalLM.from_pretrained(folder).generate(torch.tensor([[1, 5]]), max_new_tokens=4).shape[1] > 2
    biased = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", attention_bias=True, **config))
    biased.save_pretrained(tmp_path / "biased")
    with pytest.raises(InputError, match="model='.*biased': attention_bias=True: must be False"):
        export(tmp_path / "biased", tmp_path / "none")


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
    model = prepare_for_training(random_model(shallow("opt")).bfloat16())
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
