"""PyTorch on a graphics card, without one: what is waited for, warmed up, reset, compiled and given back."""

import gc
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch._dynamo.exc import TorchDynamoException

from lts_nb.core.errors import InputError, MeasurementFailed
from lts_nb.core.workload import Workload
from lts_nb.profiler.memory import WeightBuffer
from lts_nb.profiler.targets import torch_cuda
from lts_nb.profiler.targets.conformance import check_target
from lts_nb.profiler.targets.fake_cuda import FakeCuda, FakeEvent
from lts_nb.profiler.targets.registry import describe_target, get_target
from lts_nb.profiler.targets.torch_cuda import WARM_S, TorchCUDA
from lts_nb.profiler.timing import VISIT, Effort
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.memory import kv_cache_bytes

SMALL = Architecture("gpt2", d_model=32, n_head=(2, 4), d_inner=(64, 128), vocab_size=100, max_len=32)
REQUEST = Workload(prompt_len=8, new_tokens=2)
STEP = FakeCuda.seconds
FIXED = {name: [[0.25, 0.25]] for name in ("prefill_s", "decode_s", "reference_s")}
THREE = Effort(warmup=0, repetitions=3, seconds=0)


@pytest.fixture(scope="module")
def made_up():
    "The target's class, found as a worker finds it."
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        from cuda_in_tests import MadeUp

        yield MadeUp


@pytest.fixture
def cards(made_up, monkeypatch):
    "New cards for one test."
    monkeypatch.setattr(made_up, "made_up", FakeCuda())
    return made_up.made_up


@pytest.mark.parametrize("dtype", TorchCUDA.dtypes)
def test_it_keeps_the_contract(made_up, cards, monkeypatch, dtype):
    monkeypatch.setattr(made_up, "renew", lambda target: None)
    check_target(made_up(dtype=dtype))
    assert made_up(dtype=dtype).measure(SMALL, REQUEST, VISIT).weight_bytes == count(SMALL).total * (
        4 if dtype == "float32" else 2
    )


@pytest.mark.parametrize("backbone", ["llama", "lfm2"])
def test_other_families(made_up, cards, monkeypatch, backbone):
    monkeypatch.setattr(made_up, "renew", lambda target: None)
    heads = dict(n_head=(2, 4), n_kv_head=(1, 2)) if backbone == "llama" else dict(n_head=(2, 0), n_kv_head=(1, 0))
    check_target(made_up(), Architecture(backbone, 32, d_inner=(64, 96), vocab_size=100, max_len=32, d_head=8, **heads))


def test_a_fresh_process_measures_on_its_own_card(made_up, cards):
    target = made_up(dtype="bfloat16")
    target.reserve([SMALL])
    here = target.measure(SMALL, REQUEST, THREE)
    target.renew()
    assert target._buffer is None and cards.called[-1] == "empty_cache"  # the card is left to the other process
    before = len(cards.called)
    there = target.measure(SMALL, REQUEST, THREE)
    target.close()
    assert len(cards.called) == before
    assert (there.latency_s, there.peak_bytes) == pytest.approx((here.latency_s, here.peak_bytes))
    assert there.environment == here.environment
    assert not target.forks


def test_every_event_is_waited_for(made_up, cards, monkeypatch):
    "The made-up card complains of whatever is read too early; it does so without the waiting, too."
    made_up().measure(SMALL, REQUEST, THREE)
    monkeypatch.setattr(FakeEvent, "synchronize", lambda event: None)
    with pytest.raises(RuntimeError, match="before it was recorded and had passed"):
        made_up().measure(SMALL, REQUEST, THREE)


def test_phases_are_waited_for_and_parts_are_not(made_up, cards, monkeypatch):
    log = []
    for name, do in (("record", FakeEvent.record), ("synchronize", FakeEvent.synchronize)):
        monkeypatch.setattr(FakeEvent, name, lambda event, name=name, do=do: (log.append(name[0]), do(event)))
    timer = torch_cuda.card_timer(cards, "cpu", 8)
    first, second = timer.mark(), timer.mark()
    assert second - first == pytest.approx([STEP, STEP])
    timer.clock()
    assert "".join(log) == "rr" + "s" + "rs"  # marks; one to be read; a phase
    made_up().measure_parts(SMALL, REQUEST, THREE)
    prompt, two_tokens = "r" * 5 + "rs", "r" * 10 + "rs"
    assert "rs" + prompt + two_tokens in "".join(log)


