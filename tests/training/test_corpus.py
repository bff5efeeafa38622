"""Documents from wherever they come: split, cut, joined and refused."""

import pytest

from lts_nb.core.errors import InputError
from lts_nb.training.corpus import cut_at_line_ends, folder_corpus, get_corpus, read_document, split_documents
from lts_nb.training.hub import join_rows

NUMBERED = [f"document number {i}\n" * 20 for i in range(200)]


@pytest.mark.parametrize("n", range(2, 30))
def test_each_side_has_a_document(n):
    corpus = split_documents("few", NUMBERED[:n])
    assert corpus.train and corpus.valid and len(corpus.train) + len(corpus.valid) == n


def test_the_hash_knows_the_share():
    assert split_documents("a", NUMBERED, 0.1).sha256 != split_documents("a", NUMBERED, 0.2).sha256


def test_the_name_does_not_count():
    assert split_documents("a", NUMBERED).sha256 == split_documents("b", NUMBERED).sha256


@pytest.mark.parametrize(
    "texts, side", [([], "train on"), (["", " \n"], "train on"), (["one", "one"], "validate with")]
)
def test_too_few_documents(texts, side):
    with pytest.raises(InputError, match=f"which leaves none to {side}"):
        split_documents("short", texts)


@pytest.mark.parametrize(
    "content, reason",
    [(b"caf\xe9", r"is not UTF-8 text \(byte 3\)"), (b"\0\1", "is binary"), (b"", "documents that are not empty: 0")],
)
def test_refused_files(tmp_path, content, reason):
    (tmp_path / "bad.txt").write_bytes(content)
    with pytest.raises(InputError, match=reason):
        folder_corpus(tmp_path)


def test_refused_places(tmp_path):
    with pytest.raises(InputError, match="is neither a folder nor a file"):
        get_corpus(str(tmp_path / "nothing"))
    with pytest.raises(InputError, match=r"no file in it is named \*\.txt"):
        get_corpus(str(tmp_path))


def test_line_ends_of_windows(tmp_path):
    (tmp_path / "windows.txt").write_bytes(b"one\r\ntwo\r\n")
    assert read_document(tmp_path / "windows.txt") == "one\ntwo\n"


@pytest.mark.parametrize("text", ["", "\n", "one", "one\n", "one\ntwo\n\nthree", "x" * 100 + "\n" + "y" * 3])
@pytest.mark.parametrize("size", [1, 4, 50])
def test_cut_and_put_together(text, size):
    pieces = cut_at_line_ends(text, size)
    assert "".join(pieces) == text
    assert all(piece.endswith("\n") and len(piece) >= size for piece in pieces[:-1])


def test_a_file_that_stands_there_twice_is_one(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("".join(f"line {i}\n" for i in range(20_000)), encoding="utf-8")
    corpus = folder_corpus(tmp_path, share=0.3)
    assert sum(map(len, corpus.train + corpus.valid)) == (tmp_path / "a.txt").stat().st_size


def test_long_texts_of_lines_are_cut():
    article = (["", " = Title = \n", "", " A sentence .\n", " Another .\n", "", ""] * 9)[:-2]
    documents = list(join_rows(article, 40))
    assert "".join(documents) == "".join(row or "\n" for row in article)
    assert len(documents) > 5 and min(map(len, documents[:-1])) >= 40
