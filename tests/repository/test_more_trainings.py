"""What is trained beside the study: which architectures, at which seeds and rates."""

import importlib
import sys
from pathlib import Path

import pytest

from lts_nb.profiler.store import Store
from lts_nb.space.counts import count
from lts_nb.training.training_runs import read_training_runs

FOLDER = Path(__file__).parents[2] / "benchmarks" / "study"


@pytest.fixture(scope="module")
def more():
    "The script as a module."
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("more")
    finally:
        sys.path.remove(str(FOLDER))
        for path in FOLDER.glob("*.py"):
            sys.modules.pop(path.stem, None)


@pytest.fixture(scope="module")
def studied():
    "Trainings of the study at the end."
    with Store(FOLDER / "study.sqlite") as store:
        runs = read_training_runs(store)
    return runs[runs.tokens == runs.tokens.max()]


def test_extremes_are_the_best_and_the_worst_at_a_seed_that_did_not_choose_them(more, studied):
    ((jobs, recipe),) = more.plan("extremes")
    assert {job.seed for job in jobs} == {1} and recipe.tokens == (8_000_000,) and recipe.dtype == "float32"
    first = studied[studied.seed == 0].set_index("architecture")
    chosen = first.loc[[job.architecture for job in jobs]]
    groups = studied[~studied.group.isin(["spread", "seeds"])].groupby(["backbone", "group"]).loss
    losses = chosen.groupby(["backbone", "group"]).loss.agg(["min", "max"])
    assert len(jobs) == 2 * len(groups) == 8
    assert losses["min"].tolist() == groups.min().tolist() and losses["max"].tolist() == groups.max().tolist()
    sizes = [count(job.architecture).decoder for job in jobs]
    assert all(max(pair) < 1.02 * min(pair) for pair in zip(sizes[::2], sizes[1::2]))


def test_what_other_steps_train(more, studied):
    ((seeds, _),) = more.plan("seeds")
    assert len({(job.architecture, job.seed) for job in seeds}) == len(seeds) == 20
    assert {job.seed for job in seeds} == set(range(5))
    ((english, _),) = more.plan("english")
    assert len({job.architecture for job in english} & set(studied.architecture)) == 24
    for step in ("rates", "inner"):
        planned = more.plan(step)
        assert [recipe.lr for _, recipe in planned] == list(more.RATES)
        assert all(jobs == planned[0][0] and len(jobs) == 4 for jobs, _ in planned)


def test_equal_counts_and_larger_models(more, studied):
    "What the extremes were is trained once; no larger model is of the study's range."
    ((equal, recipe),), ((extremes, same),) = more.plan("equal"), more.plan("extremes")
    found = {(job.architecture.id, job.seed) for job in equal}
    assert {(job.architecture.id, job.seed) for job in extremes} < found and recipe == same
    groups = studied[~studied.group.isin(["spread", "seeds"])]
    assert found == {(id, 1) for id in groups.id} and len(equal) == len(found) == 26
    ((larger, _),) = more.plan("larger")
    sizes = [count(job.architecture).decoder for job in larger]
    assert len({job.architecture for job in larger}) == 12 and 1e6 <= min(sizes) and 3e6 < max(sizes) <= 4e6
    assert max(count(architecture).decoder for architecture in studied.architecture) < 1e6
