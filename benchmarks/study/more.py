"""Beside the 84: seeds and learning rates of Llama, learning rates of thin and thick feed-forwards, and English.

    python benchmarks/study/more.py seeds               # four Llama at five seeds, 8 M tokens
    python benchmarks/study/more.py rates               # the same four at four learning rates, 1 M tokens
    python benchmarks/study/more.py inner               # feed-forwards of 2 and 8 times the width, 8 M tokens
    python benchmarks/study/more.py english FOLDER      # 24 of the GPT-2 on a folder of English text, 4 M tokens

Into benchmarks/study/more.sqlite; called again, each continues where it stopped. Products in float32, so
that a machine without bfloat16 trains the same.
"""

import argparse
import functools
from dataclasses import replace
from pathlib import Path

from lts_nb.profiler.executor import LocalExecutor
from lts_nb.profiler.store import Store
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace
from lts_nb.training.jobs import TrainingJob, plan_training_jobs
from lts_nb.training.recipe import Recipe
from lts_nb.training.training_runs import run_training_jobs

HERE = Path(__file__).parent
RECIPE = Recipe(tokens=(4_000_000, 8_000_000), dtype="float32")
RATES = (4e-3, 2e-3, 8e-3, 1.6e-2)
THICKNESSES = ((64, 6, 2), (64, 6, 8), (128, 2, 2), (128, 2, 8))  # d_model, n_layer, d_inner / d_model


def llama_jobs() -> list[TrainingJob]:
    "Four of the study's Llama, evenly over its range, at seeds 0 to 4; all at a seed before any at the next."
    space = SearchSpace.preset("llama-study")
    planned = plan_training_jobs(space, n=16, low=60e3, high=800e3, sizes=(400e3,), alike=8, repeated=4, seeds=4)
    again = [job for job in planned if job.group == "seeds"]
    again += [replace(job, seed=0) for job in again if job.seed == 1]
    return sorted(again, key=lambda job: (job.seed, count(job.architecture).decoder))


def english_jobs() -> list[TrainingJob]:
    "24 of the study's 42 GPT-2 of all sizes, evenly over them, from the middle to both ends."
    spread = [job for job in plan_training_jobs(SearchSpace.preset("gpt2-study")) if job.group == "spread"]
    spread.sort(key=lambda job: count(job.architecture).decoder)
    chosen = [spread[round(i * (len(spread) - 1) / 23)] for i in range(24)]
    return sorted(chosen, key=lambda job: abs(chosen.index(job) - 11.5))


def thick_jobs() -> list[TrainingJob]:
    shapes = [(width, (4,) * depth, (width * times,) * depth) for width, depth, times in THICKNESSES]
    return [TrainingJob(Architecture("gpt2", *shape, vocab_size=512, max_len=128), group="inner") for shape in shapes]


def plan(step: str) -> list[tuple]:  # of jobs, and the recipe that they share
    "What a step trains."
    if step == "seeds":
        return [(llama_jobs(), RECIPE)]
    if step == "english":
        return [(english_jobs(), replace(RECIPE, tokens=(4_000_000,)))]
    if step == "inner":
        return [(thick_jobs(), replace(RECIPE, tokens=(8_000_000,), lr=rate)) for rate in RATES[:3]]
    first = [job for job in llama_jobs() if job.seed == 0]
    return [(first, replace(RECIPE, tokens=(1_000_000,), lr=rate)) for rate in RATES]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("seeds", "rates", "inner", "english"))
    parser.add_argument("corpus", nargs="?", default="stdlib")
    parser.add_argument("--workers", type=int, default=1, help="trainings at once")
    options = parser.parse_args()
    say = functools.partial(print, flush=True)
    with Store(HERE / "more.sqlite") as store, LocalExecutor(options.workers) as pool:
        for jobs, recipe in plan(options.step):
            run_training_jobs(jobs, recipe, options.corpus, store, pool, HERE / "checkpoints", compiled=True, say=say)


if __name__ == "__main__":
    main()
