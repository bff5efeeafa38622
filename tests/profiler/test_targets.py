"""A target from outside the package, and targets that break each promise of the contract."""

from dataclasses import replace

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.core.workload import Workload
from lts_nb.frontier.exact import exact_frontier
from lts_nb.profiler.measurement import Measurement, summarize
from lts_nb.profiler.profile.blocks import once_block
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.profile.fit import block_seconds
from lts_nb.profiler.profile.probes import measure_probes, measured_embeddings, prompt_lengths
from lts_nb.profiler.profile.whole_fit import fit_whole_table, steady_samples
from lts_nb.profiler.profile.whole_models import plan_whole_models
from lts_nb.profiler.store import Store, measure_once
from lts_nb.profiler.targets.conformance import check_target
from lts_nb.profiler.targets.contract import Target
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.profiler.targets.registry import TARGETS, describe_target, get_target, register_target
from lts_nb.profiler.timing import Effort
from lts_nb.searches.search import search
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.memory import peak_bytes
from lts_nb.space.space import SearchSpace


class Toy(Target):
    "An engine that computes a layer in a millisecond, and has a further option and a further reading."

    name, readings = "toy", ("energy_j",)

    def __init__(self, threads: int = 1, dtype: str = "float32", layer_s: float = 1e-3):
        self.threads, self.dtype, self.layer_s = threads, dtype, layer_s

    def options(self):
        return super().options() | dict(layer_s=self.layer_s)

    def environment(self):
        return dict(cpu="a toy")

    def measure(self, architecture, workload=Workload(), effort=Effort(), memory=True):
        workload.check(architecture.max_len)
        tokens = np.array([workload.prompt_len] + [1] * workload.new_tokens)
        parts = np.outer(tokens, np.full(2 * architecture.n_layer + 1, self.layer_s / 2))
        phases = dict(prefill_s=parts[0].sum(), decode_s=parts[1:].sum(), reference_s=1e-3)
        samples = {name: [[seconds, seconds]] * effort.repetitions for name, seconds in phases.items()}
        return Measurement(
            **summarize(samples, workload, "wall"),
            weight_bytes=1,
            peak_bytes=1,
            rss_bytes=None,
            samples=samples | dict(parts_s=[parts.tolist()] * effort.repetitions),
            environment=self.environment(),
            extra=dict(energy_j=9 * phases["prefill_s"]),
        )

    def measure_parts(self, architecture, workload=Workload(), effort=Effort(), place=0.0):
        return self.measure(architecture, workload, effort)


@pytest.fixture
def toy():
    "Registered for one test."
    register_target("toy", Toy)
    yield get_target("toy")
    del TARGETS["toy"]


def test_a_target_from_outside(toy):
    check_target(toy)
    assert describe_target(toy) == dict(name="toy", threads=1, dtype="float32", layer_s=1e-3)
    assert get_target(**describe_target(get_target("toy", layer_s=2.0))).layer_s == 2.0
    space = SearchSpace.preset("gpt2", n_layer=[1, 2, 3], d_model=64, d_inner=[128, 256], n_head=2, vocab_size=100)
    profile = DeviceProfile.measure(space, toy, Workload(prompt_len=8), held_out=4)
    assert profile.predict(space.sample(20, 0)).latency_s.to_numpy() == pytest.approx(
        [8e-3 * (a.n_layer + 0.5) for a in space.sample(20, 0)], rel=1e-3
    )
    assert profile.target["layer_s"] == 1e-3
    assert toy.measure(space.sample(1)[0]).reading("energy_j") > 0


def test_unknown_names_and_options(toy):
    for wrong, finding in (
        (dict(name="tpu"), "target='tpu': must be one of torch-cpu, "),
        (dict(name="toy", cores=2), "unknown option 'cores'; it takes threads and dtype and layer_s"),
    ):
        with pytest.raises(InputError) as e:
            get_target(**wrong)
        assert finding in str(e.value)
    with pytest.raises(InputError, match="is taken"):
        register_target("toy", Toy)
    register_target("toy", lambda **options: Toy(**options), replace=True)
    assert get_target("toy", threads=2).threads == 2  # any option goes to a function that takes any


def test_a_bug_in_a_factory_is_no_mistake_of_the_user():
    def broken(threads=1):
        raise TypeError("a bug")

    register_target("broken", broken)
    try:
        with pytest.raises(TypeError, match="a bug"):
            get_target("broken", threads=1)
    finally:
        del TARGETS["broken"]


class Opaque(FakeTarget):
    "Tells no parts apart, and needs twice the weights."

    measure_parts = Target.measure_parts

    def memory_form(self):
        return None

    def measure(self, architecture, workload=Workload(), effort=Effort(), memory=True):
        m = super().measure(architecture, workload, effort, memory)
        return replace(m, peak_bytes=2 * m.weight_bytes + 1_000_000, kv_cache_bytes=2 * 64)


