"""A tiny model and a small text, on one thread: another number of threads adds up in another order."""

import numpy as np
import pytest

from lts_nb.space.architecture import Architecture
from lts_nb.training.corpus import split_documents, stdlib_corpus
from lts_nb.training.tokens import tokenize


@pytest.fixture(scope="module", autouse=True)
def always_one_thread(one_thread):
    "For every module of this folder."


@pytest.fixture(scope="session")
def small():
    "A twenty-fifth of the standard library."
    return split_documents("part of stdlib", stdlib_corpus().train[::25], share=0.2)


@pytest.fixture(scope="session")
def data(small, tmp_path_factory):
    "Its tokens, in memory."
    tokens = tokenize(small, 300, tmp_path_factory.mktemp("cache"))
    arrays = {side: np.array(getattr(tokens, side)) for side in ("train", "valid")}
    return type(tokens)(**vars(tokens) | arrays)


@pytest.fixture(scope="session")
def data_file(data, tmp_path_factory):
    "The same as a file for another process; `child.load_data` reads it."
    path = tmp_path_factory.mktemp("data") / "data.npz"
    arrays = {"train": data.train, "valid": data.valid, "valid_bytes": data.valid_bytes}
    np.savez(path, **arrays, texts=[data.sha256, data.tokenizer])
    return path


@pytest.fixture(scope="session")
def tiny():
    return Architecture("gpt2", 32, (2, 2), (64, 64), vocab_size=300, max_len=32)
