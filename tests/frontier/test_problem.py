"""What the exact search refuses, each in one line, and metrics that were registered from outside."""

import numpy as np
import pytest
from frontier_kit import columns

from lts_nb.core.errors import InputError
from lts_nb.core.metrics import METRICS, Metric, register_metric
from lts_nb.frontier.cost_table import AdditiveCost, random_cost
from lts_nb.frontier.exact import exact_frontier
from lts_nb.frontier.pareto import is_nondominated
from lts_nb.frontier.problem import TOLERATED, count_stacks, pose, restrict
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace

SMALL = SearchSpace(
    "gpt2", n_layer=[1, 2, 3], d_model=[8, 12], d_inner=[16, 24, 32, 56], n_head=[2, 4], vocab_size=[10], max_len=64
)
COST = random_cost(SMALL, 0)
TWO = ("decoder_params", "latency_s")
LLAMA = SearchSpace.preset("llama", n_layer=[2], d_model=[256])

MISTAKES = [
    ({"objectives": ("decoder_params",)}, r"objectives=\('decoder_params',\): must be two or three different ones of"),
    ({"objectives": ("flops",) * 2}, "must be two or three different ones of latency_s"),
    ({"objectives": (*TWO, "flops", "peak_bytes")}, "must be two or three"),
    ({"objectives": ("decoder_params", "speed")}, r"objectives=\('decoder_params', 'speed'\)"),
    ({"objectives": ("decoder_params", "n_layer")}, "must be two or three different ones"),
    ({"objectives": ("quality", "latency_s")}, "must be two or three different ones"),
    ({"objectives": ("decoder_params", "decode_s")}, "decode_s: no AdditiveCost for it; the cost has latency_s"),
    ({"constraints": {"most_latency_s": 1}}, "most_latency_s=1: must be min_ or max_ of latency_s"),
    ({"constraints": {"max_speed": 1}}, "max_speed=1: must be min_ or max_ of latency_s, .*, or one of n_layer"),
    ({"constraints": {"max_latency_s": -1}}, "max_latency_s=-1: must be a number above 0"),
    ({"constraints": {"max_latency_s": 0}}, "max_latency_s=0: must be a number above 0"),
    ({"constraints": {"max_latency_s": True}}, "max_latency_s=True: must be a number above 0"),
    ({"constraints": {"max_latency_s": "1"}}, "max_latency_s='1': must be a number above 0"),
    ({"constraints": {"max_latency_s": float("nan")}}, "max_latency_s=nan: must be a number above 0"),
    ({"constraints": {"max_prefill_s": 1}}, "prefill_s: no AdditiveCost for it; the cost has latency_s"),
    (
        {"constraints": {"max_peak_bytes": 10}},
        "constraints max_peak_bytes=10: no architecture of this space keeps them",
    ),
    ({"constraints": {"homogeneous": 1}}, "homogeneous=1: must be True or False"),
    ({"constraints": ["homogeneous"]}, r"constraints=\['homogeneous'\]: must be a dict"),
    ({"constraints": {"d_inner": [9]}}, r"d_inner=\[9\]: must be some of \[16, 24, 32, 56\]"),
    ({"constraints": {"n_kv_head": 2}}, r"n_kv_head=2: must be some of \[\]"),
    ({"cost": "fast"}, "cost='fast': must be an AdditiveCost, a dict of them by latency, or have a method"),
    ({"cost": {"latency_s": 3}}, "latency_s: no AdditiveCost for it; the cost has latency_s"),
    ({"epsilon": 2}, "epsilon=2: must be a number from 0 to below 1"),
    ({"epsilon": 1}, "epsilon=1: must be a number from 0 to below 1"),
    ({"epsilon": -0.1}, "epsilon=-0.1: must be a number from 0 to below 1"),
    ({"epsilon": True}, "epsilon=True: must be a number from 0 to below 1"),
    ({"workload": "long"}, "workload='long'"),
    ({"workload": {"length": 9}}, "length"),
    ({"workload": {"prompt_len": 0}}, "prompt_len=0: must be a whole number from 1"),
    ({"workload": {"logits": "none"}}, "logits='none': must be one of last, all"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_mistakes_are_named(mistake, message):
    with pytest.raises(InputError, match=message):
        exact_frontier(**{"space": SMALL, "cost": COST, "objectives": TWO} | mistake)


def test_restrict_names_what_does_not_fit_together():
    with pytest.raises(InputError, match=r"d_model=12 and d_inner=16: no d_model goes with it \(min_ratio=2\)"):
        restrict(SMALL, {"d_model": 12, "d_inner": 16})
    grouped = SearchSpace("gpt2", n_layer=[3, 4], d_model=[8], d_inner=[16], n_head=[2], share=[1, 2], vocab_size=[10])
    with pytest.raises(InputError, match="share=2: divides no n_layer"):
        restrict(grouped, {"n_layer": 3, "share": 2})
    assert restrict(grouped, {"share": [2]}).n_layer == (4,)


def test_a_bound_on_memory_from_below_needs_a_known_peak():
    with pytest.raises(InputError, match="min_peak_bytes=1: cannot be honoured where layers differ in their KV cache"):
        pose(LLAMA, None, ("flops", "peak_bytes"), {"min_peak_bytes": 1}, {"new_tokens": 3})
    assert not pose(LLAMA, None, ("flops", "peak_bytes"), {"min_peak_bytes": 1}, None).bounds_peak


def test_an_infinite_limit_is_none():
    free = exact_frontier(SMALL, COST, TWO)
    assert np.array_equal(exact_frontier(SMALL, COST, TWO, {"max_latency_s": float("inf")}).F, free.F)


LARGE = SearchSpace.preset("gpt2")


@pytest.mark.parametrize(
    ("space", "objectives", "constraints", "lost"),
    [
        (SearchSpace.preset("llama"), ("flops", "peak_bytes"), {}, TOLERATED),
        (LARGE, ("latency_s", "prefill_s"), {}, TOLERATED),
        (LARGE, TWO, {"min_latency_s": 1}, TOLERATED),
        (LARGE, TWO, {"min_latency_s": 1, "homogeneous": True}, 0),
        (LARGE, TWO, {"min_latency_s": 1, "n_layer": 2, "d_model": 128}, 0),
        (LARGE, ("decoder_params", "latency_s", "peak_bytes"), {}, 0),
        (SearchSpace.preset("llama"), TWO, {}, 0),
        (SMALL, ("latency_s", "prefill_s"), {}, 0),
    ],
)
def test_a_per_cent_may_be_lost_where_exactness_is_slow(space, objectives, constraints, lost):
    costs = {name: random_cost(space, 0) for name in ("latency_s", "prefill_s")}
    problem = pose(space, costs, objectives, constraints, None, epsilon=None)
    assert problem.epsilon == lost
    assert pose(space, costs, objectives, constraints, None, epsilon=0.3).epsilon == 0.3


def test_stacks_are_counted_in_any_order():
    part = SearchSpace("gpt2", n_layer=[1, 2], d_model=[8], d_inner=[16, 24], n_head=[1, 2], vocab_size=[9], max_len=8)
    P = part.enumerate()
    kinds = {(int(n), *sorted(zip(f[:n], h[:n]))) for n, f, h in zip(P.n_layer, P.d_inner, P.n_head)}
    assert count_stacks(part) == len(kinds)


@pytest.fixture
def registry():
    "The registry of metrics, as it was before, afterwards."
    before = dict(METRICS)
    yield METRICS
    METRICS.clear()
    METRICS.update(before)


def heads_of_layer(fixed, d_model, d_inner, n_head, n_kv_head, workload):
    "Queries that a layer computes."
    return n_head * workload.context + 0 * d_inner


def tokens_of_rest(fixed, d_model, vocab_size, d_embed, div_val, workload):
    "One for each token."
    return workload.context


def check_against_list(objectives: tuple, theirs: dict, cost: AdditiveCost | None = None, limits: dict | None = None):
    "The frontier is that of all architectures; `theirs` are the values, minimised, of metrics from outside."
    found = exact_frontier(SMALL, cost, objectives, limits)
    P = SMALL.enumerate()
    values = {"decoder_params": -count(P).decoder, "latency_s": (cost or COST).predict(P)}
    values |= {name: compute(P) for name, compute in theirs.items()}
    ok = np.ones(len(P), bool)
    for name, bound in (limits or {}).items():
        ok &= np.abs(values[name[4:]]) <= bound if name[:3] == "max" else np.abs(values[name[4:]]) >= bound
    F = columns(values, objectives)[ok]
    assert np.array_equal(np.unique(F[is_nondominated(F)], axis=0), found.F[np.lexsort(found.F.T[::-1])])


def n_queries(P) -> np.ndarray:
    "What `heads_of_layer` and `tokens_of_rest` come to."
    return 192 + (192 * P.n_head).sum(1)


def test_a_function_of_the_state_from_outside(registry):
    register_metric(Metric("narrowness", "narrowness", of_state=lambda depth, width, decoder, total: depth / width))
    theirs = {"narrowness": lambda P: P.n_layer / P.d_model}
    check_against_list(("decoder_params", "narrowness"), theirs)
    check_against_list(("latency_s", "decoder_params", "narrowness"), theirs, COST, {"max_narrowness": 0.2})


def test_a_wanted_function_of_the_state_from_outside(registry):
    state = {"of_state": lambda depth, width, decoder, total: depth / width, "more_is_better": True}
    register_metric(Metric("narrowness", "narrowness", **state))
    theirs = {"narrowness": lambda P: -P.n_layer / P.d_model}
    check_against_list(("latency_s", "narrowness"), theirs, COST)
    check_against_list(("latency_s", "decoder_params"), theirs, COST, {"min_narrowness": 0.2})


def test_a_counted_sum_from_outside(registry):
    formulas = {"of_layer": heads_of_layer, "of_rest": tokens_of_rest}
    register_metric(Metric("queries", "queries", adds_up=True, **formulas))
    theirs = {"queries": n_queries}
    check_against_list(("decoder_params", "queries"), theirs)
    check_against_list(("decoder_params", "queries", "latency_s"), theirs, COST)
    check_against_list(("decoder_params", "latency_s"), theirs, COST, {"max_queries": 1500})
    found = exact_frontier(SMALL, None, ("decoder_params", "queries"))
    assert found.certificate["model"] == "queries: table entries add up over layers"


def test_a_wanted_sum_from_outside(registry):
    formulas = {"of_layer": heads_of_layer, "of_rest": tokens_of_rest}
    register_metric(Metric("queries", "queries", adds_up=True, more_is_better=True, **formulas))
    theirs = {"queries": lambda P: -n_queries(P)}
    dear = AdditiveCost(SMALL, COST.once, {d: table.cumsum(1) for d, table in COST.layer.items()})  # so are many heads
    check_against_list(("queries", "latency_s"), theirs, dear)
    check_against_list(("queries", "latency_s", "decoder_params"), theirs, dear, {"min_queries": 1500})


def test_a_measured_sum_from_outside(registry):
    register_metric(Metric("charge_c", "charge", "C", adds_up=True, source="measured"))
    with pytest.raises(InputError, match="charge_c: no AdditiveCost for it; the cost has latency_s"):
        exact_frontier(SMALL, COST, ("decoder_params", "charge_c"))
    found = exact_frontier(SMALL, {"charge_c": COST}, ("decoder_params", "charge_c"))
    assert np.array_equal(found.F, exact_frontier(SMALL, COST, TWO).F)


def test_a_metric_without_formula_is_no_objective(registry):
    register_metric(Metric("noise_db", "noise", source="measured"))
    with pytest.raises(InputError, match="must be two or three different ones of"):
        exact_frontier(SMALL, COST, ("decoder_params", "noise_db"))


def test_what_is_merged_twice_makes_up_epsilon():
    three = ("decoder_params", "latency_s", "peak_bytes")
    assert (1 + pose(SMALL, COST, three, None, None, epsilon=0.21).merging) ** 2 == pytest.approx(1.21)
    assert pose(SMALL, COST, TWO, None, None, epsilon=0.21).merging == 0
    assert pose(SMALL, COST, three, {"homogeneous": True}, None, epsilon=0.21).merging == 0
    assert pose(SMALL, COST, three, {"min_latency_s": 1}, None, epsilon=0.21).merging == 0
