"""Cost tables that lack something, or hold what is no cost."""

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.frontier.cost_table import AdditiveCost, find_costs, random_cost, restrict_cost
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace

FIELDS = {"d_inner": [16, 24, 32, 56], "n_head": [2, 4], "vocab_size": [10], "max_len": 64}
SMALL = SearchSpace("gpt2", n_layer=[1, 2, 3], d_model=[8, 12], **FIELDS)
COST = random_cost(SMALL, 0)
HYBRID = SearchSpace(
    "lfm2",
    n_layer=[2, 3],
    d_model=[8, 12],
    d_inner=[16, 32],
    n_head=[2, 4],
    n_kv_head=[1, 2],
    d_head=4,
    layer_kind=["attention", "conv"],
    vocab_size=[10, 20],
    d_embed=[0, 4],
    max_len=64,
)

BROKEN = [
    ({"layer": {8: COST.layer[8]}}, r"decode_s: d_model=12 is not among the measured widths \[8\]"),
    (
        {"once": {(8, 10, 8, 1): 1.0}},
        r"\(vocab_size, d_embed, div_val\)=\(10, 12, 1\) is not among the measured ones of d_model=12: \[\]",
    ),
    ({"layer": COST.layer | {8: np.ones((2, 4))}}, r"decode_s: layer\[8\] has shape \(2, 4\): must be \(4, 2\), a row"),
    ({"layer": COST.layer | {8: np.ones(8)}}, r"decode_s: layer\[8\] has shape \(8,\): must be \(4, 2\)"),
    ({"layer": COST.layer | {8: np.full((4, 2), np.nan)}}, r"decode_s: layer\[8\] holds nan: must be finite"),
    ({"layer": COST.layer | {12: np.full((3, 2), np.inf)}}, r"decode_s: layer\[12\] holds inf: must be finite"),
    ({"once": COST.once | {(12, 10, 12, 1): -1.0}}, r"decode_s: once\[12, \(10, 12, 1\)\] holds -1: must be finite"),
]


@pytest.mark.parametrize(("fields", "message"), BROKEN)
def test_broken_tables_are_named(fields, message):
    cost = AdditiveCost(**{"space": SMALL, "once": COST.once, "layer": COST.layer} | fields)
    with pytest.raises(InputError, match=message):
        restrict_cost(cost, SMALL, "decode_s")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"d_inner": [24, 40]}, r"d_inner=40 is not among the measured ones \[16, 24, 32, 56\] of d_model=8"),
        ({"n_head": [1, 2]}, r"\(n_head, n_kv_head\)=\(1, 1\) is not among the measured ones"),
        ({"d_model": [8, 16]}, r"d_model=16 is not among the measured widths \[8, 12\]"),
        ({"vocab_size": [11]}, r"\(vocab_size, d_embed, div_val\)=\(11, 8, 1\) is not among the measured ones"),
    ],
)
def test_what_a_table_lacks_is_named(wanted, message):
    larger = SearchSpace("gpt2", **{"n_layer": [1], "d_model": [8]} | FIELDS | wanted)
    with pytest.raises(InputError, match="latency_s: " + message):
        restrict_cost(COST, larger, "latency_s")


def test_a_zero_is_a_cost():
    nothing = {d: np.zeros_like(table) for d, table in COST.layer.items()}
    free = AdditiveCost(SMALL, dict.fromkeys(COST.once, 0.0), nothing)
    assert (restrict_cost(free, SMALL, "latency_s").predict(SMALL.sample(5, seed=0)) == 0).all()


@pytest.mark.parametrize("space", [SMALL, HYBRID])
def test_predictions_are_sums_of_entries(space):
    cost, P = random_cost(space, 1), space.sample(60, seed=0)
    for a, predicted, (n_layer, d, *e) in zip(P, cost.predict(P), P.matrix[:, :5].tolist()):
        columns = [space.mixers(d).index((h, kv)) for _, h, kv in a.layers]
        layers = sum(cost.layer[d][space.inners(d).index(f), m] for f, m in zip(a.d_inner, columns))
        n = count(a)
        assert predicted == cost.once[d, *e] + layers + cost.state(n_layer, d, n.decoder, n.total)


def test_a_part_of_a_table_predicts_the_same():
    part = SearchSpace(
        "lfm2",
        n_layer=[2],
        d_model=[12],
        d_inner=[32],
        n_head=[4],
        n_kv_head=[1],
        d_head=4,
        layer_kind=["attention", "conv"],
        vocab_size=[20],
        d_embed=[4],
        max_len=64,
    )
    cost, P = random_cost(HYBRID, 2), part.enumerate()
    assert np.array_equal(restrict_cost(cost, part, "latency_s").predict(P), cost.predict(P))


def test_costs_are_asked_for_by_name():
    class Device:
        def costs(self, names, space, workload):
            return {name: COST for name in [*names, "extra"]}

    assert find_costs(Device(), ["decode_s"], SMALL, None) == {"decode_s": COST}
    assert find_costs(Device(), [], SMALL, None) == {}
    with pytest.raises(InputError, match="decode_s: no AdditiveCost for it; the cost has none"):
        find_costs({}, ["decode_s"], SMALL, None)
