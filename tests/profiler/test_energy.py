"""Meters of energy: made-up counters, what cannot be read, and what of it reaches a measurement and a search."""

import os
import sys
from types import SimpleNamespace

import pytest

from lts_nb.core.errors import InputError
from lts_nb.core.workload import Workload
from lts_nb.profiler import energy
from lts_nb.profiler.targets import torch_cpu, torch_cuda
from lts_nb.profiler.targets.conformance import check_target
from lts_nb.profiler.targets.fake_cuda import FakeCuda
from lts_nb.profiler.targets.torch_cpu import TorchCPU
from lts_nb.profiler.targets.torch_cuda import TorchCUDA
from lts_nb.profiler.timing import VISIT
from lts_nb.searches.search import search
from lts_nb.space.architecture import Architecture
from lts_nb.space.space import SearchSpace

SMALL = Architecture("gpt2", d_model=32, n_head=(2, 4), d_inner=(64, 128), vocab_size=100, max_len=32)
REQUEST = Workload(prompt_len=8, new_tokens=2)


class Steady:
    "A meter that counts two joules whenever it is asked."

    least_s, counted = 0.0, 0.0

    def joules(self):
        self.counted += 2.0
        return self.counted


@pytest.fixture
def powercap(tmp_path):
    "A function that shows counters: name of the folder -> (name, microjoules, where it begins again)."

    def show(**zones):
        for folder, (name, counted, size) in zones.items():
            zone = tmp_path / folder.replace("_", ":").replace("rapl", "intel-rapl")
            zone.mkdir(exist_ok=True)
            for file, value in (("name", name), ("energy_uj", counted), ("max_energy_range_uj", size)):
                (zone / file).write_text(f"{value}\n", encoding="ascii")
        return tmp_path

    return show


def test_packages_add_up_and_begin_again(powercap):
    sizes = 262_143_328_850, 65_532_610_987
    folder = powercap(rapl_0=("package-0", 262_143_328_000, sizes[0]), rapl_1=("package-1", 5, sizes[1]))
    powercap(rapl_0_0=("core", 1, sizes[0]), rapl_1_0=("dram", 1, sizes[1]), rapl_2=("psys", 1, sizes[0]))
    meter = energy.rapl_meter(folder)
    assert meter.joules() == 0
    powercap(rapl_0=("package-0", 150, sizes[0]), rapl_1=("package-1", 1_000_005, sizes[1]))
    powercap(rapl_0_0=("core", 10**9, sizes[0]), rapl_1_0=("dram", 10**9, sizes[1]), rapl_2=("psys", 10**9, sizes[0]))
    assert meter.joules() == pytest.approx(1 + 1e-3)  # a joule, and 850 + 150 microjoules over the end
    powercap(rapl_0=("package-0", 1_000_150, sizes[0]), rapl_1=("package-1", 5, sizes[1]))
    assert meter.joules() == pytest.approx(1 + 1e-3 + 1 + (sizes[1] - 1_000_000) / 1e6)


def test_a_counter_that_is_not_there_or_not_readable_is_one_line(powercap, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="^energy_j: no energy counter in .*; only Linux shows one.*container$"):
        energy.rapl_meter(tmp_path / "nowhere")
    with pytest.raises(InputError, match="^energy_j: no energy counter in"):
        energy.rapl_meter(powercap(rapl_0=("psys", 1, 2)))  # of the whole platform only
    folder = powercap(rapl_0=("package-0", 1, 2))
    assert energy.rapl_meter(folder).joules() == 0

    def forbidden(meter):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(energy.RaplMeter, "_read", forbidden)
    with pytest.raises(
        InputError, match="^energy_j: .* cannot be read .Permission denied.; run as root, or .*chmod a.r"
    ):
        energy.rapl_meter(folder)


