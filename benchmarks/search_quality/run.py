"""How much of the exact frontier do searches find that only sample it?

    python benchmarks/search_quality/run.py PROFILE [PROFILE ...]      # device profiles of the paper's space, one a vocabulary

Every method sees the same device profile as its oracle and may ask it 2,420 times, LTS's own budget. Appends to results.json
after each method and seed; what is already in it is not run again. Needs the extra `benchmarks` (pymoo).
"""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize

from lts_nb.core.workload import Workload
from lts_nb.frontier.blocks import judged_blocks
from lts_nb.frontier.evolution import evolve, random_search
from lts_nb.frontier.exact import exact_frontier
from lts_nb.frontier.pareto import hypervolume, is_nondominated
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.space.counts import count
from lts_nb.space.memory import peak_bytes
from lts_nb.space.population import Population

BUDGET, SEEDS, HERE = 2420, 5, Path(__file__).parent
WORKLOADS = {"prefill": ("latency_s", Workload()), "decode": ("decode_s", Workload(prompt_len=184, new_tokens=8))}


class Genes(Problem):
    "pymoo's view: depth, width, then an index into the width's choices for each layer, scaled down where a width has fewer."

    def __init__(self, space, F):
        self.space, self.objectives, L = space, F, space.max_layer
        top = (
            [len(space.n_layer) - 1, len(space.d_model) - 1]
            + [len(space.d_inner) - 1] * L
            + [len(space.n_head) - 1] * L
        )
        super().__init__(n_var=len(top), n_obj=F(space.sample(1)).shape[1], xl=0, xu=np.array(top), vtype=int)

    def decode(self, X) -> Population:
        s, M = self.space, self.space.max_layer
        rows = []
        for x in X.astype(int):
            L, d = s.n_layer[x[0]], s.d_model[x[1]]
            pick = lambda choices, i, top: (
                [choices[j * (len(choices) - 1) // max(top, 1)] for j in i[:L]] + [0] * (M - L)
            )
            heads = pick(s.heads(d), x[2 + M :], len(s.n_head) - 1)
            rows.append(
                [
                    L,
                    d,
                    s.vocab_size[0],
                    d,
                    1,
                    *pick(s.inners(d), x[2 : 2 + M], len(s.d_inner) - 1),
                    *heads,
                    *heads,
                    *range(1, L + 1),
                    *[0] * (M - L),
                ]
            )
        return Population(np.array(rows, np.int32), s.fixed)

    def _evaluate(self, X, out, *_, **__):
        out["F"] = self.objectives(self.decode(X))


def nsga2(space, F, seed):
    asked = []
    problem = Genes(space, lambda P: asked.append(F(P)) or asked[-1])
    asked.clear()
    minimize(
        problem,
        NSGA2(
            pop_size=100,
            sampling=IntegerRandomSampling(),
            crossover=UX(prob=0.9, repair=RoundingRepair()),
            mutation=PM(eta=3, vtype=float, repair=RoundingRepair()),
            eliminate_duplicates=True,
        ),
        ("n_eval", BUDGET),
        seed=seed,
        verbose=False,
    )
    return np.concatenate(asked)[:BUDGET]


def grid(space, F, seed):
    P = space.enumerate(homogeneous=True)
    return F(P[np.unique(np.linspace(0, len(P) - 1, BUDGET).astype(int))])


METHODS = {
    "LTS evolution": lambda s, F, seed: evolve(s, F, seed, max_evaluations=BUDGET, progress=False).F,
    "NSGA-II": nsga2,
    "random": lambda s, F, seed: random_search(s, F, BUDGET, seed, progress=False).F,
    "homogeneous grid": grid,
    "every homogeneous": lambda s, F, seed: F(s.enumerate(homogeneous=True)),
    "scaled baseline": lambda s, F, seed: F(s.baseline()),
}


def regret(exact, F) -> list:
    "Quartiles, over points of the exact frontier of parameters and latency, of how much slower the fastest found with at least as many parameters is; None where there is none."
    fastest = np.array([F[F[:, 0] <= n, 1].min(initial=np.inf) / t - 1 for n, t in exact])
    return [float(q) if np.isfinite(q) else None for q in np.quantile(fastest, (0.25, 0.5, 0.75), method="nearest")]


def main(paths):
    path = HERE / "results.json"
    done = json.loads(path.read_text()) if path.exists() else []
    for source in paths:
        profile = DeviceProfile.load(source)
        space, V = profile.space, profile.space.vocab_size[0]
        for workload, (name, w) in WORKLOADS.items():
            cost = profile.cost(name, space, w)
            values = lambda P: np.c_[-count(P).decoder, cost.predict(P), peak_bytes(P, **asdict(w))].astype(float)
            for n in (2, 3):
                case = dict(vocab_size=V, workload=workload, objectives=n)
                known = {(r["method"], r["seed"]) for r in done if {k: r[k] for k in case} == case}
                start = time.process_time()
                exact = exact_frontier(space, profile, ("decoder_params", name, "peak_bytes")[:n], workload=w)
                seconds = time.process_time() - start
                every = np.concatenate([X for _, X, _ in judged_blocks(exact.problem)])
                low, high = every.min(0), every.max(0)
                volume = lambda F: hypervolume((F[is_nondominated(F)] - low) / (high - low), np.full(n, 1.01))
                best, sample = volume(exact.F), exact_frontier(space, profile, ("decoder_params", name), workload=w).F
                record = lambda **r: (
                    done.append(case | r),
                    path.write_text(json.dumps(done, indent=0)),
                    print(case | r, flush=True),
                )
                if ("exact", 0) not in known:
                    record(
                        method="exact",
                        seed=0,
                        hypervolume=1.0,
                        regret=[0.0, 0.0, 0.0],
                        seconds=seconds,
                        evaluations=exact.certificate["states"],
                        members=len(exact.F),
                    )
                for method, run in METHODS.items():
                    for seed in range(SEEDS if method in ("LTS evolution", "NSGA-II", "random") else 1):
                        if (method, seed) in known:
                            continue
                        start = time.process_time()
                        F = run(space, lambda P: values(P)[:, :n], seed)
                        record(
                            method=method,
                            seed=seed,
                            hypervolume=volume(F) / best,
                            regret=regret(sample, F),
                            seconds=time.process_time() - start,
                            evaluations=len(F),
                            members=int(is_nondominated(F).sum()),
                        )


if __name__ == "__main__":
    main(sys.argv[1:])
