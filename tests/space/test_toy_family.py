"A backbone from outside the package: registered in a few lines, then counted, drawn from and searched exactly."

import numpy as np
import pytest

from lts_nb.core.workload import Workload
from lts_nb.frontier.exact import exact_frontier
from lts_nb.frontier.pareto import is_nondominated
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.families import FAMILIES, register_family
from lts_nb.space.families.contract import EMBEDDING_FIELDS, Family
from lts_nb.space.flops import flops
from lts_nb.space.memory import kv_cache_bytes, peak_bytes
from lts_nb.space.presets import get_space
from lts_nb.space.space import SearchSpace


class OneKeyHead(Family):
    "A decoder whose queries all share one key and value head, with a gate for each head and no biases."

    def layer_params(self, fixed, d_model, d_inner, n_head, n_kv_head):
        "Queries and projection, a key and a value as wide as a head, a gate for each head; two matrices; two gains."
        head = d_model // np.maximum(n_head, 1)
        return 2 * d_model * d_model + 2 * d_model * head + n_head, 2 * d_model * d_inner, 2 * d_model

    def final_norm_params(self, fixed, d_model):
        "One gain."
        return d_model


TOY = OneKeyHead(
    name="toy",
    display_name="Toy",
    year=2026,
    source="https://example.org/toy",
    fields=frozenset(EMBEDDING_FIELDS) | {"share"},
    presets={
        "toy": dict(n_layer=[1, 2, 3], d_model=[16, 32], d_inner=[32, 64, 96], n_head=[2, 4], vocab_size=64, max_len=32)
    },
)


@pytest.fixture
def toy():
    "The family, known for the time of a test."
    yield register_family(TOY)
    del FAMILIES[TOY.name]


def test_architecture(toy):
    a = Architecture("toy", 16, (2, 4), (32, 64), vocab_size=64)
    assert Architecture.from_json(a.to_json()) == a
    by_hand = [2 * 16 * 16 + 2 * 16 * 16 // h + h + 2 * 16 * f + 2 * 16 for h, f in ((2, 32), (4, 64))]
    assert count(a).decoder == sum(by_hand) + 16
    assert flops(a, Workload(prompt_len=3)) > 0
    assert kv_cache_bytes(a, context=10) == 4 * 2 * 10 * 16 * 2  # the contract's plain cache: the width, in both layers
    assert peak_bytes(a, Workload(prompt_len=8)) > 4 * count(a).total


def test_space(toy):
    space = get_space("toy")
    assert space == SearchSpace.preset("toy") and space.size() == len(space.enumerate())
    P = space.sample(500, seed=0)
    assert space.contains(space.mutate(P)).all() and space.contains(space.crossover(P, P[::-1])).all()
    assert [count(a).decoder for a in P[:20]] == count(P).decoder[:20].tolist()


@pytest.mark.parametrize("workload", [Workload(prompt_len=24), Workload(prompt_len=16, new_tokens=8)], ids=str)
def test_exact_frontier_is_that_of_all_members(toy, workload):
    space = get_space("toy")
    everything = space.enumerate()
    F = np.c_[-count(everything).decoder, flops(everything, workload), peak_bytes(everything, workload)].astype(float)
    expected = np.unique(F[is_nondominated(F)], axis=0)
    found = exact_frontier(space, None, ("decoder_params", "flops", "peak_bytes"), workload=workload)
    assert np.array_equal(np.unique(found.F, axis=0), expected)
    assert space.contains(found.population).all()
