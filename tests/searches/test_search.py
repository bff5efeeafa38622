"""Searches on a device that is made up: settings, limits, objectives, quality, and what comes out."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from searches.kit import FEW, LAW, TINY, quiet_search

from lts_nb.core.errors import InputError
from lts_nb.core.workload import Workload
from lts_nb.frontier.evolution import extend_history, frontier_of
from lts_nb.frontier.pareto import knee
from lts_nb.frontier.shown import RESOLUTION, choose_shown, factor_of
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.searches import sampling
from lts_nb.searches.limits import counted_values
from lts_nb.searches.methods.exact import compute_frontier
from lts_nb.searches.methods.registry import METHODS, register_method
from lts_nb.searches.quality import quality_of
from lts_nb.searches.report import headline, pairs, table
from lts_nb.searches.search import search
from lts_nb.searches.settings import SearchSettings, check_settings
from lts_nb.space.counts import count
from lts_nb.space.memory import MemoryForm, kv_cache_bytes, peak_bytes
from lts_nb.space.population import Population

EXACT = ("decoder_params", "latency_s", "peak_bytes")
PROFILE = DeviceProfile.measure(FEW, FakeTarget(), held_out=0)
EVERY = FEW.enumerate()
F = np.c_[quality_of(LAW).of(EVERY), PROFILE.cost().predict(EVERY).round(13), peak_bytes(EVERY)]


class Elsewhere(FakeTarget):
    "Another machine than the profile's: predictions stand for measurements."

    def environment(self):
        return dict(cpu="another")


def by_profile(**settings):
    return quiet_search(target=Elsewhere(), profile=PROFILE, **settings)


def frontier_values(values):
    return np.unique(values[frontier_of(values)], axis=0)


def loss(architecture):
    return float(quality_of(LAW).of(Population.of([architecture]))[0])


@pytest.mark.parametrize(
    "bad, finding",
    [
        (dict(space="gpt9"), "space='gpt9'"),
        (dict(target="tpu"), "target='tpu'"),
        (dict(method="magic"), "method='magic': must be one of exact, lts, random"),
        (dict(evaluations=9), "evaluations=9: is for lts and random"),
        (dict(budget_s=9), "budget_s=9: is for"),
        (dict(profile="no.json"), "profile='no.json': cannot be read"),
        (dict(seed=-1), "seed=-1"),
        (dict(method="lts", budget_s=0), "budget_s=0"),
        (dict(method="random", budget_s=1e308), "budget_s=1e+308"),
        (dict(method="lts", evaluations=0), "evaluations=0"),
        (dict(limits=dict(max_latency_s=0)), "max_latency_s=0"),
        (dict(limits=dict(max_peak_bytes=1e6)), "leave no architecture"),
        (dict(workload=Workload(prompt_len=500)), "must be at most max_len=192"),
        (dict(method="lts", objectives=("decoder_params", "speed")), "must be two or more different ones of"),
        (dict(method="lts", objectives=("latency_s", "peak_bytes")), "must include 'decoder_params'"),
        (dict(objectives=("decoder_params", "decode_s")), "new_tokens=0: must be above 0 where decode_s is asked for"),
        (dict(measure_s=0), "measure_s=0: must be a number above 0"),
        (dict(method="lts", measure_s=60), "measure_s=60: is for exact, not for method 'lts'"),
        (dict(ties="beauty"), "ties='beauty': must be one of homogeneous, shape, none (loss needs --proxy"),
        (dict(method="random", ties="shape"), "ties='shape': is for exact"),
    ],
)
def test_bad_settings_leave_nothing_behind(tmp_path, bad, finding):
    out = tmp_path / "run"
    with pytest.raises(InputError) as e:
        quiet_search(out=out, **bad)
    assert finding in str(e.value)
    assert not (out / "run.json").exists() and not (out / "store.sqlite").exists()


@pytest.mark.parametrize(
    "bad, finding",
    [
        (dict(proxy="dpeth"), "or the path of a loss law (No such file or directory)"),
        (dict(proxy=LAW, objectives=EXACT), "must include 'quality', which is predicted loss (loss = 2.000"),
        (dict(objectives=["quality", "latency_s"]), "must be two or three different ones of"),
        (
            dict(proxy="total_params", objectives=["quality", "total_params", "latency_s"]),
            "must include 'quality', which is total_params here, and not name that again",
        ),
        (dict(proxy=replace(LAW, coefficients=(99.0, 1.0, 1.0))), "must be above 0 and below 100"),
        (dict(method="lts"), "profile: is for method 'exact', not 'lts'"),
        (dict(workload=Workload(prompt_len=4)), "prompt_len=4: this profile covers 24 to 192"),
        (dict(space="gpt2"), "is not in this profile"),
    ],
)
def test_bad_settings_of_an_exact_search(bad, finding):
    with pytest.raises(InputError) as e:
        by_profile(**bad)
    assert finding in str(e.value)


@pytest.fixture(scope="module")
def by_law():
    return by_profile(proxy=LAW)


def test_the_frontier_by_a_law_is_that_of_every_architecture(by_law):
    found = by_law.full_frontier.F
    found = found[np.lexsort(found.round(13).T[::-1])]
    expected = frontier_values(F)
    assert found.shape == expected.shape and np.allclose(found, expected, rtol=1e-9, atol=1e-9)
    for frame in (by_law.frontier, by_law.candidates):
        predicted = LAW.predict(frame.n_layer, frame.d_model, frame.decoder_params)
        assert np.allclose(frame.predicted_loss, predicted, atol=1e-8, rtol=0)


def test_picks_by_a_law(by_law):
    for limit in (0.012, 0.02, 0.03):
        assert loss(by_law.pick(latency_s=limit)) == F[F[:, 1] <= limit, 0].min()
    assert by_law.pick() == by_law.full_frontier.population[knee(by_law.full_frontier.F)]
    large = (F[:, 1] <= 0.03) & (count(EVERY).decoder >= 2e6)
    assert loss(by_law.pick(decoder_params=2e6, latency_s=0.03)) == F[large, 0].min()
    with pytest.raises(InputError, match="must be a number above 0"):
        by_law.pick(latency_s=[1])
    with pytest.raises(InputError, match="budget predicted loss .nats. ≤ 1: no member of the frontier meets it"):
        by_law.pick(predicted_loss=1)
    with pytest.raises(InputError, match="predicted_loss=1: must be a limit on one of"):
        by_profile().pick(predicted_loss=1)


def test_partners_by_a_law_are_as_good_and_no_faster(by_law):
    picks = by_law.candidates[by_law.candidates.role == "lts"]
    both = picks.merge(by_law.frontier, left_on="pair", right_on="id", suffixes=("_lts", ""))
    assert len(both) >= 10 and (both.predicted_loss_lts <= both.predicted_loss).all()
    within = 1 + RESOLUTION  # what cannot be told apart is settled by the loss
    assert (pairs(by_law).predicted_ratio * within > 1).all() and (by_law.frontier.margin * within > 1).all()


def test_what_is_left_out_is_judged_by_perplexity(by_law):
    full, frontier = by_law.full_frontier, by_law.frontier
    ratios = np.c_[np.exp(full.F[:, 0]), full.F[:, 1:]]
    values = frontier[["predicted_loss", "predicted_latency_s", "peak_bytes"]].to_numpy()
    kept = choose_shown(np.exp(values[:, 0]), values[:, 1], values[:, 2:], 6)
    rows, epsilon = table(by_law, 6)
    assert set(rows.id) == set(frontier.id.str[:8].iloc[kept.best])
    stand_for_all = factor_of(*ratios[:, :2].T, np.exp(values[kept.best, 0]), values[kept.best, 1])
    assert np.isclose(1 + epsilon, stand_for_all)


def test_the_default_is_decoder_parameters():
    by_default, by_name = by_profile(), by_profile(proxy="decoder_params")
    pd.testing.assert_frame_equal(by_name.candidates, by_default.candidates)
    assert repr(by_name) == repr(by_default)


@pytest.mark.parametrize("proxy, column", [("total_params", "total_params"), ("depth", "n_layer")])
def test_other_counts(proxy, column):
    result, G = by_profile(proxy=proxy), np.c_[quality_of(proxy).of(EVERY), F[:, 1:]]
    assert result.full_frontier.F.shape == frontier_values(G).shape
    assert result.row(latency_s=0.03)[column] == -G[G[:, 1] <= 0.03, 0].min()
    unmeasured = replace(result, frontier=result.frontier[:0]).row()
    assert isinstance(unmeasured.n_layer, int | np.integer)
    assert headline(result, 9, 0).split(":")[0] == f"exact search of gpt2 on fake by {column}"
    assert ("all parameters [M]" in table(result)[0]) == (proxy == "total_params")


def test_two_latencies_without_a_word_about_epsilon():
    request = Workload(prompt_len=160, new_tokens=32)
    result = by_profile(objectives=("decoder_params", "latency_s", "decode_s"), workload=request)
    costs = [PROFILE.cost(name, FEW, request).predict(EVERY) for name in ("latency_s", "decode_s")]
    expected = frontier_values(np.c_[-count(EVERY).decoder, np.stack(costs, 1)].round(13))
    found = result.full_frontier.F.round(13)
    assert np.allclose(found[np.lexsort(found.T[::-1])], expected, rtol=1e-9, atol=1e-12)
    assert result.full_frontier.certificate["approximation"] == 0


@pytest.mark.parametrize("target", [dict(dtype="bfloat16", threads=1), dict(dtype="bfloat16", threads=2)])
@pytest.mark.parametrize("memory", ["peak_bytes", "kv_cache_bytes", "weight_bytes"])
def test_bfloat16_counts_two_bytes_a_value(target, memory):
    request = Workload(prompt_len=160, new_tokens=8)
    objectives, limits = ("decoder_params", "latency_s", memory), {"max_peak_bytes": 8_000_000}
    asked = dict(workload=request, limits=limits, objectives=objectives, measure_s=60.0, ties="shape")
    settings = SearchSettings(FEW, dict(name="fake") | target, **asked)
    check_settings(settings)
    found = compute_frontier(settings, replace(PROFILE, memory=MemoryForm.of(2)))
    peak = peak_bytes(EVERY, request, bytes_per_value=2)
    sizes = dict(peak_bytes=peak, weight_bytes=2 * count(EVERY).total)
    sizes["kv_cache_bytes"] = kv_cache_bytes(EVERY, context=request.context, bytes_per_value=2)
    values = np.c_[
        -count(EVERY).decoder, PROFILE.cost("latency_s", FEW, request).predict(EVERY).round(13), sizes[memory]
    ]
    assert 0 < (peak <= 8_000_000).sum() < len(peak)
    assert len(found.F) == len(frontier_values(values[peak <= 8_000_000]))
    for name in (memory, "peak_bytes"):
        counted = counted_values(name, found.population, request, memory=2)
        assert name != memory or (counted == found.F[:, 2]).all()
        assert name != "peak_bytes" or counted.max() <= 8_000_000


def test_two_objectives():
    result = by_profile(proxy=LAW, objectives=["latency_s", "quality"])
    assert result.full_frontier.F.shape == frontier_values(F[:, [1, 0]]).shape
    assert loss(result.pick(latency_s=0.03)) == F[F[:, 1] <= 0.03, 0].min()


@pytest.mark.parametrize("method", ["lts", "random"])
def test_sampling_by_a_law(method):
    result = quiet_search(FEW, FakeTarget(peak=10**8), method, evaluations=150, proxy=LAW)
    candidates, frontier = result.candidates[result.candidates.role == "candidate"], result.frontier
    predicted = LAW.predict(candidates.n_layer, candidates.d_model, candidates.decoder_params)
    assert set(frontier.id) == set(candidates.id[frontier_of(np.c_[predicted.round(9), candidates.latency_s])])
    baseline = result.baseline
    predicted = LAW.predict(baseline.n_layer, baseline.d_model, baseline.decoder_params)
    assert np.allclose(baseline.predicted_loss, predicted, atol=1e-8, rtol=0)
    picked = [result.row(latency_s=t).predicted_loss for t in frontier.latency_s]
    assert picked == frontier.predicted_loss.cummin().tolist()


def test_a_budget_of_time_becomes_a_number_of_evaluations():
    said = []
    result = search(TINY, FakeTarget(), "lts", budget_s=0.01, progress=False, say=said.append)
    assert (result.candidates.role == "candidate").sum() <= result.run["evaluations"]
    assert "evaluations fit" in said[-1]


class Meter(FakeTarget):
    "Measures energy as well: joules."

    readings = ("energy_j",)

    def measure(self, architecture, *args, **options):
        measurement = super().measure(architecture, *args, **options)
        return replace(measurement, extra=dict(energy_j=measurement.latency_s * architecture.n_layer))


def test_a_measured_objective_of_a_target(tmp_path):
    settings = dict(evaluations=60, objectives=("decoder_params", "energy_j"), limits=dict(max_energy_j=0.1))
    result = quiet_search(FEW, Meter(), "lts", out=tmp_path / "run", **settings)
    frontier, others = result.frontier, result.candidates[result.candidates.role == "candidate"]
    assert (frontier.energy_j <= 0.1).all() and np.allclose(frontier.energy_j, frontier.latency_s * frontier.n_layer)
    kept = others[others.energy_j <= 0.1]
    best = frontier_of(np.c_[-kept.decoder_params, kept.energy_j])
    assert set(frontier.id) == set(kept.id[best])
    opened = type(result).load(tmp_path / "run")
    assert "energy [J]" in table(opened)[0] and repr(opened) == repr(result)
    assert opened.plot().axes[0].get_xlabel() == "← better   energy [J]"
    assert opened.row(energy_j=0.05).energy_j <= 0.05


def test_what_a_target_does_not_measure_is_said_at_once():
    device = FakeTarget()
    with pytest.raises(InputError, match="^energy_j: is not read by target 'fake', which reads times and memory only$"):
        quiet_search(FEW, device, "lts", evaluations=60, limits=dict(max_energy_j=0.1, max_latency_s=9.0))
    for asked in (dict(limits=dict(max_energy_j=0.1)), dict(objectives=("decoder_params", "energy_j"))):
        with pytest.raises(InputError, match="^energy_j: does not add up over layers, .* use --method lts$"):
            quiet_search(FEW, Meter(), "exact", **asked)
    assert not device.asked


def test_a_method_of_ones_own():
    @register_method("walk")
    def walk(space, evaluate, budget, seed, accept):
        "One mutation after the other."
        rng, member, history = np.random.default_rng(seed), space.sample(1, seed), None
        for step in range(budget.evaluations):
            history = extend_history(history, member, evaluate(member), step)
            member = space.mutate(member, seed=rng)
        return history

    try:
        result = quiet_search(FEW, FakeTarget(), "walk", evaluations=20)
        assert result.run["method"] == "walk" and (result.candidates.role == "candidate").sum() == 20
        assert result.candidates.generation.max() == 19
    finally:
        METHODS.pop("walk")


def test_a_sampled_frontier_is_decided_by_some_rounds_and_told_by_others(monkeypatch):
    "What is told may be anything: it decides nothing; and what decides is not told."
    measure = sampling.measure_afresh

    def in_reverse(*args):
        found = measure(*args)
        return replace(found, told={a: m and replace(m, latency_s=1 / m.latency_s) for a, m in found.told.items()})

    plain = quiet_search(FEW, FakeTarget(), "lts", evaluations=40)
    monkeypatch.setattr(sampling, "measure_afresh", in_reverse)
    other = quiet_search(FEW, FakeTarget(), "lts", evaluations=40)
    for name in ("frontier", "baseline"):
        before, after = (getattr(result, name).set_index("id").latency_s for result in (plain, other))
        assert set(before.index) == set(after.index) and len(before) > 2
        assert after[before.index].to_numpy() == pytest.approx(1 / before.to_numpy())
