"""Units, memory, overflow, short texts, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from evaluation_samples import corpus, tokenizer, trained

from lts_nb.core.errors import InputError
from lts_nb.evaluation.examples import random_model
from lts_nb.evaluation.perplexity import check_window, perplexity
from lts_nb.models.build import build
from lts_nb.space.architecture import Architecture

SMALL = Architecture("gpt2", 16, (2,), (32,), vocab_size=400, max_len=16)


@pytest.fixture(scope="module")
def uniform():
    "Every token is equally likely."
    model = build(SMALL)
    torch.nn.init.zeros_(model.transformer.ln_f.weight)
    return model


def test_uniform(uniform):
    found = perplexity(uniform, tokenizer(), "def f(x): return x")
    assert abs(found["token_perplexity"] - 400) < 1
    assert np.isnan(found["nats_per_token_stderr"])  # too short for an error


def test_overflow(uniform):
    assert perplexity(uniform, tokenizer(), "ab" * 3000)["word_perplexity"] == np.inf
    assert 1e3 < perplexity(uniform, tokenizer(), "\u2006".join("ab" * 3000))["word_perplexity"] < np.inf


def test_line_ends():
    texts = corpus().valid[:5]
    plain, ends = (perplexity(trained(), tokenizer(), texts, line_ends=yes) for yes in (False, True))
    assert ends["words"] - plain["words"] == sum(len(t.split("\n")) - t.endswith("\n") for t in texts)
    assert ends["word_perplexity"] < plain["word_perplexity"]


def test_batch_size_and_mode():
    "However many windows at once, and without the dropout of a model in training."
    texts = corpus().valid[:5]
    expected = perplexity(trained(), tokenizer(), texts)["nats_per_token"]
    trained().train()
    try:
        assert abs(perplexity(trained(), tokenizer(), texts, batch_size=3)["nats_per_token"] - expected) < 1e-5
        assert trained().training
    finally:
        trained().eval()


def test_window_by_default():
    wide = random_model(Architecture("gpt2", 16, (2,), (32,), vocab_size=400, max_len=4096))
    assert perplexity(wide, tokenizer(), "def f(x): return x")["window"] == 2048


def test_no_positions():
    model = SimpleNamespace(config=SimpleNamespace(get_text_config=SimpleNamespace))
    with pytest.raises(InputError, match="window=None: must be given"):
        check_window(model, None, None)
    assert check_window(model, 10, None) == (10, 5)


def test_out_of_memory():
    def crowded(module, args, kwargs):  # a memory that holds two windows
        if len(kwargs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = trained().register_forward_pre_hook(crowded, with_kwargs=True)
    try:
        with pytest.raises(InputError, match="batch_size=3: does not fit in memory; must be smaller"):
            perplexity(trained(), tokenizer(), corpus().valid[:3], batch_size=3)
        assert perplexity(trained(), tokenizer(), corpus().valid[:3], batch_size=2)["documents"] == 3
    finally:
        hook.remove()


@pytest.mark.parametrize(
    "options, says",
    [
        (dict(stride=0), "stride=0: must be a whole number from 1 to 64"),
        (dict(stride=33, window=32), "stride=33: must be a whole number from 1 to 32"),
        (dict(window=65), "window=65: must be a whole number from 1 to 64"),
        (dict(batch_size=0), "batch_size=0"),
        (dict(stride=True), "stride=True"),
    ],
)
def test_refused(options, says):
    with pytest.raises(InputError, match=says):
        perplexity(trained(), tokenizer(), "x = 1", **options)


def test_vocabulary_too_small():
    small = build(Architecture("gpt2", 16, (2,), (32,), vocab_size=399, max_len=16))
    with pytest.raises(InputError, match="numbers tokens up to 399"):
        perplexity(small, tokenizer(), "x = 1")
