"""Train what plan.json says, three seeds of each, by the study's recipe; call it again to continue.

python benchmarks/frontier_quality/run.py [workers]     # into trained.sqlite; hours on two cores
"""

import json
import runpy
import sys
from pathlib import Path

from lts_nb.profiler.executor import LocalExecutor
from lts_nb.profiler.store import Store
from lts_nb.space.architecture import Architecture
from lts_nb.training.jobs import TrainingJob
from lts_nb.training.training_runs import run_training_jobs

HERE = Path(__file__).parent


def plan_jobs() -> list[TrainingJob]:
    "The trainings of plan.json, seed by seed."
    plan = json.loads((HERE / "plan.json").read_text(encoding="utf-8"))
    models = [Architecture.from_json(json.dumps(row["architecture"])) for row in plan["rows"]]
    return [TrainingJob(architecture, seed, "frontier") for seed in plan["seeds"] for architecture in models]


def main(workers: int | None = None):
    recipe = runpy.run_path(str(HERE.parent / "study" / "run.py"))["RECIPE"]
    with Store(HERE / "trained.sqlite") as store, LocalExecutor(workers) as pool:
        run_training_jobs(
            plan_jobs(),
            recipe,
            "stdlib",
            store,
            pool,
            HERE / "checkpoints",
            compiled=True,
            say=lambda text: print(text, flush=True),
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
