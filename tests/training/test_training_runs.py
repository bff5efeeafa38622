"""What is asked of workers is the same in whatever folder they were started."""

import pytest
from kit import AtOnce

from lts_nb.cli.train import TrainingSetup
from lts_nb.profiler.store import Store
from lts_nb.training.corpus import get_corpus
from lts_nb.training.jobs import TrainingJob
from lts_nb.training.recipe import Recipe
from lts_nb.training.training_runs import read_training_runs, run_training_jobs


@pytest.fixture
def texts(tmp_path, monkeypatch):
    "A folder of texts in the home folder."
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "texts").mkdir()
    for i in range(300):
        (tmp_path / "texts" / f"{i}.txt").write_text(f"document {i}", encoding="utf-8")
    return tmp_path / "texts"


def read_only(job, recipe, corpus: str, text_column, sha256: str, *settings) -> tuple[dict, dict]:
    "Read the corpus as a worker does, and train nothing."
    assert get_corpus(corpus, text_column).sha256 == sha256
    return dict(tokens=[1000], losses=[5.0], bits_per_byte=[1.0], seconds=1.0, curve=[]), {}


def test_a_corpus_in_the_home_folder(texts, tiny):
    with Store() as store:
        run_training_jobs([TrainingJob(tiny)], Recipe(), "~/texts", store, AtOnce(), run=read_only)
        assert read_training_runs(store).error.tolist() == [None]


def test_a_corpus_in_the_home_folder_for_lts_train(texts, tmp_path):
    rest = dict.fromkeys(("text_column", "tokenizer", "end_of_text", "vocab_size"))
    setup = TrainingSetup(tmp_path, None, "~/texts/*.txt", **rest, parts=1, seed=0, compiled=False, several=False)
    assert get_corpus(setup.anywhere().corpus) == get_corpus("~/texts/*.txt")