def test_times_are_the_cards(made_up, cards):
    m = made_up().measure(SMALL, REQUEST, THREE)
    assert np.array(m.samples["prefill_s"]) == pytest.approx(np.full((3, 2), STEP))  # one clock, given twice
    assert np.array(m.samples["decode_s"]) == pytest.approx(np.full((3, 2), STEP))
    assert np.array(m.samples["reference_s"]) == pytest.approx(np.full((3, 2), STEP))
    assert (m.latency_clock, m.decode_s) == ("wall", pytest.approx(STEP / 2))


def test_parts_add_up_to_the_whole(made_up, cards):
    m = made_up().measure_parts(SMALL, REQUEST, THREE)
    parts, prompt, later = (np.array(m.samples[name]) for name in ("parts_s", "prefill_s", "decode_s"))
    assert parts[:, 0].sum(1) == pytest.approx(prompt[:, 0]) and parts[:, 1:].sum((1, 2)) == pytest.approx(later[:, 0])
    assert parts[:, 0] == pytest.approx(np.tile([STEP] * 4 + [2 * STEP], (3, 1)))  # outside: before and after the marks


def test_a_single_visit_is_warm_too(made_up, cards):
    cards.cold_s = WARM_S
    m = made_up().measure(SMALL, REQUEST, VISIT, memory=False)
    assert m.latency_s == pytest.approx(2 * STEP)  # a cold card takes twice as long
    assert cards.now >= WARM_S


def test_the_peak_is_forgotten_before_and_asked_after(made_up, cards):
    m = made_up().measure(SMALL, REQUEST, VISIT)
    asked = [name for name in cards.called if name != "empty_cache"]
    assert asked == [
        "synchronize",
        "reset_peak_memory_stats",
        "memory_allocated",
        "synchronize",
        "max_memory_allocated",
    ]
    assert m.peak_bytes == 4 * count(SMALL).total + cards.grows
    assert m.kv_cache_bytes == kv_cache_bytes(SMALL, 1, 10)
    asked.clear(), cards.called.clear()
    m = made_up().measure(SMALL, REQUEST, VISIT, memory=False)
    assert set(cards.called) <= {"empty_cache"} and m.kv_cache_bytes is None


@pytest.mark.parametrize("compiled, extra", [(False, 0), (True, 2)])
def test_compiling_is_not_timed(made_up, cards, compilations, monkeypatch, compiled, extra):
    made = []
    monkeypatch.setattr(torch_cuda, "timed", lambda *args: made.append(cards.now) or FIXED)
    made_up(compiled=compiled).measure(SMALL, REQUEST, VISIT, memory=False)
    assert made == pytest.approx([extra * 3 * STEP])  # two whole requests of three events each, and only then


@pytest.fixture
def compilations(monkeypatch):
    "How often a model was compiled, and how often what was compiled was forgotten."
    done = SimpleNamespace(forwards=0, resets=0)

    def reset():
        done.resets += 1

    def compile_(forward):
        done.forwards += 1
        return forward

    monkeypatch.setattr(torch, "compile", compile_)
    monkeypatch.setattr(torch.compiler, "reset", reset)
    return done


def test_compiled_only_where_asked(made_up, cards, compilations):
    other = Architecture("gpt2", d_model=32, n_head=(2,), d_inner=(64,), vocab_size=100, max_len=32)
    made_up().measure(SMALL, REQUEST, VISIT)
    assert (compilations.forwards, compilations.resets) == (0, 0)
    target = made_up(compiled=True)
    for architecture, request in ((SMALL, REQUEST), (SMALL, REQUEST), (other, REQUEST), (other, Workload(2, 4, 3))):
        target.measure(architecture, request, VISIT)
    assert (compilations.forwards, compilations.resets) == (2, 3)  # for each model; for each model and request
    assert (target.times_parts, made_up().times_parts) == (False, True)
    with pytest.raises(InputError, match="compiled=True: cannot time parts of a compiled model"):
        target.measure_parts(SMALL, REQUEST, VISIT)


def test_what_cannot_be_compiled_is_a_result(made_up, cards, monkeypatch):
    def no_triton(*args, **options):
        raise TorchDynamoException("Cannot find a working triton installation.\nA long story follows.")

    monkeypatch.setattr(torch, "compile", lambda forward: no_triton)
    target = made_up(compiled=True)
    for _ in range(2):  # it is tried again, not taken for done
        with pytest.raises(
            MeasurementFailed, match=r"^cannot be compiled .Cannot find a working triton installation..$"
        ):
            target.measure(SMALL, REQUEST, VISIT)
    monkeypatch.undo()
    assert made_up().measure(SMALL, REQUEST, VISIT).latency_s > 0


def test_a_compiled_model_keeps_the_contract(made_up, cards, compilations, monkeypatch):
    monkeypatch.setattr(made_up, "renew", lambda target: None)
    check_target(made_up(compiled=True))


