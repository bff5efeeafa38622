"""`lts export --gguf`: files with tokenizer, what they cost, and an answer of llama.cpp's own program."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from kit import lts
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

gguf = pytest.importorskip("gguf")

from lts_nb.evaluation.examples import example_corpus, example_tokenizer, save_example, train_briefly  # noqa: E402
from lts_nb.formats.gguf_checks import has_llama_cpp  # noqa: E402
from lts_nb.models.build import build  # noqa: E402
from lts_nb.space.architecture import Architecture  # noqa: E402

SHAPE = dict(d_model=64, n_head=(4, 2), d_inner=(128, 64), vocab_size=400, max_len=64, n_kv_head=(2, 1), d_head=32)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    "A folder with a Llama of unequal layers that has learned a little, and its tokenizer."
    corpus = example_corpus()
    tokenizer, model = example_tokenizer(corpus), build(Architecture("llama", **SHAPE))
    train_briefly(model, tokenizer("\n".join(corpus.train), verbose=False).input_ids, steps=30)
    return save_example(tmp_path_factory.mktemp("model"), model, tokenizer)


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "small"
    code, said, wrong = lts("export", trained, "--out", folder, "--gguf", "q8_0, q4_0,float32")
    assert code == 0 and "files; its model card is" in said, wrong
    return folder


def test_files_and_card(exported):
    files = [f"small-{dtype}.gguf" for dtype in ("float32", "q4_0", "q8_0")]
    assert sorted(path.name for path in (exported / "gguf").iterdir()) == ["checks.json", *files]
    checks = json.loads((exported / "gguf" / "checks.json").read_text(encoding="utf-8"))
    assert list(checks) == ["q8_0", "q4_0", "float32"]
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert "- gguf\n" in card and "\n## GGUF\n" in card
    for check in checks.values():
        assert (exported / "gguf" / check["file"]).stat().st_size == check["bytes"]
        assert abs(check["loss_weights"] - check["loss"]) < 0.05 and f"(gguf/{check['file']})" in card
        assert ("difference" in check) == ("loss_llama_cpp" in check) == has_llama_cpp()
    assert checks["float32"]["loss_weights"] == checks["float32"]["loss"]


def test_tokenizer_lies_in_the_file(exported):
    fields = gguf.GGUFReader(exported / "gguf" / "small-q8_0.gguf").fields
    tokenizer = PreTrainedTokenizerFast.from_pretrained(exported)
    tokens = fields["tokenizer.ggml.tokens"].contents()
    assert tokens == tokenizer.convert_ids_to_tokens(range(400))
    assert fields["tokenizer.ggml.eos_token_id"].contents() == tokenizer.eos_token_id


MISTAKES = [
    ("q5", r"gguf='q5': must be one of float32, float16, q8_0, q4_0, q4_k_m, q6_k"),
    ("q6_k", r"d_model=64: q6_k takes widths that are multiples of 256, and this is 64"),
    ("float32,q4_k_m", r"d_model=64: q4_k_m takes widths"),
]


@pytest.mark.parametrize("wanted, reason", MISTAKES)
def test_mistakes_are_one_line(trained, tmp_path, wanted, reason):
    code, _, wrong = lts("export", trained, "--out", tmp_path / "out", "--gguf", wanted)
    assert code != 0 and reason in wrong and len(wrong.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_family_that_llama_cpp_has_not(tmp_path):
    source = save_example(tmp_path / "opt", build(Architecture("opt", 48, (2, 8), (96, 160), 400, 64)))
    code, _, wrong = lts("export", source, "--out", tmp_path / "out", "--gguf", "q8_0")
    assert code != 0 and "backbone='opt': as GGUF, llama and lfm2 can be written" in wrong
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(shutil.which("llama-simple") is None, reason="llama.cpp's program llama-simple is not on the path")
@pytest.mark.parametrize("prompt", ["def größe(self):\n    return ", "The 12345 words of 😀 import"])
def test_answers_in_llama_cpp_s_own_program(exported, prompt):
    model = AutoModelForCausalLM.from_pretrained(exported, trust_remote_code=True).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(exported)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    answer = model.generate(ids, max_new_tokens=24, max_length=None, do_sample=False)[0]
    command = ["llama-simple", "-m", exported / "gguf" / "small-float32.gguf", "-n", "24", prompt]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=os.environ, timeout=120, check=True)
    assert done.stdout.strip() == tokenizer.decode(answer, skip_special_tokens=True).strip()
