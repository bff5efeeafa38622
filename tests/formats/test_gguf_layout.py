"""What a GGUF file says of an architecture, and that llama.cpp's own quantizer would choose the same types."""

import ctypes
from hashlib import sha256
from math import prod

import numpy as np
import pytest
import torch

gguf = pytest.importorskip("gguf")

from lts_nb.core.errors import InputError  # noqa: E402
from lts_nb.evaluation.examples import random_model  # noqa: E402
from lts_nb.formats.gguf_blocks import block_size  # noqa: E402
from lts_nb.formats.gguf_file import to_gguf  # noqa: E402
from lts_nb.formats.gguf_header import gguf_probe, tile  # noqa: E402
from lts_nb.formats.gguf_layout import FORMATS, check_widths, gets_more_bits, gguf_tensors  # noqa: E402
from lts_nb.profiler.targets.runner import size_of  # noqa: E402
from lts_nb.space.architecture import Architecture  # noqa: E402
from lts_nb.space.counts import count  # noqa: E402

DEEP = Architecture("llama", 256, (2, 4) * 8, (256, 512) * 8, 64, 64, n_kv_head=(1, 2) * 8, d_head=128)
KINDS = ("conv", "attention", "attention")
HYBRID = Architecture(
    "lfm2", 256, (0, 2, 2) * 4, (512,) * 12, 64, 64, n_kv_head=(0, 1, 2) * 4, d_head=128, layer_kind=KINDS * 4
)


def held(path):
    "Fields and tensors of a file."
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    return fields, {tensor.name: tensor for tensor in reader.tensors}


@pytest.mark.parametrize("architecture", [DEEP, HYBRID], ids=["deci", "lfm2"])
def test_keys(tmp_path, architecture):
    path = tmp_path / "model.gguf"
    to_gguf(random_model(architecture), path)
    fields, tensors = held(path)
    name = fields["general.architecture"]
    said = {key.removeprefix(f"{name}."): value for key, value in fields.items() if key.startswith(f"{name}.")}
    assert said["block_count"] == architecture.n_layer and said["context_length"] == 64
    assert said["attention.head_count_kv"] == list(architecture.n_kv_head)
    assert said["attention.key_length"] == said["attention.value_length"] == said["rope.dimension_count"] == 128
    if name == "deci":
        assert said["attention.head_count"] == list(architecture.n_head)
        assert said["feed_forward_length"] == list(architecture.d_inner)
        assert said["attention.layer_norm_rms_epsilon"] == np.float32(1e-6)
    else:
        assert (name, said["attention.head_count"], said["feed_forward_length"]) == ("lfm2", 2, 512)
        assert said["shortconv.l_cache"] == 3
    assert sum(tensor.n_elements for tensor in tensors.values()) == count(architecture).total


def test_layers_that_get_more_bits():
    assert [i for i in range(16) if gets_more_bits(i, 16)] == [0, 1, 4, 7, 10, 13, 14, 15]
    assert [i for i in range(4) if gets_more_bits(i, 4)] == [2, 3]


@pytest.mark.parametrize("dtype", [dtype for dtype in FORMATS if dtype != "float32"])
@pytest.mark.parametrize("architecture", [DEEP, HYBRID], ids=["deci", "lfm2"])
def test_as_llama_cpp_quantizes(tmp_path, architecture, dtype):
    "Types are those of llama.cpp's quantizer, and so is every byte, but for the output layer of q4_0."
    llama_cpp = pytest.importorskip("llama_cpp")
    source, ours, theirs = (tmp_path / f"{name}.gguf" for name in ("source", "ours", "theirs"))
    model = random_model(architecture)
    to_gguf(model, source)
    to_gguf(model, ours, dtype)
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.nthread = FORMATS[dtype].number, 1
    assert not llama_cpp.llama_model_quantize(str(source).encode(), str(theirs).encode(), ctypes.byref(options))
    (fields, found), (other_fields, expected) = held(ours), held(theirs)
    differing = [name for name in expected if expected[name].tensor_type != found[name].tensor_type]
    assert differing == ["token_embd.weight"] * (dtype == "q4_0")
    for name in found.keys() - differing:
        assert np.array_equal(found[name].data, expected[name].data), name
    assert fields["general.file_type"] == other_fields["general.file_type"]


def test_more_bits_for_an_output_layer_of_its_own():
    untied = Architecture("llama", 256, (2,), (256,), 64, 64, d_head=128, tie_embeddings=False)
    kinds = {dtype: {t.name: t.kind for t in gguf_tensors(untied, dtype)} for dtype in FORMATS}
    assert {dtype: kind["output.weight"] for dtype, kind in kinds.items()} == dict(
        float32="F32", float16="F16", q8_0="Q8_0", q4_0="Q8_0", q4_k_m="Q6_K", q6_k="Q6_K"
    )
    assert (kinds["q4_0"]["token_embd.weight"], kinds["q4_k_m"]["token_embd.weight"]) == ("Q4_0", "Q4_K")


@pytest.mark.parametrize("dtype", ["q8_0", "q4_0", "q4_k_m", "q6_k"])
def test_widths(dtype):
    multiple = FORMATS[dtype].multiple
    half = multiple // 2
    good = dict(d_model=multiple, n_head=(2,), d_inner=(3 * multiple,), d_head=half, vocab_size=10)
    check_widths(Architecture("llama", **good), dtype)
    for field, value in dict(d_model=multiple + half, d_inner=(multiple, half), n_head=(1,)).items():
        changes = {field: value} | (dict(n_head=(2, 2)) if field == "d_inner" else {})
        with pytest.raises(InputError, match=f"^{field}=.*{dtype} takes widths that are multiples of {multiple}, and"):
            check_widths(Architecture("llama", **good | changes), dtype)


@pytest.mark.parametrize("dtype", FORMATS)
def test_probe_is_as_large_as_the_model(tmp_path, dtype):
    for architecture in (DEEP, HYBRID):
        probe = gguf_probe(architecture, dtype)
        if FORMATS[dtype].weights in ("F32", "F16", "Q8_0", "Q4_0"):
            to_gguf(random_model(architecture), tmp_path / "model.gguf", dtype)
            assert (tmp_path / "model.gguf").stat().st_size == size_of(probe.pieces)
        assert probe.weight_bytes <= sum(n for _, n in probe.pieces[1:]) < 1.01 * probe.weight_bytes + 2000
        assert {sha256(content).hexdigest() for content in probe.contents()} == {name for name, _ in probe.pieces[1:]}
        for name in probe.tiles:
            block = 4 if name == "ones" else block_size(name)[1]
            assert len(tile(name)) % block == 0 and 0 < len(tile(name)) <= 2**16


def test_layers_that_share_weights_are_copied(tmp_path):
    shared = Architecture("llama", 64, (2, 2, 2), (96,) * 3, 64, 64, d_head=32, share=(0, 1, 0))
    model = random_model(shared)
    to_gguf(model, tmp_path / "model.gguf")
    _, tensors = held(tmp_path / "model.gguf")
    first, last = (tensors[f"blk.{i}.ffn_up.weight"].data for i in (0, 2))
    assert np.array_equal(first, last)
    assert torch.equal(torch.tensor(np.array(last)), model.model.layers[0].mlp.up_proj.weight)
    assert sum(prod(t.shape) for t in gguf_tensors(shared)) == count(shared).total + 64 * 64 * 4 + 3 * 64 * 96 + 128
