"""GGUF files of many architectures: read back, opened by transformers, and computed by llama.cpp."""

import sys

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

gguf = pytest.importorskip("gguf")

from lts_nb.core.errors import InputError  # noqa: E402
from lts_nb.evaluation.examples import example_corpus, example_tokenizer, random_model  # noqa: E402
from lts_nb.formats import gguf_file  # noqa: E402
from lts_nb.formats.gguf_checks import TOLERANCES, difference, rounding, to_checked_gguf  # noqa: E402
from lts_nb.formats.gguf_file import open_gguf, read_weights, to_gguf  # noqa: E402
from lts_nb.formats.gguf_layout import FORMATS, gguf_tensors  # noqa: E402
from lts_nb.formats.gguf_model import GgufModel  # noqa: E402
from lts_nb.models.build import architecture_of  # noqa: E402
from lts_nb.models.small_models import without_halves  # noqa: E402
from lts_nb.space.architecture import Architecture  # noqa: E402

CHEAP = ("float32", "float16", "q8_0", "q4_0")


def draw_llama(rng: np.random.Generator, width: int) -> Architecture:
    "A Llama with heads, key/value heads and feed-forwards drawn for each layer; rows are multiples of `width`."
    n_layer, d_head = int(rng.integers(1, 7)), width // int(rng.choice([1, 2]))
    kv_heads = rng.choice([2, 4], n_layer)
    return Architecture(
        backbone="llama",
        d_model=width * int(rng.integers(1, 5)),
        n_head=tuple((kv_heads * rng.choice([1, 2, 3], n_layer)).tolist()),
        d_inner=tuple((width * rng.integers(1, 6, n_layer)).tolist()),
        vocab_size=int(rng.choice([97, 300])),
        max_len=64,
        n_kv_head=tuple(kv_heads.tolist()),
        d_head=d_head,
        tie_embeddings=bool(rng.random() < 0.5),
        qkv_bias=bool(rng.random() < 0.5),
    )


def draw_lfm2(rng: np.random.Generator, width: int) -> Architecture:
    "An LFM2 with kinds of layers and key/value heads drawn for each."
    n_layer, heads = int(rng.integers(2, 7)), int(rng.choice([2, 4]))
    kinds = rng.permutation(["conv", "attention", *rng.choice(["conv", "attention"], n_layer - 2)]).tolist()
    return Architecture(
        backbone="lfm2",
        d_model=2 * width,
        n_head=(heads,) * n_layer,
        d_inner=(width * int(rng.integers(1, 6)),) * n_layer,
        vocab_size=300,
        max_len=64,
        n_kv_head=tuple(rng.choice([1, 2], n_layer).tolist()),
        d_head=2 * width // heads,
        layer_kind=tuple(kinds),
    )


def draw(backbone: str, seed: int, dtype: str) -> tuple:  # a random model, and tokens
    rng, width = np.random.default_rng(seed), max(32, FORMATS[dtype].multiple)
    architecture = (draw_llama if backbone == "llama" else draw_lfm2)(rng, width)
    return random_model(architecture, seed), rng.integers(architecture.vocab_size, size=(1, 41))


@pytest.mark.parametrize("backbone", ["llama", "lfm2"])
@pytest.mark.parametrize("seed", range(6))
def test_read_back(tmp_path, backbone, seed):
    model, _ = draw(backbone, seed, "float32")
    for dtype, most in zip(CHEAP, (0, 3e-4, 0.01, 0.15)):
        to_gguf(model, tmp_path / "model.gguf", dtype)
        found = rounding(read_weights(tmp_path / "model.gguf", model), model)
        assert most / 10 <= found <= most, dtype


