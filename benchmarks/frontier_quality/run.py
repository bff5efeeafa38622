"""Train what plan.json says, three seeds of each, by the study's recipe; call it again to continue.

python benchmarks/frontier_quality/run.py [workers]     # into trained.sqlite; hours on two cores
"""

import importlib.util
import json
import sys
from pathlib import Path

from lts_nb.profiler.store import Store
from lts_nb.space.architecture import Architecture
from lts_nb.training.executor import LocalExecutor
from lts_nb.training.jobs import TrainingJob
from lts_nb.training.training_runs import run_training_jobs

HERE = Path(__file__).parent
spec = importlib.util.spec_from_file_location("study_run", HERE.parent / "study" / "run.py")
study = importlib.util.module_from_spec(spec)
spec.loader.exec_module(study)


if __name__ == "__main__":
    plan = json.loads((HERE / "plan.json").read_text(encoding="utf-8"))
    jobs = [
        TrainingJob(Architecture.from_json(json.dumps(r["architecture"])), seed, "frontier")
        for seed in plan["seeds"]
        for r in plan["rows"]
    ]
    with Store(HERE / "trained.sqlite") as store, LocalExecutor(int(sys.argv[1]) if sys.argv[1:] else None) as pool:
        run_training_jobs(
            jobs,
            study.RECIPE,
            "stdlib",
            store,
            pool,
            HERE / "checkpoints",
            compiled=True,
            say=lambda text: print(text, flush=True),
        )