LAYERS = SearchSpace.preset("gpt2", n_layer=[1, 2, 3, 6], d_model=[64, 96, 128], d_inner=[128, 256, 384], n_head=2)


def test_without_parts_a_profile_is_fitted_from_whole_models():
    check_target(Opaque())
    devices, request = (Opaque(), FakeTarget()), Workload(prompt_len=16)
    whole, parts = (DeviceProfile.measure(LAYERS, device, request, held_out=8) for device in devices)
    assert all(sample.is_whole for sample in whole.samples) and not any(sample.is_whole for sample in parts.samples)
    assert len(whole.samples) + 48 == DeviceProfile.n_measurements(LAYERS, request, 8, False)
    P = LAYERS.sample(100, 1)
    both = [profile.predict(P).latency_s.to_numpy() for profile in (whole, parts)]
    assert both[0] == pytest.approx(both[1], rel=0.08)
    assert whole.errors["prefill"].spearman > 0.98 and whole.errors["decode"].mape < 0.05
    again = DeviceProfile.from_json(whole.to_json())
    assert again.samples == whole.samples and again.to_json() == whole.to_json()


def test_memory_without_a_closed_form_is_fitted():
    profile = DeviceProfile.measure(LAYERS, Opaque(), Workload(prompt_len=16), held_out=0)
    assert profile.memory.weight == pytest.approx(8, rel=0.01) and profile.memory_error < 0.01
    assert DeviceProfile.from_json(profile.to_json()).memory == profile.memory
    found = exact_frontier(LAYERS, profile)
    peaks = peak_bytes(found.population, Workload(prompt_len=16), profile.memory)
    assert np.array_equal(found.F[:, 2], peaks)
    assert peaks == pytest.approx(8 * count(found.population).total + 1_000_000, rel=0.03)


def test_a_block_that_fails_is_named_with_its_own_reason():
    space = SearchSpace.preset("gpt2", n_layer=2, d_model=[64, 128], d_inner=[256], n_head=2, vocab_size=100)
    store, narrow = Store(), FakeTarget(widest=64)
    measure_once(store, Architecture("gpt2", 512, (2,), (512,)), Workload(), narrow, {})  # failed for another reason
    with pytest.raises(
        InputError, match=r"block d_model=128 at prompt_len=\d+: .* .MeasurementFailed: d_model=128: must"
    ):
        DeviceProfile.measure(space, narrow, Workload(prompt_len=64), store)
    store.own_failures.clear()  # another day, with more memory
    assert DeviceProfile.measure(space, FakeTarget(), Workload(prompt_len=64), store, held_out=0).errors is None


def changed(**fields):
    "A fake target whose measurements are changed so."

    class Changed(FakeTarget):
        def measure(self, architecture, workload=Workload(), effort=Effort(), memory=True):
            m = super().measure(architecture, workload, effort, memory)
            return replace(m, **{name: change(m) for name, change in fields.items()})

    return Changed()


def without(m, name):
    return {key: value for key, value in m.samples.items() if key != name}


@pytest.mark.parametrize(
    "target, sentence",
    [
        (changed(latency_s=lambda m: 2 * m.latency_s), "latency_s is what summarize says"),
        (changed(decode_s=lambda m: 0.0), "decode_s"),
        (changed(latency_clock=lambda m: "sun"), "latency_clock is one of wall, thread_cpu"),
        (changed(samples=lambda m: without(m, "reference_s")), "samples['reference_s'] holds at least 2 pairs"),
        (changed(samples=lambda m: without(m, "parts_s")), "samples['parts_s'] has shape"),
        (changed(weight_bytes=lambda m: 0), "weights and peak have a size"),
        (changed(environment=lambda m: dict(cpu="another")), "carries the target's environment"),
        (changed(extra=lambda m: dict(energy_j=float("nan"))), "extra holds numbers"),
    ],
)
def test_broken_promises_of_measure(target, sentence):
    with pytest.raises(AssertionError) as e:
        check_target(target)
    assert sentence in str(e.value)


