"""Train the architectures of the proxy study; call it again to continue where it stopped.

    python benchmarks/study/run.py [workers]        # into benchmarks/study/study.sqlite; many hours on two cores

84 architectures over a factor of 20 in decoder parameters, 10 tokens for each parameter of the largest: 60 GPT-2 (18 of
them in three sizes of equal ones) and 24 Llama (8 equal ones); five of the GPT-2 at four seeds more.
"""

import sys
from pathlib import Path

import numpy as np

from lts_nb.profiler.executor import LocalExecutor
from lts_nb.profiler.store import Store
from lts_nb.space.space import SearchSpace
from lts_nb.training.jobs import TrainingJob, plan_training_jobs
from lts_nb.training.recipe import Recipe
from lts_nb.training.training_runs import run_training_jobs

HERE = Path(__file__).parent
LLAMA = dict(n=16, low=60e3, high=800e3, sizes=(400e3,), alike=8)  # what is drawn of it
RECIPE = Recipe(tokens=(4_000_000, 8_000_000), dtype="bfloat16")


def plan_jobs() -> list[TrainingJob]:
    "The trainings in an order in which what is there at any time is a fair part of all."
    jobs = plan_training_jobs(SearchSpace.preset("gpt2-study"))
    jobs += plan_training_jobs(SearchSpace.preset("llama-study"), **LLAMA, repeated=0)
    return [jobs[i] for i in np.random.default_rng(0).permutation(len(jobs))]


JOBS = plan_jobs()


def main(workers: int | None = None):
    with Store(HERE / "study.sqlite") as store, LocalExecutor(workers) as pool:
        run_training_jobs(
            JOBS,
            RECIPE,
            "stdlib",
            store,
            pool,
            HERE / "checkpoints",
            compiled=True,
            say=lambda text: print(text, flush=True),
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
