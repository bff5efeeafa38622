"""An executor that trainings open by its name is closed by them, however they end; any other is its owner's."""

import pytest
from kit import AtOnce

from lts_nb.profiler.executor import get_executor
from lts_nb.profiler.store import Store
from lts_nb.training import training_runs
from lts_nb.training.jobs import TrainingJob
from lts_nb.training.recipe import Recipe


class Watched(AtOnce):
    "Notes how it is left."

    def __init__(self):
        self.left = []

    def __exit__(self, kind, *_):
        self.left.append(kind)


def trained(*_) -> tuple[dict, dict]:
    return dict(tokens=[1000], losses=[5.0], bits_per_byte=[1.0], seconds=1.0, curve=[]), {}


def interrupt(line: str):
    "Whoever hears that a training has ended stops."
    if line.startswith("1/"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("say, kind", [(None, None), (interrupt, KeyboardInterrupt)])
def test_who_opens_closes(tmp_path, tiny, monkeypatch, by_name, say, kind):
    for i in range(300):
        (tmp_path / f"{i}.txt").write_text(f"document {i}", encoding="utf-8")
    pool = Watched()
    monkeypatch.setattr(training_runs, "get_executor", lambda asked: pool if asked == "a name" else get_executor(asked))
    asked = [TrainingJob(tiny)], Recipe(), str(tmp_path)
    with Store() as store:
        try:
            executor = "a name" if by_name else pool
            training_runs.run_training_jobs(*asked, store, executor, say=say, run=trained)
            assert kind is None
        except KeyboardInterrupt:
            assert kind is KeyboardInterrupt
    assert pool.left == [kind] * by_name
