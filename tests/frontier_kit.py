"""Random problems small enough to list, and their frontiers by brute force with the ordinary functions."""

import itertools

import numpy as np

from lts_nb.core.errors import InputError
from lts_nb.core.metrics import latencies
from lts_nb.core.workload import Workload
from lts_nb.frontier.cost_table import random_cost
from lts_nb.frontier.exact import exact_frontier
from lts_nb.frontier.pareto import is_nondominated
from lts_nb.frontier.problem import GENES, solvable_metrics
from lts_nb.space.counts import count
from lts_nb.space.flops import flops
from lts_nb.space.memory import MemoryForm, kv_cache_bytes, peak_bytes
from lts_nb.space.space import SearchSpace

REQUESTS = (
    Workload(prompt_len=9),
    Workload(prompt_len=9, logits="all"),
    Workload(batch_size=2, prompt_len=3),
    Workload(prompt_len=4, new_tokens=5),
)
METRICS = (*solvable_metrics(), "quality")
PAIRS_AND_TRIPLES = [c for n in (2, 3) for c in itertools.combinations(METRICS, n)]
BACKBONES = ("gpt2", "gpt2", "transformer-xl", "opt", "llama", "llama", "lfm2", "lfm2")
PRESET_NAMES = (
    ("gpt2", "transformer-xl", "opt", "llama", "lfm2") + ("gpt2-edges", "llama-edges") + ("gpt2-study", "llama-study")
)
MOST = 10_000  # architectures of a space that is listed
ENGINE = MemoryForm(weight=9 / 16, value=2, scale=1.5, constant=3000)  # four and a half bits a weight


def law(n_layer, d_model, decoder_params, total_params):
    "A made-up loss law."
    shape = decoder_params / d_model + 50
    return 100 / np.sqrt(n_layer) + 300 / d_model + 1e4 / shape + 10 / total_params


def some_of(rng, values, low: int, high: int) -> list:
    "From `low` to below `high` different values, ascending."
    return sorted(rng.choice(values, rng.integers(low, high), replace=False).tolist())


def random_fields(rng, backbone: str, deepest: int) -> dict:
    "Lists of choices for a space."
    fields = {
        "n_layer": some_of(rng, range(1, deepest + 1), 1, 4),
        "d_model": some_of(rng, [4, 8, 12], 1, 3),
        "d_inner": some_of(rng, [8, 11, 16, 24, 40, 56], 2, 4),
        "n_head": some_of(rng, [1, 2], 1, 3),
        "vocab_size": some_of(rng, [7, 150], 1, 3),
        "max_len": 64,
        "min_ratio": 0,
    }
    if rng.random() < 0.4:
        fields["d_embed"] = [0, 4]
    if rng.random() < 0.4:
        fields |= {"cutoffs": [5, 100], "div_val": [1, 2]}
    if backbone in ("gpt2", "llama") and 1 not in fields["n_layer"] and rng.random() < 0.4:
        fields |= {"share": [1, 2], "n_layer": some_of(rng, [1, 2, 4], 1, 3)}
    if backbone in ("llama", "lfm2"):
        heads = {"d_head": 4, "n_head": some_of(rng, [2, 4], 1, 3), "n_kv_head": some_of(rng, [1, 2], 1, 3)}
        fields |= heads | {"d_inner": fields["d_inner"][:2], "tie_embeddings": bool(rng.random() < 0.7)}
    if backbone in ("gpt2", "opt") and rng.random() < 0.3:
        fields |= {"d_head": int(rng.choice([2, 4])), "n_head": some_of(rng, [1, 2, 3], 1, 3)}
    if backbone == "lfm2":
        shallow = [n for n in fields["n_layer"] if n < 4] or [2]
        fields |= {"layer_kind": ["attention", "conv"], "n_layer": shallow}
    return fields


def random_space(rng, deepest: int = 4, most: int = MOST) -> SearchSpace:
    "A space of some backbone, small enough to list."
    backbone = str(rng.choice(BACKBONES))
    fields = random_fields(rng, backbone, deepest)
    if "share" in fields and 1 in fields["n_layer"] and len(fields["n_layer"]) == 1:
        return random_space(rng, deepest, most)
    space = SearchSpace(backbone, **fields)
    return space if space.size() < most else random_space(rng, deepest, most)


def random_costs(space: SearchSpace, seed: int, high: int = 100, multiplies: bool = False, ends: bool = False) -> dict:
    "A table without structure for each latency, with a factor of the state and last layers of all but one if asked."
    return {
        name: random_cost(space, 3 * seed + i, high, multiplies, ends and i != seed % 3)
        for i, name in enumerate(latencies())
    }


def everything(P, costs: dict, request: Workload, size: int = 4) -> dict:
    "Every objective of architectures by the ordinary functions, minimised."
    n = count(P)
    values = {
        "decoder_params": -n.decoder,
        "total_params": -n.total,
        "weight_bytes": MemoryForm.of(size).weight * n.total,
        "flops": flops(P, request),
        "peak_bytes": peak_bytes(P, request, size),
        "kv_cache_bytes": kv_cache_bytes(P, request.batch_size, request.context, size),
        "quality": law(*(np.asarray(v, np.int64) for v in (P.n_layer, P.d_model, n.decoder, n.total))),
    }
    return values | {name: cost.predict(P) for name, cost in costs.items()}


def columns(values: dict, objectives) -> np.ndarray:
    "Objectives side by side, `(n, n_objectives)`."
    return np.stack([values[name] for name in objectives], 1).astype(float)


