"""Words that perplexities in the literature are divided by, tokenizers without special tokens, and what is no text."""

import copy
from pathlib import Path

import pytest
from evaluation_samples import corpus, tokenizer

from lts_nb.core.errors import InputError
from lts_nb.evaluation.texts import boundary_tokens, count_words, read_evaluation_text, to_tokens
from lts_nb.training.corpus import stdlib_corpus
from lts_nb.training.tokenizer import END_OF_TEXT

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize("side, words, with_ends", [("valid", 213_886, 217_646), ("test", 241_211, 245_569)])
def test_wikitext(side, words, with_ends):
    "WikiText's own counts include the end of every line (Merity et al. 2016, table 1)."
    if not (file := DATA / f"wikitext-2-{side}.txt").exists():
        pytest.skip("WikiText is not here")
    text = read_evaluation_text(file)[1]
    assert (count_words(text), count_words(text, line_ends=True)) == (words, with_ends)


def test_named_corpora(tmp_path):
    assert read_evaluation_text("stdlib")[1] == stdlib_corpus().valid
    (tmp_path / "binary.txt").write_bytes(b"a\0\0b")
    with pytest.raises(InputError, match="is binary"):
        read_evaluation_text(tmp_path / "binary.txt")


def without_end(bos, eos):
    plain = copy.deepcopy(tokenizer())
    plain.bos_token, plain.eos_token = bos, eos
    vocabulary = {token: i for token, i in tokenizer().get_vocab().items() if token != END_OF_TEXT}
    plain.get_vocab = lambda: vocabulary
    return plain


def test_no_special_tokens():
    plain = without_end(None, None)
    x, y = (plain(text).input_ids for text in ("x = 1", "y"))
    assert boundary_tokens(plain) == (None, None)
    found = to_tokens(plain, ("x = 1", "y"))
    assert found.tokens.tolist() == x + y and found.starts.tolist() == [0, len(x) - 1]


def test_own_beginning():
    plain = without_end("a", "b")
    assert [plain.decode(token) for token in boundary_tokens(plain)] == ["a", "b"]


def test_documents():
    end = tokenizer().eos_token_id
    found = to_tokens(tokenizer(), corpus().valid)
    assert found.texts == corpus().valid and (found.tokens[found.starts] == end).all()


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "text: is empty"),
        ((" ", "\n"), "text: is empty"),
        ((), "text: is empty"),
        ("x", "has 1 token: must have at least two"),
        (b"bytes", "holds bytes"),
        (("x", 3), "holds int"),
        (5, "holds int"),
        (None, "holds NoneType"),
        ("a\0b", "is binary"),
    ],
)
def test_no_text(text, says):
    with pytest.raises(InputError, match=says):
        to_tokens(tokenizer(), text)