@pytest.mark.skipif(os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_file_that_only_root_reads(powercap):
    folder = powercap(rapl_0=("package-0", 1, 2))
    (folder / "intel-rapl:0" / "energy_uj").chmod(0)
    with pytest.raises(InputError, match="run as root"):
        energy.rapl_meter(folder)


class NoMeter(Exception):
    "As NVML raises it."


class Nvml:
    "What stands for pynvml: a card that says these millijoules, one after the other, and then that it cannot."

    NVMLError = NoMeter

    def __init__(self, *counted):
        self.left, self.started = list(counted), 0

    def nvmlInit(self):
        self.started += 1

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if uuid != "GPU-made-up-0":
            raise NoMeter("Not Found")
        return "handle"

    def nvmlDeviceGetTotalEnergyConsumption(self, card):
        if card != "handle" or not self.left or not self.started:
            raise NoMeter("Not Supported")
        return self.left.pop(0)


def test_a_card_counts_millijoules():
    meter = energy.nvml_meter("GPU-made-up-0", Nvml(7_000, 7_250, 9_000))
    assert (meter.joules(), meter.joules()) == (0.25, 2.0)


@pytest.mark.parametrize("uuid, said", [("GPU-another", "Not Found"), ("GPU-made-up-0", "Not Supported")])
def test_a_card_without_a_counter_is_one_line(uuid, said):
    with pytest.raises(InputError, match=f"^energy_j: the card's energy counter cannot be read .{said}.; cards before"):
        energy.nvml_meter(uuid, Nvml())


def test_without_pynvml_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(InputError, match=r"^energy_j: needs nvidia-ml-py .*pip install 'lts_nb\[nvml\]'"):
        energy.nvml_meter("GPU-made-up-0")


def test_a_request_is_repeated_for_as_long_as_the_meter_needs():
    class Card:
        least_s, now = 1.0, 0.0

        def joules(self):
            return 200.0 * self.now

        def run(self):
            self.now += 0.3

    card = Card()
    assert energy.energy_of(card, card.run, lambda: card.now) == pytest.approx(60)
    assert card.now == pytest.approx(1.2)
    slow = Card()
    slow.least_s = 0.0
    assert energy.energy_of(slow, slow.run, lambda: slow.now) == pytest.approx(60)
    assert slow.now == pytest.approx(0.3)  # at least once


def test_a_processor_with_a_meter(monkeypatch):
    monkeypatch.setattr(torch_cpu, "rapl_meter", Steady)
    monkeypatch.setattr(TorchCPU, "renew", lambda target: None)
    target = TorchCPU()
    check_target(target)
    assert target.readings == ("energy_j",)
    assert target.measure(SMALL, REQUEST, VISIT).extra == {"energy_j": 2.0}
    assert target.measure(SMALL, REQUEST, VISIT, memory=False).extra == {}
    assert target.measure_parts(SMALL, REQUEST, VISIT).extra == {}


def test_a_card_with_a_meter(monkeypatch):
    class MadeUp(TorchCUDA):
        name, place, reference_width, cuda = "made-up", "cpu", 8, FakeCuda()

        def renew(self):
            "Stay here."

    asked = []
    monkeypatch.setattr(torch_cuda, "nvml_meter", lambda uuid: asked.append(uuid) or Steady())
    target = MadeUp()
    check_target(target)
    assert target.measure(SMALL, REQUEST, VISIT).extra == {"energy_j": 2.0}
    assert asked == ["GPU-made-up-0"]  # once


def without_meter():
    raise InputError("energy_j: no energy counter here")


def test_without_a_meter_nothing_is_run_for_it(monkeypatch):
    requests, ask = [], torch_cpu.request
    monkeypatch.setattr(torch_cpu, "request", lambda *args, **options: requests.append(1) or ask(*args, **options))
    monkeypatch.setattr(torch_cpu, "rapl_meter", without_meter)
    target = TorchCPU()
    assert (target.readings, target.measure(SMALL, REQUEST, VISIT).extra) == ((), {})
    assert len(requests) == 3  # two of memory and one of time


@pytest.mark.parametrize(
    "asked", [dict(objectives=("decoder_params", "energy_j")), dict(limits=dict(max_energy_j=1.0))]
)
@pytest.mark.parametrize(
    "meter, said",
    [
        (without_meter, "^energy_j: no energy counter here$"),
        (lambda: SimpleNamespace(joules=lambda: 1.0), "stands still"),
    ],
)
def test_a_search_says_at_once_why_there_is_no_energy(monkeypatch, tmp_path, asked, meter, said):
    monkeypatch.setattr(torch_cpu, "rapl_meter", meter)
    monkeypatch.setattr(TorchCPU, "measure", lambda *args, **options: pytest.fail("something was measured"))
    with pytest.raises(InputError, match=said):
        search("gpt2", "torch-cpu", "lts", evaluations=5, out=tmp_path / "run", progress=False, **asked)
    assert not list((tmp_path / "run").glob("*.json")) and not list((tmp_path / "run").glob("*.sqlite"))


def test_a_search_by_energy(monkeypatch):
    monkeypatch.setattr(torch_cpu, "rapl_meter", Steady)
    monkeypatch.setattr(TorchCPU, "renew", lambda target: None)
    shape = dict(n_layer=[1, 2], d_model=[32, 64], d_inner=[64, 128], n_head=[2], vocab_size=[100], max_len=32)
    asked = dict(evaluations=6, objectives=("decoder_params", "energy_j"), workload=REQUEST)
    result = search(SearchSpace.preset("gpt2", **shape), TorchCPU(), "lts", progress=False, say=list, **asked)
    assert (result.candidates.energy_j.dropna() == 2.0).all() and result.frontier.energy_j.eq(2.0).all()
