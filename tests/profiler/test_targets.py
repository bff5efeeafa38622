"""A target from outside the package, and targets that break each promise of the contract."""

from dataclasses import replace

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.core.workload import Workload
from lts_nb.profiler.measurement import Measurement, summarize
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.store import Store, measure_once
from lts_nb.profiler.targets.conformance import check_target
from lts_nb.profiler.targets.contract import Target
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.profiler.targets.registry import TARGETS, describe_target, get_target, register_target
from lts_nb.profiler.timing import Effort
from lts_nb.space.architecture import Architecture
from lts_nb.space.space import SearchSpace


class Toy(Target):
    "An engine that computes a layer in a millisecond, and has a further option and a further reading."

    name = "toy"

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
        (dict(name="tpu"), "target='tpu': must be one of torch-cpu, onnx-cpu, onnx-cpu-int8, ssh://, toy"),
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


def test_without_parts_there_is_no_profile():
    class Opaque(FakeTarget):
        measure_parts = Target.measure_parts

    check_target(Opaque())
    with pytest.raises(InputError, match="cannot time parts of a model; search with --method lts"):
        DeviceProfile.measure(SearchSpace.preset("gpt2"), Opaque(), store=Store())


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
