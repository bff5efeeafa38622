"""Any processor: unknown caches, one core, no /proc, no sysctl."""

import os
from pathlib import Path

import psutil
import pytest

from lts_nb.profiler import machine, memory
from lts_nb.profiler.targets import torch_cpu
from lts_nb.space.architecture import Architecture

NO_GROUPS = Path(__file__).parent  # a folder that holds no control groups


@pytest.fixture
def no_proc(monkeypatch):
    "A system without /proc."
    read = Path.read_text

    def without_proc(self, *args, **options):
        if str(self).startswith("/proc"):
            raise FileNotFoundError(str(self))
        return read(self, *args, **options)

    monkeypatch.setattr(Path, "read_text", without_proc)


def test_memory_and_cores_are_what_stored_descriptions_have():
    if not hasattr(os, "sysconf"):
        pytest.skip("Windows")
    assert machine.memory_bytes(NO_GROUPS) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert machine.machine_cores() == os.cpu_count()


def test_without_proc(no_proc, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: (_ for _ in ()).throw(FileNotFoundError("/proc/meminfo")))
    described = machine.describe_machine()
    assert described["memory_bytes"] is None and isinstance(described["cpu"], str)
    ran = []
    assert memory.resident_growth(lambda: ran.append(1)) is None and ran == [1]


def test_memory_unknown_refuses_nothing(monkeypatch):
    monkeypatch.setattr(torch_cpu, "memory_bytes", lambda: None)
    assert torch_cpu.TorchCPU().reserve([Architecture("gpt2", 32, (2,), (64,), 100)], spare=1000) == 1000


@pytest.mark.parametrize("sizes, found", [([], None), (["1024"], 1024), (["32K", ""], 32768), (["1G", "2M"], 2**30)])
def test_caches(tmp_path, sizes, found):
    for index, size in enumerate(sizes):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(size)
    assert machine.last_level_cache(tmp_path) == found


def test_a_cache_that_may_not_be_read_is_unknown(tmp_path, monkeypatch):
    (tmp_path / "index0" / "size").mkdir(parents=True)
    assert machine.last_level_cache(tmp_path) is None
    (tmp_path / "index1").mkdir()
    (tmp_path / "index1" / "size").write_text("unknown")
    assert machine.last_level_cache(tmp_path) is None


def test_a_reboot_leaves_the_machine_the_same(monkeypatch):
    before = machine.describe_machine()
    total = psutil.virtual_memory().total
    monkeypatch.setattr(machine, "memory_bytes", lambda: total - 4096)
    after = machine.describe_machine()
    assert after != before and machine.same_machine(before, after)
    assert machine.differences(before, after | {"cores": 1000}) == {"cores": (before["cores"], 1000)}
