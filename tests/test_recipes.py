"""The five recipes of CONTRIBUTING.md, each followed from outside the package: no file of it is touched."""

from dataclasses import replace

import numpy as np
import pytest

from lts_nb.core.metrics import METRICS, Metric, register_metric
from lts_nb.core.workload import Workload
from lts_nb.frontier.evolution import History
from lts_nb.frontier.exact import exact_frontier
from lts_nb.frontier.pareto import is_nondominated
from lts_nb.frontier.proxies import PROXIES, register_proxy
from lts_nb.models.build import build, part_modules
from lts_nb.models.conformance import check_twin
from lts_nb.profiler.targets.conformance import check_target
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.profiler.targets.registry import TARGETS, get_target, register_target
from lts_nb.searches.methods.registry import METHODS, load_methods, register_method
from lts_nb.searches.search import search
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.families import FAMILIES, register_family
from lts_nb.space.families.contract import Family
from lts_nb.space.flops import flops
from lts_nb.space.population import Population
from lts_nb.space.space import SearchSpace

SMALL = SearchSpace.preset(
    "gpt2", n_layer=[1, 2, 3], d_model=[32, 64], d_inner=[64, 128, 192], n_head=[1, 2], vocab_size=[300], max_len=32
)
REQUEST = Workload(prompt_len=16, new_tokens=4)


@pytest.fixture(autouse=True)
def registries():
    "Every registry as it was, after each test."
    load_methods()
    kept = [(registry, dict(registry)) for registry in (FAMILIES, METRICS, PROXIES, TARGETS, METHODS)]
    yield
    for registry, content in kept:
        registry.clear()
        registry.update(content)


def quietly(**options):
    "A small search without bars and sentences."
    return search(SMALL, progress=False, say=lambda text: None, **options)


# --- a target: one class that keeps the contract, registered under a name


class Wattmeter(FakeTarget):
    "A made-up board that also reads its power supply."

    name, readings = "wattmeter", ("charge_c",)

    def measure(self, architecture, workload, *args, **options):
        measured = super().measure(architecture, workload, *args, **options)
        return replace(measured, extra={"charge_c": measured.latency_s + 0.002 * architecture.n_layer})


def test_a_target():
    register_metric(Metric("charge_c", "charge", "C", source="measured"))
    register_target("wattmeter", Wattmeter)
    check_target(get_target("wattmeter"))
    result = quietly(target="wattmeter", workload=REQUEST)  # its profile, the exact frontier, and what it promised
    assert result.run["target"]["name"] == "wattmeter" and result.frontier.latency_s.gt(0).all()


# --- an objective: one entry; counted ones bring their formula, measured ones are read by a target


def test_a_counted_objective():
    "Values that layers write: a sum over layers, which the exact search takes as it is."
    register_metric(
        Metric(
            "written_values",
            "values written",
            adds_up=True,
            of_layer=lambda fixed, d_model, d_inner, n_head, n_kv_head, workload: (
                workload.context * (3 * d_model + d_inner) + 0 * n_head
            ),
            of_rest=lambda fixed, d_model, vocab_size, d_embed, div_val, workload: workload.context * d_model,
        )
    )
    everything = SMALL.enumerate()
    width, layers = everything.d_model.astype(float), everything.n_layer
    written = REQUEST.context * (width * (3 * layers + 1) + everything.d_inner.sum(1))
    F = np.c_[-count(everything).decoder, written]
    found = exact_frontier(SMALL, None, ("decoder_params", "written_values"), workload=REQUEST)
    assert np.array_equal(np.unique(found.F, axis=0), np.unique(F[is_nondominated(F)], axis=0))


def test_a_measured_objective():
    "Coulombs of a battery: one entry here, and one reading in the target above."
    register_target("wattmeter", Wattmeter)
    register_metric(Metric("charge_c", "charge", "C", source="measured"))
    asked = dict(method="lts", evaluations=30, objectives=("decoder_params", "charge_c"), workload=REQUEST)
    result = quietly(target="wattmeter", **asked)
    assert {"decoder_params", "charge_c"} <= set(result.frontier)
    F = np.c_[-result.frontier.decoder_params, result.frontier.charge_c]
    assert is_nondominated(F).all() and result.frontier.charge_c.gt(0).all()


# --- a proxy: one function; one of the state can be searched by


def test_a_proxy():
    @register_proxy("deep_params", takes="state")
    def deep_params(n_layer, d_model, decoder_params, total_params):
        "Decoder parameters times the depth."
        return np.asarray(decoder_params, float) * n_layer

    architecture = Architecture("gpt2", 32, (2, 2), (64, 64), vocab_size=300, max_len=32)
    assert PROXIES["deep_params"].of_population(architecture) == 2 * count(architecture).decoder
    result = quietly(target=FakeTarget(), workload=REQUEST, proxy="deep_params")
    every = SMALL.enumerate()
    best = result.architecture(result.frontier.id[result.frontier.deep_params.idxmax()])
    assert count(best).decoder * best.n_layer == (count(every).decoder * every.n_layer).max()
    assert "deep_params" in result.pick(deep_params=1.0).to_json() or result.pick(deep_params=1.0)


# --- a search method: one function


def test_a_search_method():
    @register_method("largest-first")
    def largest_first(space, evaluate, budget, seed, accept):
        "Evaluate the members with the most decoder parameters."
        members = space.enumerate()
        members = members[np.argsort(-count(members).decoder)[: budget.evaluations]]
        return History(members, evaluate(members), np.zeros(len(members), int))

    result = quietly(target=FakeTarget(), workload=REQUEST, method="largest-first", evaluations=10)
    measured = result.candidates[result.candidates.role == "candidate"]
    largest = np.sort(count(SMALL.enumerate()).decoder)[::-1][:10]
    assert result.run["method"] == "largest-first"
    assert measured.decoder_params.tolist() == largest.tolist()


# --- a backbone: its family, without torch, and its torch twin


def test_a_backbone():
    "A plain decoder: its formulas are the contract's own, its twin is tests/toy_twin.py."
    source = "https://arxiv.org/abs/2112.10668"
    register_family(Family("toy", display_name="Toy", year=2021, source=source, model="toy_twin", fields=frozenset()))
    architecture = Architecture("toy", 32, (2, 4), (48, 64), vocab_size=100, max_len=32)
    check_twin(architecture, without_gradient=("k_proj.bias",))  # a bias of keys that softmax takes out again
    model = build(architecture)
    assert sum(p.numel() for p in model.parameters()) == count(architecture).total
    assert len(part_modules(model)) == 5
    assert flops(Population.of([architecture]), REQUEST)[0] > 0
    space = SearchSpace("toy", n_layer=[1, 2], d_model=[32, 64], d_inner=[64, 128], n_head=[2], vocab_size=[100])
    result = search(space, target=FakeTarget(), workload=REQUEST, progress=False, say=lambda text: None)
    assert set(result.frontier.backbone) == {"toy"}
