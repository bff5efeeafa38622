"""How much of the exact frontier do searches find that only sample it?

    python benchmarks/search_quality/run.py PROFILE [PROFILE ...]      # of the paper's space, one a vocabulary

Every method sees the same device profile as its oracle and may ask it 2,420 times, LTS's own budget. Appends to
results.json after each method and seed; what is already in it is not run again. Needs the extra `benchmarks` (pymoo).
"""

import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize

from lts_nb.core.files import replace_text
from lts_nb.core.workload import Workload
from lts_nb.frontier.blocks import judged_blocks
from lts_nb.frontier.evolution import evolve, random_search
from lts_nb.frontier.exact import exact_frontier
from lts_nb.frontier.pareto import hypervolume, is_nondominated
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.space.counts import count
from lts_nb.space.memory import peak_bytes
from lts_nb.space.population import Population
from lts_nb.space.space import SearchSpace

RESULTS = Path(__file__).with_name("results.json")
BUDGET, SEEDS = 2420, 5
WORKLOADS = {"prefill": ("latency_s", Workload()), "decode": ("decode_s", Workload(prompt_len=184, new_tokens=8))}


def scaled_choices(choices: list, indices: np.ndarray, highest: int) -> list:
    "A choice for each index from 0 to `highest`, which are scaled down where there are fewer choices."
    return [choices[i * (len(choices) - 1) // max(highest, 1)] for i in indices]


class Genes(Problem):
    "pymoo's view of a space: depth, width, then of each layer an index into the choices of d_inner and of n_head."

    def __init__(self, space: SearchSpace, evaluate: Callable):
        self.space, self.evaluate_members = space, evaluate
        choices = [space.n_layer, space.d_model]
        choices += [space.d_inner] * space.max_layer + [space.n_head] * space.max_layer
        highest = np.array([len(some) - 1 for some in choices])
        n_objectives = evaluate(space.sample(1)).shape[1]
        super().__init__(n_var=len(choices), n_obj=n_objectives, xl=0, xu=highest, vtype=int)

    def row(self, genes: np.ndarray) -> list[int]:
        "One row of a population's matrix."
        space, most = self.space, self.space.max_layer
        n_layer, d_model = space.n_layer[genes[0]], space.d_model[genes[1]]
        of_inner, of_heads = genes[2 : 2 + n_layer], genes[2 + most : 2 + most + n_layer]
        inner = scaled_choices(space.inners(d_model), of_inner, len(space.d_inner) - 1)
        heads = scaled_choices(space.heads(d_model), of_heads, len(space.n_head) - 1)
        scalars = [n_layer, d_model, space.vocab_size[0], d_model, 1]
        padding = [0] * (most - n_layer)
        return scalars + inner + padding + (heads + padding) * 2 + [*range(1, n_layer + 1)] + padding

    def decode(self, genes: np.ndarray) -> Population:
        "Members of the space, one a row of genes."
        return Population(np.array([self.row(row) for row in genes.astype(int)], np.int32), self.space.fixed)

    def _evaluate(self, genes, out, *_, **__):
        out["F"] = self.evaluate_members(self.decode(genes))


def nsga2(space: SearchSpace, evaluate: Callable, seed: int) -> np.ndarray:
    "pymoo's NSGA-II."
    asked = []

    def note(members):
        asked.append(evaluate(members))
        return asked[-1]

    problem = Genes(space, note)
    asked.clear()
    algorithm = NSGA2(
        pop_size=100,
        sampling=IntegerRandomSampling(),
        crossover=UX(prob=0.9, repair=RoundingRepair()),
        mutation=PM(eta=3, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    minimize(problem, algorithm, ("n_eval", BUDGET), seed=seed, verbose=False)
    return np.concatenate(asked)[:BUDGET]


def lts_evolution(space: SearchSpace, evaluate: Callable, seed: int) -> np.ndarray:
    "The paper's search."
    return evolve(space, evaluate, seed, max_evaluations=BUDGET, progress=False).F


def random_draws(space: SearchSpace, evaluate: Callable, seed: int) -> np.ndarray:
    "Random members, none twice."
    return random_search(space, evaluate, BUDGET, seed, progress=False).F


def homogeneous_grid(space: SearchSpace, evaluate: Callable, seed: int) -> np.ndarray:
    "Members whose layers are alike, as many as may be asked, evenly through their list."
    members = space.enumerate(homogeneous=True)
    return evaluate(members[np.unique(np.linspace(0, len(members) - 1, BUDGET).astype(int))])


def every_homogeneous(space: SearchSpace, evaluate: Callable, seed: int) -> np.ndarray:
    "All members whose layers are alike."
    return evaluate(space.enumerate(homogeneous=True))


def scaled_baseline(space: SearchSpace, evaluate: Callable, seed: int) -> np.ndarray:
    "LTS's scaled baseline."
    return evaluate(space.baseline())


RANDOM = {"LTS evolution": lts_evolution, "NSGA-II": nsga2, "random": random_draws}
FIXED = {
    "homogeneous grid": homogeneous_grid,
    "every homogeneous": every_homogeneous,
    "scaled baseline": scaled_baseline,
}


class Case:
    "A profile, a workload and two or three objectives, and what the exact frontier of them is."

    def __init__(self, profile: DeviceProfile, workload: str, n_objectives: int):
        metric, request = WORKLOADS[workload]
        self.space, self.request, self.n = profile.space, request, n_objectives
        self.key = dict(vocab_size=self.space.vocab_size[0], workload=workload, objectives=n_objectives)
        self.cost = profile.cost(metric, self.space, request)
        start, objectives = time.process_time(), ("decoder_params", metric, "peak_bytes")
        self.exact = exact_frontier(self.space, profile, objectives[: self.n], workload=request)
        self.seconds = time.process_time() - start
        self.by_latency = exact_frontier(self.space, profile, objectives[:2], workload=request).F
        states = np.concatenate([F for _, F, _ in judged_blocks(self.exact.problem)])
        self.low, self.high = states.min(0), states.max(0)

    def evaluate(self, members: Population) -> np.ndarray:  # `(n, n_objectives)`
        "The oracle."
        columns = -count(members).decoder, self.cost.predict(members), peak_bytes(members, self.request)
        return np.stack(columns[: self.n], 1).astype(float)

    def volume(self, F: np.ndarray) -> float:
        "Hypervolume, objectives scaled to [0, 1] over all states."
        scaled = (F[is_nondominated(F)] - self.low) / (self.high - self.low)
        return hypervolume(scaled, np.full(self.n, 1.01))

    def regret(self, F: np.ndarray) -> list:
        """How much slower the fastest found with at least as many parameters is than an exact member.

        Quartiles over the exact frontier of parameters and latency; None where nothing was found.
        """
        ratios = [F[F[:, 0] <= size, 1].min(initial=np.inf) / seconds for size, seconds in self.by_latency]
        quartiles = np.quantile(np.array(ratios) - 1, (0.25, 0.5, 0.75), method="nearest")
        return [float(q) if np.isfinite(q) else None for q in quartiles]

    def judge(self, method: str, seed: int, F: np.ndarray, seconds: float) -> dict:
        "A row of results.json."
        return self.key | dict(
            method=method,
            seed=seed,
            hypervolume=self.volume(F) / self.volume(self.exact.F),
            regret=self.regret(F),
            seconds=seconds,
            evaluations=len(F),
            members=int(is_nondominated(F).sum()),
        )

    def judge_exact(self) -> dict:
        "The exact frontier's own row."
        found = dict(hypervolume=1.0, regret=[0.0] * 3, seconds=self.seconds)
        found |= dict(evaluations=self.exact.certificate["states"], members=len(self.exact.F))
        return self.key | dict(method="exact", seed=0) | found


def record(row: dict, done: list[dict]):
    "Add a row to results.json."
    done.append(row)
    replace_text(RESULTS, json.dumps(done, indent=0))
    print(row, flush=True)


def run_case(case: Case, done: list[dict]):
    "Run every method and seed that results.json does not have yet."
    known = {(row["method"], row["seed"]) for row in done if case.key.items() <= row.items()}
    if ("exact", 0) not in known:
        record(case.judge_exact(), done)
    for method, search in (RANDOM | FIXED).items():
        for seed in range(SEEDS if method in RANDOM else 1):
            if (method, seed) not in known:
                start = time.process_time()
                F = search(case.space, case.evaluate, seed)
                record(case.judge(method, seed, F, time.process_time() - start), done)


def main(paths: list[str]):
    done = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    for path, workload, n_objectives in itertools.product(paths, WORKLOADS, (2, 3)):
        run_case(Case(DeviceProfile.load(path), workload, n_objectives), done)


if __name__ == "__main__":
    main(sys.argv[1:])
