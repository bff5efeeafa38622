"""Documents from wherever they come: split, cut, joined and refused."""

import pytest

from lts_nb.core.errors import InputError
from lts_nb.training.corpus import get_corpus, split_documents

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


@pytest.mark.parametrize("source", ["hub", "stream"])
def test_a_data_set_that_is_a_script(tmp_path, monkeypatch, source):
    "Of the kind that `datasets` no longer runs, which it says with a `RuntimeError`."
    pytest.importorskip("datasets")
    (tmp_path / "owner" / "name").mkdir(parents=True)
    (tmp_path / "owner" / "name" / "name.py").write_text("raise SystemExit('was run')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=rf"corpus='{source}:owner/name': cannot be had \(RuntimeError: Dataset scripts"
    ):
        get_corpus(f"{source}:owner/name")


def test_a_hub_that_fails_without_a_word(monkeypatch):
    datasets = pytest.importorskip("datasets")

    def fail(*args, **options):
        raise AssertionError

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(InputError, match=r"cannot be had \(AssertionError\)"):
        get_corpus("hub:owner/name")