@pytest.mark.parametrize(
    "name, value, sentence",
    [
        ("name", "", "name is a text"),
        ("threads", 0, "threads is a whole number"),
        ("key", "another", "key is one line with the name in it"),
        ("environment", lambda self: dict(cores=2), "environment says which cpu"),
        ("environment", lambda self: dict(cpu=("a", "b")), "environment survives JSON"),
        ("options", lambda self: dict(dtype="float32"), "options hold threads and dtype"),
        ("readings", ("energy_j",), "extra holds energy_j"),
        ("readings", ("warmth",), "readings are metrics"),
        ("cache_bytes", lambda self: 0, "cache_bytes is a size or None"),
        ("reserve", lambda self, architectures, spare=0: 2 * spare, "reserve returns the bytes to spare"),
        (
            "measure",
            lambda self, a, w, e, memory=True: FakeTarget.measure(self, replace(a, max_len=99), w, e),
            "max_len",
        ),
    ],
)
def test_broken_promises_of_the_description(name, value, sentence):
    with pytest.raises(AssertionError) as e:
        check_target(type("Broken", (FakeTarget,), {name: value})())
    assert sentence in str(e.value)


def test_what_any_pass_takes_goes_to_what_is_there_once():
    lengths = prompt_lengths(Workload(prompt_len=16))
    samples = measure_probes(plan_whole_models(LAYERS, lengths), Opaque(seconds_per_part=1e-2), Store())
    table, fit, planes = fit_whole_table(samples, LAYERS, "prefill", lengths[-1], 4.0)
    for d_model, seconds in table.once.items():
        blocks = [once_block(LAYERS, d_model, embedding) for embedding in measured_embeddings(LAYERS, d_model)]
        assert seconds == pytest.approx([fit.overhead + each for each in block_seconds(planes, blocks)])


def test_a_machine_that_wanders_is_told_from_its_models():
    request = Workload(prompt_len=16)
    lengths, device = prompt_lengths(request), Opaque(drift=1.0, drift_period=600)
    samples = measure_probes(plan_whole_models(LAYERS, lengths), device, Store())
    steady = steady_samples(samples, LAYERS, lengths, 4.0)
    still = {s.architecture: Opaque().measure(s.architecture, request).prefill_s for s in samples}
    scatters = []
    for found in (samples, steady):
        chosen = [s for s in found if s.workload.prompt_len == 16 and s.workload.logits == "last"]
        scatters.append(np.std([np.log(s.parts_s[0][0] / still[s.architecture]) for s in chosen]))
    assert scatters[1] < scatters[0] / 2


def test_a_space_that_a_target_never_runs_is_refused_before_anything_is_measured():
    class Picky(FakeTarget):
        backbones = ("llama",)

    picky = Picky()
    for method in ("exact", "lts"):
        with pytest.raises(InputError, match="backbone='gpt2': target 'fake' runs llama"):
            search(LAYERS, picky, method, Workload(prompt_len=16), progress=False)
    assert not picky.asked


def test_an_engine_that_spares_positions_of_the_last_layer_is_found_out():
    request = Workload(prompt_len=32, new_tokens=4)
    device = Opaque(spares=True, seconds_per_part=1e-5, seconds_per_flop=1e-9)
    profile = DeviceProfile.measure(LAYERS, device, request, held_out=8)
    P = list(LAYERS.sample(60, 1))
    for asked in (request, Workload(prompt_len=32), Workload(prompt_len=32, logits="all")):
        true = [device.seconds(a, asked) for a in P]
        assert profile.predict(P, asked).latency_s.to_numpy() == pytest.approx(true, rel=0.12)
    narrow_last, wide_last = (
        replace(P[0], n_head=(2, 2), d_inner=widths, d_model=64) for widths in ((384, 128), (128, 384))
    )
    told = profile.predict([narrow_last, wide_last], request)
    gain = np.divide(*(device.parts(a, request)[0].sum() for a in (wide_last, narrow_last)))
    assert gain < 0.9 and told.prefill_s[1] / told.prefill_s[0] == pytest.approx(gain, rel=0.05)
    assert told.decode_s[1] == pytest.approx(told.decode_s[0])
    every = profile.predict([narrow_last, wide_last], Workload(prompt_len=32, logits="all")).prefill_s
    assert every[1] == pytest.approx(every[0])
    again = DeviceProfile.from_json(profile.to_json())
    assert again.predict(P, request).equals(profile.predict(P, request))
    assert DeviceProfile.measure(LAYERS, Opaque(), request, held_out=0).fit.prefill[0].last_ffn is None


def test_limits_of_memory_are_checked_by_the_form_that_the_profile_fitted():
    totals = count(LAYERS.sample(200, 0)).total
    limit = float(np.median(8 * totals + 1_000_000))
    request, limits = Workload(prompt_len=16), dict(max_peak_bytes=limit)
    found = search(LAYERS, Opaque(), "exact", request, limits=limits, progress=False, measure_s=5)
    chosen = found.candidates[found.candidates.role.isin(["lts", "rival"])].architecture
    for text in [*found.frontier.architecture, *chosen]:  # the baseline is measured whatever it needs
        assert 8 * count(Architecture.from_json(text)).total + 1_000_000 < 1.03 * limit
