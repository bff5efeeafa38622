"""Folders that hold no model, half a model, a pickle or somebody's code."""

import io
import json

import pytest
import torch
from evaluation_samples import model_of, tokenizer
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from lts_nb.core.errors import InputError
from lts_nb.evaluation import stored_models
from lts_nb.evaluation.examples import EXAMPLES, save_example
from lts_nb.evaluation.stored_models import offline, open_backbone_model, open_model

FOREIGN = dict(model_type="alien", auto_map=dict(AutoConfig="alien.C", AutoModelForCausalLM="alien.M"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return save_example(tmp_path_factory.mktemp("sound"), model_of("gpt2"), tokenizer())


@pytest.fixture
def asked(monkeypatch):
    "How often the hub was looked for; it is not there."
    calls = []
    monkeypatch.setattr(stored_models, "hub_answers", lambda: calls.append(1) and False)
    return calls


def broken_folders(sound):
    config, weights = (sound / "config.json").read_bytes(), (sound / "model.safetensors").read_bytes()
    torch.save(load_file(sound / "model.safetensors"), pickled := io.BytesIO())
    return {
        "empty": {},
        "untrained": {"config.json": config},
        "damaged": {"config.json": b"{", "model.safetensors": weights},
        "cut": {"config.json": config, "model.safetensors": b"cut"},
        "pickled": {"config.json": config, "pytorch_model.bin": pickled.getvalue()},
        "mute": {"config.json": config, "model.safetensors": weights},
        "foreign": {"config.json": json.dumps(FOREIGN).encode(), "alien.py": b"raise SystemExit('was run')"},
    }


@pytest.mark.parametrize(
    "name, says, exportable_says",
    [
        ("empty", "is a folder without config.json", "has no config.json"),
        ("untrained", "has no model that can be read", "cannot be opened"),
        ("damaged", "has no model that can be read", "cannot be opened"),
        ("cut", "has no model that can be read", "cannot be opened"),
        ("pickled", "has no model that can be read", "cannot be opened"),
        ("mute", "has no tokenizer that can be read", None),
        ("foreign", "trust_remote_code=False: the model in", "cannot be opened"),
    ],
)
def test_broken(sound, tmp_path, asked, name, says, exportable_says):
    for file, content in broken_folders(sound)[name].items():
        (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match=says):
        open_model(tmp_path)
    if exportable_says:
        with pytest.raises(InputError, match=exportable_says):
            open_backbone_model(tmp_path)
    else:
        assert open_backbone_model(tmp_path)[1] == EXAMPLES["gpt2"]
    assert not asked  # a folder needs no hub


def test_weight_missing(sound, tmp_path):
    (tmp_path / "config.json").write_bytes((sound / "config.json").read_bytes())
    weights = load_file(sound / "model.safetensors")
    del weights["transformer.ln_f.bias"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"not those of its configuration \(1 missing keys\)"):
        open_backbone_model(tmp_path)


def test_id_of_the_hub(asked):
    with pytest.raises(InputError, match="model='nobody/nothing': has no model that can be read"):
        open_model("nobody/nothing")
    assert len(asked) == 1


def test_file_in_place_of_a_folder(sound):
    with pytest.raises(InputError, match="must be the folder of a trained model"):
        open_model(sound / "config.json")


def test_bare_tokenizer(sound, tmp_path):
    "What a training keeps of its tokenizer is enough."
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes((sound / name).read_bytes())
    assert open_model(tmp_path)[1]("def f(x):").input_ids == tokenizer()("def f(x):").input_ids


@pytest.mark.parametrize("before", [False, True])
def test_offline(monkeypatch, before):
    "As with HF_HUB_OFFLINE=1, it is never overruled."
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", before)
    with offline(False):
        assert constants.HF_HUB_OFFLINE == before
    with pytest.raises(KeyError), offline(True):
        assert constants.HF_HUB_OFFLINE
        raise KeyError
    assert constants.HF_HUB_OFFLINE == before