def keeps(P, values: dict, constraints: dict) -> np.ndarray:
    "Which architectures keep the constraints, said another way than the solver does."
    ok = np.ones(len(P), bool)
    for name, bound in constraints.items():
        if name == "homogeneous":
            genes = zip(P.n_layer, P.d_inner, P.n_head, P.n_kv_head)
            ok &= np.array([len({*zip(f[:n], h[:n], kv[:n])}) == 1 for n, f, h, kv in genes])
        elif name in ("d_inner", "n_head", "n_kv_head"):
            ok &= np.isin(getattr(P, name), [0, *bound]).all(1)
        elif name == "share":
            ok &= np.isin(P.group_size, bound)
        elif name in GENES:
            ok &= np.isin(getattr(P, name), bound)
        else:
            size = np.abs(values[name[4:]])
            ok &= size <= bound if name[:3] == "max" else size >= bound
    return ok


def choices_of(space: SearchSpace, gene: str) -> tuple:
    "A space's list of choices."
    return (space.group_size if gene == "share" else getattr(space, gene)) or ()


def random_constraints(rng, space: SearchSpace, values: dict) -> dict:
    "At most one limit from above, one from below, one fixed gene, and `homogeneous` now and then."
    constraints = {}
    metric = rng.choice([*values])
    if rng.random() < 0.4:
        constraints[f"max_{metric}"] = float(np.quantile(np.abs(values[metric]), rng.uniform(0.1, 0.9)))
    metric = rng.choice([*values, *latencies(), "peak_bytes"])
    if rng.random() < 0.4:
        constraints[f"min_{metric}"] = float(np.quantile(np.abs(values[metric]), rng.uniform(0.1, 0.9)))
    gene = rng.choice(GENES)
    if rng.random() < 0.3 and gene not in ("d_embed", "div_val") and choices_of(space, gene):
        constraints[gene] = rng.choice(choices_of(space, gene), 2).tolist()
    return constraints | ({"homogeneous": True} if rng.random() < 0.15 else {})


def check_within_factor(found, F: np.ndarray, peak: np.ndarray, constraints: dict):
    "Where peaks are bounded: what keeps the limits with the certificate's factor to spare has a member so near."
    factor = 1 + found.certificate["approximation"]
    highest, lowest = constraints.get("max_peak_bytes", np.inf), constraints.get("min_peak_bytes", 0)
    F = F[(peak * factor <= highest) & (peak >= factor * lowest)]
    for x in F[is_nondominated(F)]:
        near = np.where(x > 0, x * factor, x) + 1e-12 * np.abs(x)
        assert (found.F <= near).all(1).any(), (x, factor)


def check_members(found, space: SearchSpace, values: dict, constraints: dict):
    "Members belong to the space, keep the constraints, and have the values claimed."
    assert np.array_equal(columns(values, found.objectives), found.F)
    assert space.contains(found.population).all()
    assert keeps(found.population, values, constraints).all()


def branches(problem) -> set:
    "Which parts of the solver a problem went through."
    space = problem.space
    facts = {
        space.backbone: True,
        "homogeneous": problem.homogeneous,
        "vectors": problem.needs_vectors and not problem.homogeneous,
        "knapsack": not problem.needs_vectors and not problem.homogeneous,
        "no sum": not problem.costs,
        "two sums": len(problem.costs) > 1,
        "cache counted": problem.counts_cache,
        "peak bounded": problem.bounds_peak,
        "peak": "peak_bytes" in problem.metrics,
        "decoding": problem.workload.new_tokens > 0,
        "large wanted": any(sign < 0 for _, sign in problem.directions),
        "groups": max(space.group_size) > 1,
        "bfloat16": problem.memory == MemoryForm.of(2),
        "engine": problem.memory.constant > 0,
        "factor": any(cost.factor for cost in problem.costs.values()),
        "last layer apart": problem.ends_apart,
        "several embeddings": any(len(space.embeddings(d)) > 1 for d in space.d_model),
    }
    return {name for name, holds in facts.items() if holds}


def prove(seed: int, objectives, deepest: int = 4, most: int = MOST) -> set:  # branches; empty if it was refused
    "Compare with brute force on one random problem."
    rng = np.random.default_rng(seed)
    space, request = random_space(rng, deepest, most), REQUESTS[seed % 4]
    multiplies, size = seed // len(PAIRS_AND_TRIPLES) % 2 == 1, (4, ENGINE, 2)[seed // len(PAIRS_AND_TRIPLES) % 3]
    costs, P = random_costs(space, seed, [30, 1000][seed % 2], multiplies, seed % 5 < 2), space.enumerate()
    values = everything(P, costs, request, size)
    constraints = random_constraints(rng, space, values)
    ok = keeps(P, values, constraints)
    try:
        found = exact_frontier(space, costs, objectives, constraints, request, law, 0.0, size)
    except InputError as error:
        assert not ok.any() or "min_peak_bytes" in str(error), error
        return set()
    F = columns(values, objectives)[ok]
    if found.problem.bounds_peak:
        check_within_factor(found, F, values["peak_bytes"][ok], constraints)
    else:
        assert np.array_equal(np.unique(F[is_nondominated(F)], axis=0), found.F[np.lexsort(found.F.T[::-1])])
    check_members(found, space, everything(found.population, costs, request, size), constraints)
    return branches(found.problem)


def some_is_near(f: np.ndarray, F: np.ndarray, epsilon: float) -> bool:
    "Is some point of `F` within a factor 1 + epsilon of `f` in every objective, negated ones included?"
    return bool((np.where(f < 0, f / (1 + epsilon), f * (1 + epsilon)) >= F).all(1).any())


def with_room(constraints: dict, epsilon: float) -> dict:
    "The limits, tighter by a factor 1 + epsilon."
    factor = 1 + epsilon
    return {name: bound / factor if name[:3] == "max" else bound * factor for name, bound in constraints.items()}
