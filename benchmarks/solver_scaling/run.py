"""How time and memory of the exact frontier grow with depth, widths and choices of d_inner. Writes results.json beside itself.

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

from lts_nb.frontier.cost_table import AdditiveCost
from lts_nb.frontier.exact import exact_frontier
from lts_nb.profiler.machine import cpu_name
from lts_nb.space.space import SearchSpace

TWO, THREE = ("decoder_params", "latency_s"), ("decoder_params", "latency_s", "peak_bytes")
CASES = (
    [("depth", 2, dict(n_layer=[2, L + 1])) for L in (8, 16, 32, 64, 128)]
    + [("depth", 3, dict(n_layer=[2, L + 1])) for L in (8, 16, 32, 64)]
    + [("choices", 2, dict(d_inner=[256, 4097, u])) for u in (256, 128, 64, 32, 16)]
    + [("choices", 3, dict(d_inner=[256, 4097, u])) for u in (256, 128, 64, 32)]
    + [("widths", n, dict(d_model=[128, 1025, u])) for n in (2, 3) for u in (448, 224, 128, 64, 32)]
    + [
        ("depth, ε = 0.01", 3, dict(n_layer=[2, 65], epsilon=0.01)),
        ("depth, ε = 0.03", 3, dict(n_layer=[2, 129], epsilon=0.03)),
    ]
    + [("large", 2, dict(n_layer=[2, 129], d_model=[1024, 8193, 1024], d_inner=[2048, 32769, 512]))]
)


def cost(space, noise=0.001):
    rng = np.random.default_rng(0)
    layer = lambda f, d, h: (
        (4 * d * d * 192 * 2e-11 + 2 * d * f * 192 * 2e-11 + 1e-4) * (1 + noise * rng.normal(size=(len(f), h)))
    )
    return AdditiveCost(
        space,
        {(d, *e): 1e-3 + 2 * d * e[0] * 1e-11 for d in space.d_model for e in space.embeddings(d)},
        {d: layer(np.array(space.inners(d))[:, None], d, len(space.heads(d))) for d in space.d_model},
    )


def one(n, override):
    epsilon = override.pop("epsilon", 0.0)
    space = SearchSpace.preset("gpt2", **{k: range(*v) for k, v in override.items()})
    table, seconds = cost(space), []
    while len(seconds) < 3 and sum(seconds) < 20:
        start = time.perf_counter()
        front = exact_frontier(space, table, TWO if n == 2 else THREE, epsilon=epsilon)
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


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(one(*json.loads(sys.argv[1]))))
        sys.exit()
    path = Path(__file__).with_name("results.json")
    results = json.loads(path.read_text(encoding="utf-8"))["cases"] if path.exists() else []
    for varied, n, override in CASES:
        if any((r["varied"], r["objectives"], r["space"]) == (varied, n, override) for r in results):
            continue
        told = subprocess.run([sys.executable, __file__, json.dumps([n, override])], capture_output=True, text=True)
        results.append(
            dict(varied=varied, objectives=n, space=override)
            | (json.loads(told.stdout) if told.returncode == 0 else {"failed": told.stderr.strip().splitlines()[-1:]})
        )
        print(results[-1], flush=True)
        path.write_text(
            json.dumps(
                dict(
                    machine=f"{cpu_name()}, {os.cpu_count()} cores",
                    python=platform.python_version(),
                    numpy=np.__version__,
                    cases=results,
                ),
                indent=1,
            )
            + "\n",
            encoding="utf-8",
        )
