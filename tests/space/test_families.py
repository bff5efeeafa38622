"What every family promises, and what the search relies on."

import importlib
import importlib.util
import pkgutil

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.core.workload import Workload
from lts_nb.space import families
from lts_nb.space.counts import count, params_by_layer, params_by_sum
from lts_nb.space.families import FAMILIES, register_family
from lts_nb.space.families.contract import Family
from lts_nb.space.flops import flops
from lts_nb.space.memory import cache_blocks_of, kv_cache_bytes, layer_peak, peak_bytes
from lts_nb.space.population import as_int64
from lts_nb.space.space import SearchSpace

WORKLOADS = [
    Workload(),
    Workload(logits="all"),
    Workload(prompt_len=160, new_tokens=32),
    Workload(batch_size=2, prompt_len=2, new_tokens=1, logits="all"),
]
by_family = pytest.mark.parametrize("name", FAMILIES)


def population(name, n=200):
    return SearchSpace.preset(name).sample(n, seed=3)


def test_every_file_of_the_folder_is_registered():
    modules = [
        importlib.import_module(f"{families.__name__}.{m.name}") for m in pkgutil.iter_modules(families.__path__)
    ]
    found = [module.FAMILY for module in modules if module.__name__.rpartition(".")[2] != "contract"]
    assert {family.name for family in found} == {"gpt2", "transformer-xl", "opt", "llama", "lfm2"}
    assert all(FAMILIES[family.name] is family for family in found)


@by_family
def test_facts(name):
    family = FAMILIES[name]
    assert family.name == name and family.display_name and family.source.startswith("https://")
    assert name in family.presets and all(preset.startswith(name) for preset in family.presets)
    assert importlib.util.find_spec(family.model)


@by_family
def test_heads_matter_unless_the_family_says_otherwise(name):
    P = population(name)
    if FAMILIES[name].params_ignore_heads:
        assert np.array_equal(params_by_sum(P), params_by_layer(P))
    else:
        assert not np.array_equal(params_by_sum(P), params_by_layer(P))


@by_family
@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_one_and_many_agree(name, workload):
    P = population(name, 40)
    for measure in (flops, peak_bytes):
        together = measure(P, workload)
        assert together.dtype == np.int64 and together.tolist() == [measure(a, workload) for a in P]
    assert count(P).total.tolist() == [count(a).total for a in P]
    assert kv_cache_bytes(P, 2, 30).tolist() == [kv_cache_bytes(a, 2, 30) for a in P]


@by_family
@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_peaks_grow_with_width_and_with_what_is_cached(name, workload):
    P = population(name)
    blocks, convolutions = (counts.sum(1) for counts in cache_blocks_of(P))
    d_model, d_inner, n_head, kv = (
        as_int64(v) for v in (P.d_model, P.d_inner[:, 1], P.n_head[:, 1], P.n_kv_head[:, 1])
    )
    before = [np.minimum(i, blocks // 2) for i in (1, 2, 3)]

    def peak(width, cached):
        return layer_peak(P.fixed, d_model, width, n_head, kv, cached, 0, blocks, convolutions, workload)

    assert (peak(d_inner + 64, before[0]) >= peak(d_inner, before[0])).all()
    assert (peak(d_inner, before[1]) >= peak(d_inner, before[0])).all()
    assert (peak(d_inner, before[2]) >= peak(d_inner, before[1])).all()


@by_family
def test_more_work_for_more_sequences(name):
    P = population(name, 50)
    two = Workload(batch_size=2)
    assert (flops(P, two) == 2 * flops(P)).all() or name == "transformer-xl"  # whose distances can be shared
    assert (flops(P, two) > flops(P)).all() and (peak_bytes(P, two) > peak_bytes(P)).all()
    assert (kv_cache_bytes(P, 2) == 2 * kv_cache_bytes(P)).all()


@pytest.mark.parametrize(
    "family, message",
    [
        (Family("gpt2", "GPT-2", 2019, ""), "name='gpt2': is taken"),
        (Family("x", "X", 2026, "", fields=frozenset({"depth"})), "fields=\\['depth'\\]: must be some of d_embed"),
        (Family("x", "X", 2026, "", presets={"gpt2": {}}), "presets=\\['gpt2'\\]: taken"),
    ],
)
def test_what_cannot_be_registered(family, message):
    with pytest.raises(InputError, match=message):
        register_family(family)
    assert "x" not in FAMILIES
