"""How time and memory of the exact frontier grow with depth, widths and choices of d_inner. Writes results.json.

Each case runs in a fresh process, one after another, on one core; tables are nearly affine, as a device's are: the
hardest kind, since almost every state is on the frontier. A case is the fastest of three runs (one beyond 20 s).
"""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np

from lts_nb.core.files import replace_text
from lts_nb.frontier.cost_table import AdditiveCost
from lts_nb.frontier.exact import exact_frontier
from lts_nb.profiler.machine import cpu_name, usable_cores
from lts_nb.space.space import SearchSpace

RESULTS = Path(__file__).with_name("results.json")
TWO, THREE = ("decoder_params", "latency_s"), ("decoder_params", "latency_s", "peak_bytes")
LARGE = dict(n_layer=[2, 129], d_model=[1024, 8193, 1024], d_inner=[2048, 32769, 512])
CASES = (  # what varies, number of objectives, and a range for each choice of the space that is not the preset's
    [("depth", 2, dict(n_layer=[2, depth + 1])) for depth in (8, 16, 32, 64, 128)]
    + [("depth", 3, dict(n_layer=[2, depth + 1])) for depth in (8, 16, 32, 64)]
    + [("choices", 2, dict(d_inner=[256, 4097, step])) for step in (256, 128, 64, 32, 16)]
    + [("choices", 3, dict(d_inner=[256, 4097, step])) for step in (256, 128, 64, 32)]
    + [("widths", n, dict(d_model=[128, 1025, step])) for n in (2, 3) for step in (448, 224, 128, 64, 32)]
    + [("depth, ε = 0.01", 3, dict(n_layer=[2, 65], epsilon=0.01))]
    + [("depth, ε = 0.03", 3, dict(n_layer=[2, 129], epsilon=0.03))]
    + [("large", 2, LARGE)]
)


def layer_table(space: SearchSpace, d_model: int, noise: float, rng: np.random.Generator) -> np.ndarray:
    "Seconds of a layer `(n_d_inner, n_head)`: affine in d_inner, and a little noise."
    widths = np.array(space.inners(d_model))[:, None]
    seconds = 4 * d_model * d_model * 192 * 2e-11 + 2 * d_model * widths * 192 * 2e-11 + 1e-4
    return seconds * (1 + noise * rng.normal(size=(len(widths), len(space.heads(d_model)))))


def nearly_affine_cost(space: SearchSpace, noise: float = 0.001) -> AdditiveCost:
    "A made-up device."
    rng = np.random.default_rng(0)
    once = {(d, *e): 1e-3 + 2 * d * e[0] * 1e-11 for d in space.d_model for e in space.embeddings(d)}
    return AdditiveCost(space, once, {d: layer_table(space, d, noise, rng) for d in space.d_model})


def run_case(n_objectives: int, ranges: dict) -> dict:
    "Time one case in this process."
    epsilon = ranges.pop("epsilon", 0.0)
    space = SearchSpace.preset("gpt2", **{name: range(*limits) for name, limits in ranges.items()})
    cost, objectives, seconds = nearly_affine_cost(space), TWO if n_objectives == 2 else THREE, []
    while len(seconds) < 3 and sum(seconds) < 20:
        start = time.perf_counter()
        front = exact_frontier(space, cost, objectives, epsilon=epsilon)
        seconds.append(time.perf_counter() - start)
    return dict(
        seconds=round(min(seconds), 4),
        peak_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
        members=len(front.F),
        states=front.certificate["states"],
        n_layer=space.max_layer,
        n_d_model=len(space.d_model),
        n_d_inner=len(space.d_inner),
    )


def run_in_process(n_objectives: int, ranges: dict) -> dict:
    "Time one case in a process of its own; the last line of its error if it fails."
    command = [sys.executable, __file__, json.dumps([n_objectives, ranges])]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    return json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr.strip().splitlines()[-1:]}


def main():
    machine = f"{cpu_name()}, {usable_cores()} cores"
    results = dict(machine=machine, python=platform.python_version(), numpy=np.__version__, cases=[])
    if RESULTS.exists():
        results["cases"] = json.loads(RESULTS.read_text(encoding="utf-8"))["cases"]
    for varied, n_objectives, ranges in CASES:
        case = dict(varied=varied, objectives=n_objectives, space=ranges)
        if not any(case.items() <= row.items() for row in results["cases"]):
            results["cases"].append(case | run_in_process(n_objectives, ranges))
            print(results["cases"][-1], flush=True)
            replace_text(RESULTS, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(run_case(*json.loads(sys.argv[1]))))
    else:
        main()
