"""Tokenizers that are odd, and caches that are damaged, contested or cannot be written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerFast

from lts_nb.core.errors import InputError
from lts_nb.training import tokens as tokens_module
from lts_nb.training.corpus import split_documents
from lts_nb.training.tokenizer import END_OF_TEXT, load_tokenizer, train_tokenizer
from lts_nb.training.tokens import encode_texts, tokenize

CORPUS = split_documents("numbered", [f"document number {i}\n" * 20 for i in range(200)], share=0.1)
TRAINED = train_tokenizer(CORPUS, 280)
TEXT = "document number naïve\n"


def greeting() -> Tokenizer:
    "One that puts a token in front of each prompt."
    tokenizer = Tokenizer.from_str(TRAINED)
    template = processors.TemplateProcessing(single=f"{END_OF_TEXT} $A", special_tokens=[(END_OF_TEXT, 0)])
    tokenizer.post_processor = template
    return tokenizer


def test_no_greeting_within_a_text(tmp_path):
    plain = Tokenizer.from_str(TRAINED).encode(TEXT).ids
    assert greeting().encode(TEXT).ids == [0, *plain]
    assert next(encode_texts(greeting().to_str(), [TEXT])).tolist() == [*plain, 0]
    (tmp_path / "tokenizer.json").write_text(greeting().to_str(), encoding="utf-8")
    assert Tokenizer.from_str(load_tokenizer(tmp_path / "tokenizer.json")[0]).encode(TEXT).ids == plain


def test_a_model_names_its_own_end(tmp_path):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(TRAINED), eos_token="document")
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path)[1] == "document"


@pytest.mark.parametrize("file, keep", [("train.bin", 1000), ("train.bin", 1001), ("valid.bin", 0), ("tokens.json", 9)])
def test_damaged(tmp_path, file, keep):
    tokenize(CORPUS, 280, tmp_path)
    (path,) = tmp_path.glob(f"tokens/*/{file}")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="is damaged; delete it"):
        tokenize(CORPUS, 280, tmp_path)


def test_an_empty_record(tmp_path):
    tokenize(CORPUS, 280, tmp_path)
    (path,) = tmp_path.glob("tokens/*/tokens.json")
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="is damaged; delete it"):
        tokenize(CORPUS, 280, tmp_path)


def test_another_process_was_faster(tmp_path, monkeypatch):
    def slow(tokenizer, texts, end):
        monkeypatch.setattr(tokens_module, "encode_texts", encode_texts)
        tokenize(CORPUS, 280, tmp_path)
        yield from encode_texts(tokenizer, texts, end)

    monkeypatch.setattr(tokens_module, "encode_texts", slow)
    tokens = tokenize(CORPUS, 280, tmp_path)
    assert [path.name for path in (tmp_path / "tokens").iterdir()] == [Path(tokens.train.filename).parent.name]


def test_interrupted_while_it_is_made(tmp_path, monkeypatch):
    def interrupted(tokenizer, texts, end):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(tokens_module, "encode_texts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tokenize(CORPUS, 280, tmp_path)
    assert not list((tmp_path / "tokens").iterdir())


def test_a_home_that_cannot_be_written(tmp_path, monkeypatch):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, where a home should be", encoding="utf-8")
    for name in ("HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(blocked))
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked / "cache"))
    homeless = tokenize(CORPUS, 280)
    assert len(homeless.valid) > 100
    np.testing.assert_array_equal(tokenize(CORPUS, 280).valid, homeless.valid)
    with pytest.raises(OSError):
        tokenize(CORPUS, 280, blocked)


def test_at_most_so_many_tokens(tmp_path):
    tokens = tokenize(CORPUS, 280, tmp_path)
    for most in (1, 999, len(tokens.train), len(tokens.train) + 1):
        first = tokenize(CORPUS, 280, tmp_path, most=most)
        np.testing.assert_array_equal(first.train, tokens.train[:most])
        np.testing.assert_array_equal(first.valid, tokens.valid)


def test_bits_per_byte_by_hand(tmp_path):
    tokens = replace(tokenize(CORPUS, 280, tmp_path), valid=np.zeros(8, np.uint16), valid_bytes=16)
    assert tokens.bits_per_byte(np.log(4)) == pytest.approx(1.0)  # two bits a token, two bytes a token