@pytest.mark.parametrize("untied", [False, True])
def test_transformers_opens_a_homogeneous_llama(tmp_path, untied):
    shape = dict(d_model=64, n_head=(4,) * 3, d_inner=(96,) * 3, vocab_size=400, max_len=64, n_kv_head=(2,) * 3)
    model, tokenizer = (
        random_model(Architecture("llama", **shape, tie_embeddings=not untied)),
        example_tokenizer(example_corpus()),
    )
    to_gguf(model, tmp_path / "model.gguf", tokenizer=tokenizer)
    again = LlamaForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32)
    ids = torch.randint(400, (1, 20), generator=torch.Generator().manual_seed(0))
    expected = model(ids).logits.detach()
    torch.testing.assert_close(again(ids).logits.detach(), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    known = PreTrainedTokenizerFast.from_pretrained(tmp_path, gguf_file="model.gguf")
    text = "def größe(x):\n    return x + 1234  # 😀"
    assert known(text, add_special_tokens=False).input_ids == tokenizer(text).input_ids


def draw_shaped(seed: int, width: int) -> tuple:  # a random model of which some layers lack a half, and tokens
    rng = np.random.default_rng(seed)
    while (architecture := without_halves(draw_llama(rng, width), rng)).complete:
        pass
    return random_model(architecture, seed), rng.integers(architecture.vocab_size, size=(1, 41))


@pytest.mark.parametrize("seed", range(6))
def test_halves_are_read_back(tmp_path, seed):
    "What the file holds besides the model's weights is zero, and not more than the smallest halves."
    model, _ = draw_shaped(seed, 32)
    path, architecture = tmp_path / "model.gguf", architecture_of(model)
    assert to_gguf(model, path)["architecture"] == "deci"
    assert rounding(read_weights(path, model), model) == 0
    added = [tensor for tensor in gguf_tensors(architecture) if not tensor.source]
    held = {tensor.name: tensor.data for tensor in open_gguf(path).tensors}
    assert not any(np.any(held[tensor.name]) for tensor in added)
    first = not architecture.n_head[0]
    biases = 3 * architecture.qkv_bias * first
    assert len(added) == 4 * architecture.d_inner.count(0) + 5 * first + biases
    assert {name for name in held if ".attn_norm." in name} == {
        f"blk.{i}.attn_norm.weight" for i, n_head in enumerate(architecture.n_head) if n_head or not i
    }


# --- in llama.cpp, where it is installed


@pytest.mark.parametrize("dtype", FORMATS)
def test_llama_cpp_computes_halves(tmp_path, dtype):
    "Layers without attention, the first among them, and without a feed-forward part, the last among them."
    pytest.importorskip("llama_cpp")
    seen = []
    for seed in range(8):
        model, ids = draw_shaped(seed, max(32, FORMATS[dtype].multiple))
        to_gguf(model, tmp_path / "model.gguf", dtype)
        rounded = read_weights(tmp_path / "model.gguf", model)
        assert difference(tmp_path / "model.gguf", rounded, ids) < TOLERANCES[dtype] / 2, seed
        seen.append(architecture_of(model))
    assert any(not a.n_head[0] for a in seen) and any(not a.d_inner[-1] for a in seen)


def test_greedy_continuation_of_halves(tmp_path):
    pytest.importorskip("llama_cpp")
    for seed in range(4):
        model, ids = draw_shaped(seed, 32)
        prompt, options = torch.tensor(ids[:, :8]), dict(max_new_tokens=32, min_new_tokens=32, do_sample=False)
        to_gguf(model, tmp_path / "model.gguf")
        expected = model.generate(prompt, attention_mask=torch.ones(1, 8), pad_token_id=0, **options)
        runner = GgufModel(tmp_path / "model.gguf")
        assert runner.generate(prompt[0], 32) == expected[0].tolist()
        runner.close()


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("backbone", ["llama", "lfm2"])
def test_llama_cpp_computes_the_same(tmp_path, backbone, dtype):
    "Heads, key/value heads and feed-forwards drawn per layer; half of the tolerance must do."
    pytest.importorskip("llama_cpp")
    for seed in range(8 if FORMATS[dtype].multiple <= 32 else 4):  # wide ones take seconds
        model, ids = draw(backbone, seed, dtype)
        to_gguf(model, tmp_path / "model.gguf", dtype)
        rounded = read_weights(tmp_path / "model.gguf", model)
        assert difference(tmp_path / "model.gguf", rounded, ids) < TOLERANCES[dtype] / 2, seed


@pytest.mark.parametrize("backbone", ["llama", "lfm2"])
def test_greedy_continuation(tmp_path, backbone):
    pytest.importorskip("llama_cpp")
    for seed in range(8):
        model, ids = draw(backbone, seed, "float32")
        prompt, whole = torch.tensor(ids[:, :8]), torch.ones(1, 8)
        to_gguf(model, tmp_path / "model.gguf")
        expected = model.generate(
            prompt, attention_mask=whole, max_new_tokens=32, min_new_tokens=32, do_sample=False, pad_token_id=0
        )
        runner = GgufModel(tmp_path / "model.gguf")
        assert runner.generate(prompt[0], 32) == expected[0].tolist()
        runner.close()


def stock_llama(**rope) -> LlamaForCausalLM:
    "A stock Llama with rotary positions of a kind, and weights wide enough for positions to matter."
    config = LlamaConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96, vocab_size=100,
        max_position_embeddings=64, rms_norm_eps=1e-4, rope_parameters=dict(rope_theta=500.0) | rope,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.15)
    return model


LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0)


@pytest.mark.parametrize(
    "rope",
    [
        dict(rope_type="default"),
        dict(rope_type="linear", factor=4.0),
        LLAMA3 | dict(original_max_position_embeddings=16),
    ],
    ids=["default", "linear", "llama3"],
)
def test_rotary_positions(tmp_path, rope):
    model = stock_llama(**rope)
    found = to_checked_gguf(model, tmp_path / "model.gguf")
    names = [tensor.name for tensor in open_gguf(tmp_path / "model.gguf").tensors]
    assert ("rope_freqs.weight" in names) == (rope["rope_type"] != "default")
    assert found.get("difference", 0) < TOLERANCES["float32"]


def test_other_rotary_positions_are_refused(tmp_path):
    model = stock_llama(rope_type="dynamic", factor=4.0)
    with pytest.raises(InputError, match="^rope_type='dynamic': must be one of default, linear, llama3 to be written"):
        to_gguf(model, tmp_path / "model.gguf")
    assert not list(tmp_path.iterdir())


# --- nothing is left of what failed


def test_full_disk(tmp_path, monkeypatch):
    model, _ = draw("llama", 0, "float32")
    times = iter(range(3))

    def pack(values, kind):
        if next(times) == 2:
            raise OSError(28, "No space left on device")
        return values

    monkeypatch.setattr(gguf_file, "pack", pack)
    (tmp_path / "model.gguf").write_bytes(b"an older file")
    with pytest.raises(OSError, match="No space left"):
        to_gguf(model, tmp_path / "model.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]
    assert (tmp_path / "model.gguf").read_bytes() == b"an older file"


@pytest.mark.parametrize("dtype", ["q4_k_m", "q6_k"])
def test_k_quants_take_llama_cpp(tmp_path, monkeypatch, dtype):
    from lts_nb.formats import gguf_blocks

    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    gguf_blocks.ggml_quantize.cache_clear()
    model, _ = draw("llama", 0, dtype)
    with pytest.raises(InputError, match=r"pip install 'lts_nb\[llama\]'"):
        to_gguf(model, tmp_path / "model.gguf", dtype)
    assert not list(tmp_path.iterdir())


def test_gguf_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    model, _ = draw("llama", 0, "float32")
    with pytest.raises(InputError, match=r"pip install 'lts_nb\[gguf\]'"):
        to_gguf(model, tmp_path / "model.gguf")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", [0, 3, 6, 12, 30, 200, 2000, -1])
def test_damaged_files(tmp_path, cut):
    model, _ = draw("llama", 0, "q8_0")
    path = tmp_path / "model.gguf"
    to_gguf(model, path, "q8_0")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"^gguf='.*': is (no GGUF file|damaged, or cut short)") as caught:
        open_gguf(path)
    assert "\n" not in str(caught.value)


def test_files_of_a_later_version(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + (4).to_bytes(4, "little") + bytes(100))
    with pytest.raises(InputError, match="is of version 4; up to 3 is read here"):
        open_gguf(path)