def test_its_key_and_its_options(made_up, cards):
    cards.cards = 2
    target = get_target("made-up-cuda", dtype="float16", compiled=True, device=1)
    assert target.key == "made-up-cuda threads=1 dtype=float16 compiled=True"
    assert get_target(**describe_target(target)) == target != made_up(dtype="float16")
    environment = target.environment()
    assert (environment["gpu"], environment["gpu_capability"]) == ("made-up card", "9.0")
    assert target.cache_bytes() == 2**20


def test_memory_that_runs_out_is_a_result_and_is_given_back(made_up, cards, monkeypatch):
    alive = []

    def crowded(model, *args, **options):
        activation = torch.zeros(1000)
        alive.append(weakref.ref(activation))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines follow.")

    target = made_up()
    monkeypatch.setattr(torch_cuda, "request", crowded)
    with pytest.raises(MeasurementFailed, match=r"out of memory \(CUDA out of memory. Tried to allocate 2.00 GiB.\)"):
        cards.called.clear()
        target.measure(SMALL, REQUEST, VISIT)
    assert cards.called == ["empty_cache"] * 2  # a new buffer, and what failed
    monkeypatch.undo()
    assert target.measure(SMALL, REQUEST, VISIT).latency_s > 0


def test_nothing_of_what_failed_is_alive_when_memory_is_given_back(made_up, cards, monkeypatch):
    alive, left = [], []

    def crowded(*args, **options):
        activation = torch.zeros(1000)
        alive.append(weakref.ref(activation))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch_cuda, "request", crowded)
    monkeypatch.setattr(made_up, "release", lambda target: left.append([tensor() for tensor in alive]))
    gc.disable()
    try:
        with pytest.raises(MeasurementFailed):
            made_up().measure(SMALL, REQUEST, VISIT)
    finally:
        gc.enable()
    assert left == [[], [None]]  # when the buffer was made, and when the request had failed


def test_models_that_are_too_large_for_the_card(made_up, cards):
    cards.memory = 4_000_000
    wide = Architecture("gpt2", 256, (2,), (512,), 100)
    with pytest.raises(MeasurementFailed, match="must be at most three quarters of the 4 MB of the card"):
        made_up().measure(wide, REQUEST, VISIT)
    with pytest.raises(InputError, match="must be at most three quarters"):
        made_up().reserve([SMALL, wide])
    target = made_up()
    spare = target.reserve([SMALL], 10**7)
    assert 0 < spare == 3_000_000 - target._room(SMALL)


@pytest.mark.parametrize(
    "options, said",
    [
        (dict(device=1), "device=1: must be a whole number from 0 to 0"),
        (dict(compiled="yes"), "compiled='yes': must be one of False, True"),
        (dict(dtype="int8"), "dtype='int8': must be one of float32, bfloat16, float16"),
        (dict(threads=0), "threads=0: must be a whole number from 1"),
    ],
)
def test_options_that_cannot_be(made_up, cards, options, said):
    with pytest.raises(InputError) as e:
        made_up(**options)
    assert said in str(e.value)


@pytest.mark.parametrize("built, said", [(None, "is built without CUDA"), ("12.8", "PyTorch sees none; nvidia-smi")])
def test_no_card_is_one_line(monkeypatch, built, said):
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"^target='torch-cuda': no CUDA device .*{said}") as e:
        get_target("torch-cuda")
    assert "\n" not in str(e.value)


def test_full_precision_is_put_back_after_an_error():
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    with pytest.raises(ZeroDivisionError), torch_cuda.plain_float32():
        assert matmul.fp32_precision == "ieee"
        raise ZeroDivisionError
    assert matmul.fp32_precision == before


def test_products_are_in_full_precision_while_measured(made_up, cards, monkeypatch):
    seen, ask = set(), torch_cuda.request

    def request(*args, **options):
        seen.add(torch.backends.cuda.matmul.fp32_precision)
        return ask(*args, **options)

    monkeypatch.setattr(torch_cuda, "request", request)
    made_up().measure(SMALL, REQUEST, VISIT)
    assert seen == {"ieee"}


def test_buffers_go_where_the_weights_are():
    "Constants that a model was built with are on the processor, and follow its weights."
    model = torch.nn.BatchNorm1d(4)
    with torch.device("meta"):
        model.weight, model.bias = (torch.nn.Parameter(torch.empty(4)) for _ in range(2))
    lent = WeightBuffer(100, "float16", "meta").lend(model)
    places = {tensor.device.type for tensor in (*lent.parameters(), *lent.buffers())}
    assert places == {"meta"} and lent.weight.dtype == torch.float16
    assert (lent.running_mean.dtype, lent.num_batches_tracked.dtype) == (torch.float32, torch.int64)
