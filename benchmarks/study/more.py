"""Beside the 84: more seeds, rates of Llama and of thin and thick feed-forwards, English, equal counts, larger models.

    python benchmarks/study/more.py seeds               # four Llama at five seeds, 8 M tokens
    python benchmarks/study/more.py rates               # the same four at four learning rates, 1 M tokens
    python benchmarks/study/more.py inner               # feed-forwards of 2 and 8 times the width, 8 M tokens
    python benchmarks/study/more.py english FOLDER      # 24 of the GPT-2 on a folder of English text, 4 M tokens
    python benchmarks/study/more.py extremes            # best and worst of each equal count at another seed, 8 M tokens
    python benchmarks/study/more.py equal               # all of each equal count at that seed, 8 M tokens
    python benchmarks/study/more.py larger              # twelve GPT-2 of 1 to 4 M decoder parameters, 8 M tokens

Into benchmarks/study/more.sqlite; called again, each continues where it stopped. Products are in float32, so that they
are the same on a machine without bfloat16.
"""

import argparse
import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import run

from lts_nb.profiler.executor import LocalExecutor
from lts_nb.profiler.store import Store
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace
from lts_nb.training.jobs import TrainingJob, plan_training_jobs
from lts_nb.training.training_runs import read_training_runs, run_training_jobs

HERE = Path(__file__).parent
RECIPE = replace(run.RECIPE, dtype="float32")
RATES = (4e-3, 2e-3, 8e-3, 1.6e-2)
LARGER = dict(n_layer=[*range(2, 13)], d_model=[*range(128, 385, 32)], d_inner=[*range(256, 1537, 64)], n_head=[4, 8])
THICKNESSES = ((64, 6, 2), (64, 6, 8), (128, 2, 2), (128, 2, 8))  # d_model, n_layer, d_inner / d_model


def llama_jobs() -> list[TrainingJob]:
    "Four of the study's Llama, evenly over its range, at seeds 0 to 4; all at a seed before any at the next."
    planned = plan_training_jobs(SearchSpace.preset("llama-study"), **run.LLAMA, repeated=4, seeds=4)
    again = [job for job in planned if job.group == "seeds"]
    again += [replace(job, seed=0) for job in again if job.seed == 1]
    return sorted(again, key=lambda job: (job.seed, count(job.architecture).decoder))


def english_jobs() -> list[TrainingJob]:
    "24 of the study's 42 GPT-2 of all sizes, evenly over them, in an order in which what is there is a fair part."
    spread = [job for job in run.JOBS if job.group == "spread" and job.architecture.backbone == "gpt2"]
    spread.sort(key=lambda job: count(job.architecture).decoder)
    evenly = np.linspace(0, len(spread) - 1, 24).round().astype(int)
    return [spread[i] for i in np.random.default_rng(0).permutation(evenly)]


def thick_jobs() -> list[TrainingJob]:
    "GPT-2 of two widths, each with a thin and a thick feed-forward."
    shapes = [(width, (4,) * depth, (width * times,) * depth) for width, depth, times in THICKNESSES]
    return [TrainingJob(Architecture("gpt2", *shape, vocab_size=512, max_len=128), group="inner") for shape in shapes]


def extreme_jobs(seed: int = 1) -> list[TrainingJob]:
    "The best and the worst of the study's architectures of each equal count, at a seed by which they were not chosen."
    with Store(HERE / "study.sqlite") as store:
        runs = read_training_runs(store)
    alike = runs[(runs.tokens == run.RECIPE.tokens[-1]) & ~runs.group.isin(("spread", "seeds"))]
    found = alike.groupby(["backbone", "group"]).loss.agg(["idxmin", "idxmax"]).stack()
    return [TrainingJob(architecture, group="extremes", seed=seed) for architecture in alike.architecture[found]]


def equal_jobs(seed: int = 1) -> list[TrainingJob]:
    "All of the study's architectures of equal counts at another seed; those that are extremes were trained before."
    return [replace(job, seed=seed) for job in run.JOBS if job.group not in ("spread", "seeds")]


def larger_jobs() -> list[TrainingJob]:
    "GPT-2 beyond the study's range, evenly over it, in an order in which what is there is a fair part."
    return plan_training_jobs(SearchSpace.preset("gpt2-study", **LARGER), 12, 1e6, 4e6, sizes=(), repeated=0)


def plan(step: str) -> list[tuple]:  # of jobs, and the recipe that they share
    "What a step trains."
    if step == "seeds":
        return [(llama_jobs(), RECIPE)]
    if step == "english":
        return [(english_jobs(), replace(RECIPE, tokens=(4_000_000,)))]
    if step == "inner":
        return [(thick_jobs(), replace(RECIPE, tokens=(8_000_000,), lr=rate)) for rate in RATES]
    once = dict(extremes=extreme_jobs, equal=equal_jobs, larger=larger_jobs)
    if step in once:
        return [(once[step](), replace(RECIPE, tokens=(8_000_000,)))]
    first = [job for job in llama_jobs() if job.seed == 0]
    return [(first, replace(RECIPE, tokens=(1_000_000,), lr=rate)) for rate in RATES]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("seeds", "rates", "inner", "english", "extremes", "equal", "larger"))
    parser.add_argument("corpus", nargs="?", default="stdlib")
    parser.add_argument("--workers", type=int, default=1, help="trainings at once")
    options = parser.parse_args()
    say = functools.partial(print, flush=True)
    with Store(HERE / "more.sqlite") as store, LocalExecutor(options.workers) as pool:
        for jobs, recipe in plan(options.step):
            run_training_jobs(jobs, recipe, options.corpus, store, pool, HERE / "checkpoints", compiled=True, say=say)


if __name__ == "__main__":
    main()
