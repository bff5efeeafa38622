"""Affinity and control groups: what a container leaves is what counts, on made trees and in real processes."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from kit import SMALL, lts, quick_searches

from lts_nb.core.errors import InputError, MeasurementFailed, Remark
from lts_nb.core.workload import Workload
from lts_nb.profiler import machine
from lts_nb.profiler.container import ROOT, groups_of, memory_limit, quota_cores
from lts_nb.profiler.executor import LocalExecutor
from lts_nb.profiler.store import Store, moved_from
from lts_nb.profiler.targets import pytorch, torch_cpu
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.profiler.targets.registry import get_target
from lts_nb.searches.session import check_machine
from lts_nb.space.architecture import Architecture

UNLIMITED = "9223372036854771712"  # what version 1 says where there is no limit
SECOND = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"


def first(controllers: str, top: str = "/", place: str | None = None) -> str:
    "A line of mountinfo for a hierarchy of version 1."
    return f"33 31 0:29 {top} {place or '/sys/fs/cgroup/' + controllers} rw,relatime - cgroup cgroup rw,{controllers}"


@pytest.fixture
def tree(tmp_path):
    "Makes a tree of mounts, groups and files below /sys/fs/cgroup."

    def make(mounts: list, groups: list, **files) -> Path:
        content = {"proc/self/mountinfo": "\n".join(mounts), "proc/self/cgroup": "\n".join(groups)}
        content |= {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
        for name, text in content.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"{text}\n", encoding="utf-8")
        return tmp_path

    return make


@pytest.mark.parametrize(
    "quota, cores",
    [
        ("max 100000", None),
        ("100000 100000", 1),
        ("150000 100000", 1),
        ("50000 100000", 1),
        ("1000 100000", 1),
        ("399999 100000", 3),
        ("1600000 100000", 16),
        ("200000 50000", 4),
        ("0 100000", None),
        ("", None),
        ("many", None),
        ("-1 100000", None),
    ],
)
def test_a_quota_of_version_2(tree, quota, cores):
    assert quota_cores(tree([SECOND], ["0::/"], **{"cpu.max": quota})) == cores


def test_the_tightest_group_above_counts(tree):
    files = {"a/cpu.max": "250000 100000", "a/b/cpu.max": "max 100000", "a/b/c/cpu.max": "800000 100000"}
    files |= {"a/memory.max": "max", "a/b/memory.max": "3000000000", "a/b/c/memory.max": "4000000000"}
    root = tree([SECOND], ["0::/a/b/c"], **files, **{"other/cpu.max": "100000 100000"})
    assert (quota_cores(root), memory_limit(root)) == (2, 3_000_000_000)


def test_a_list_of_controllers_is_no_text_to_search_in(tree):
    "`cpuset` and `cpuacct` are not `cpu`, in whatever order they are listed."
    mounts = [first("net_cls,cpuset"), first("cpuacct"), first("cpu")]
    groups = ["9:net_cls,cpuset:/wrong", "5:cpuacct:/wrong", "2:cpu:/right", "1:name=systemd:/wrong"]
    files = {f"cpu/{group}/cpu.cfs_period_us": "100000" for group in ("right", "wrong")}
    files |= {"cpu/right/cpu.cfs_quota_us": "300000", "cpu/wrong/cpu.cfs_quota_us": "100000"}
    assert quota_cores(tree(mounts, groups, **files)) == 3


@pytest.mark.parametrize("quota, cores", [("-1", None), ("150000", 1), ("200000", 2), ("", None)])
def test_a_quota_of_version_1(tree, quota, cores):
    files = {"cpu,cpuacct/d/cpu.cfs_quota_us": quota, "cpu,cpuacct/d/cpu.cfs_period_us": "100000"}
    assert quota_cores(tree([first("cpu,cpuacct")], ["3:cpu,cpuacct:/d"], **files)) == cores


def test_a_container_that_sees_its_own_group_as_the_top(tree):
    "Docker with version 1: the group has the host's name, and its folder is mounted as the hierarchy itself."
    mounts = [first("memory", "/docker/4f"), first("cpu", "/docker/4f")]
    files = {"memory/memory.limit_in_bytes": "2147483648", "cpu/cpu.cfs_quota_us": "100000"}
    files |= {"cpu/cpu.cfs_period_us": "50000", "memory/job/memory.limit_in_bytes": "1073741824"}
    root = tree(mounts, ["4:memory:/docker/4f", "3:cpu:/docker/4f"], **files)
    assert (quota_cores(root), memory_limit(root)) == (2, 2**31)
    (root / "proc/self/cgroup").write_text("4:memory:/docker/4f/job\n", encoding="utf-8")
    assert memory_limit(root) == 2**30


def test_a_group_outside_of_what_is_seen(tree):
    root = tree([SECOND], ["0::/../../elsewhere"], **{"cpu.max": "200000 100000"})
    assert quota_cores(root) == 2 and groups_of("cpu", root) == [root / "sys/fs/cgroup"]


def test_both_versions_at_once(tree):
    mounts = [first("memory"), SECOND.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified ")]
    files = {"memory/j/memory.limit_in_bytes": "5000000000", "unified/j/memory.max": "4000000000"}
    assert memory_limit(tree(mounts, ["4:memory:/j", "0::/j"], **files)) == 4_000_000_000


def test_another_place_and_a_name_with_a_space(tree):
    mounts = [SECOND.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/my\\040groups ")]
    assert quota_cores(tree(mounts, ["0::/"], **{"my groups/cpu.max": "200000 100000"})) == 2


@pytest.mark.parametrize("limit", ["max", UNLIMITED, str(2**63 - 1), "", "0"])
def test_no_limit_of_memory(tree, limit):
    files = {"memory/memory.limit_in_bytes": limit, "memory.max": limit}
    assert memory_limit(tree([first("memory"), SECOND], ["4:memory:/", "0::/"], **files)) is None


def test_files_that_make_no_sense(tree):
    root = tree(["", "a b - ", "29 23 0:26", "x - cgroup2"], ["", "0", "0::", ":::"])
    assert quota_cores(root) is None and memory_limit(root) is None


@pytest.fixture
def bound(monkeypatch):
    "Binds this process to so many cores, as far as Python can tell, and to no share of them."
    quota_of = machine.quota_cores
    monkeypatch.setattr(machine, "quota_cores", lambda root=ROOT: None if root == ROOT else quota_of(root))

    def bind(cores: int):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
        monkeypatch.setattr(os, "process_cpu_count", lambda: cores, raising=False)

    return bind


@pytest.mark.parametrize("cores, quota, usable", [(8, "max", 8), (8, "300000", 3), (2, "300000", 2), (1, "50000", 1)])
def test_affinity_and_quota_together(tree, bound, cores, quota, usable):
    bound(cores)
    root = tree([SECOND], ["0::/"], **{"cpu.max": f"{quota} 100000"})
    assert machine.usable_cores(root) == usable and type(machine.usable_cores(root)) is int


def test_a_number_that_the_user_said(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "process_cpu_count", lambda: 3, raising=False)  # PYTHON_CPU_COUNT=3
    assert machine.usable_cores(tmp_path) == 3
    monkeypatch.setattr(os, "process_cpu_count", lambda: None)
    assert machine.usable_cores(tmp_path) == 1


@pytest.mark.parametrize("limit, counts", [("1000000", 1_000_000), (str(2**59), None), ("max", None)])
def test_memory_is_the_smaller_one(tree, tmp_path, limit, counts):
    whole = machine.memory_bytes(tmp_path)
    assert machine.memory_bytes(tree([SECOND], ["0::/"], **{"memory.max": limit})) == (counts or whole)


def test_workers_go_by_the_cores_that_count(bound):
    bound(3)
    with LocalExecutor() as pool:
        assert pool._max_workers == 3


def test_more_threads_than_cores_is_a_remark(bound, monkeypatch):
    bound(1)
    monkeypatch.setattr("lts_nb.profiler.targets.pytorch.machine_cores", lambda: 2)
    with pytest.warns(Remark, match="threads=2: this process may use 1 core, so threads wait for each other"):
        assert get_target("torch-cpu", threads=2).environment()["cores"] == 1
    with pytest.raises(InputError, match="threads=3: must be a whole number from 1 to 2"):
        get_target("torch-cpu", threads=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        get_target("torch-cpu", threads=1)


def test_a_run_goes_on_with_the_same_cores_only():
    then = dict(cpu="a", cores=2, torch="2.9")
    with pytest.raises(InputError, match="cores=2, now 1; .* so give this process as many cores again, or begin"):
        check_machine(then | dict(cores=1), then)
    with pytest.raises(InputError, match="mix them, so begin a new run"):
        check_machine(then | dict(cores=1, torch="2.10"), then)


def test_a_store_of_this_machine_with_other_cores(tmp_path, bound):
    asked = ("--space", tmp_path / "space.json", "--prompt-len", 16, "--held-out", 0, "--out")
    (tmp_path / "space.json").write_text(SMALL.to_json(), encoding="utf-8")
    bound(2)
    with quick_searches():
        code, _, err = lts("profile", *asked, tmp_path / "a.json", "--json")
        assert code == 0 and "was measured with" not in err
        (tmp_path / "a.json").unlink()
        bound(1)
        code, _, err = lts("profile", *asked, tmp_path / "a.json", "--json")
    lines = [line for line in err.splitlines() if "was measured with" in line]
    assert code == 0 and len(lines) == 1
    assert lines[0].endswith("was measured with cores=2, now 1; none of it counts here, so all is measured again")
    with Store(tmp_path / "a.sqlite") as store:
        assert moved_from(store, FakeTarget().environment()) and not moved_from(store, machine.describe_machine())


def test_a_new_store_has_moved_from_nowhere():
    assert moved_from(Store(), dict(cores=1)) == {}


BOUND = "import json; from lts_nb.profiler.machine import describe_machine; print(json.dumps(describe_machine()))"


@pytest.mark.skipif(shutil.which("taskset") is None, reason="there is no taskset")
def test_a_process_that_is_really_bound():
    allowed = str(min(os.sched_getaffinity(0)))
    command = ["taskset", "-c", allowed, sys.executable, "-c", BOUND]
    described = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert described["cores"] == 1


@pytest.mark.skipif(shutil.which("taskset") is None, reason="there is no taskset")
@pytest.mark.skipif(machine.usable_cores() < 2, reason="needs two cores")
def test_a_run_resumed_on_one_core(tmp_path, space_file):
    run = tmp_path / "run"
    with quick_searches():
        asked = ("--method", "lts", "--evaluations", 4, "--prompt-len", 16, "--space", space_file, "--out", run)
        assert lts("search", *asked)[0] == 0
    allowed = str(min(os.sched_getaffinity(0)))
    command = ["taskset", "-c", allowed, sys.executable, "-m", "lts_nb", "search", "--out", run, "--resume"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    said = f"cores={machine.usable_cores()}, now 1; one frontier must not mix them, so give this process as many cores"
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1) and said in done.stderr


def test_a_store_that_another_process_holds(tmp_path, monkeypatch):
    "Waiting is not tried here for the minute that a store waits."
    path, connect = tmp_path / "store.sqlite", sqlite3.connect
    Store(path).close()
    holder = connect(path, isolation_level=None)
    holder.execute("begin exclusive")
    monkeypatch.setattr(sqlite3, "connect", lambda place, timeout, **options: connect(place, timeout=0, **options))
    with pytest.raises(OSError, match="another process writes to it; wait until it ends") as caught:
        Store(path)
    assert caught.value.filename == str(path)
    holder.close()


def test_a_process_that_may_not_have_so_much_memory(monkeypatch):
    "What is too large fails by itself, and the others are measured."
    make, said = pytorch.WeightBuffer, "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."

    def limited(n_bytes, dtype, place):
        if n_bytes > 4e6:
            raise RuntimeError(said)
        return make(n_bytes, dtype, place)

    monkeypatch.setattr(pytorch, "WeightBuffer", limited)
    target, small, large = torch_cpu.TorchCPU(), *(Architecture("gpt2", d, (2,), (64,), 100) for d in (32, 512))
    assert target.reserve([small, large], spare=1000) == 0
    assert target.measure(small, Workload(prompt_len=8)).latency_s > 0
    with pytest.raises(MeasurementFailed, match="out of memory"):
        target.measure(large, Workload(prompt_len=8))
    assert target.reserve([small], spare=1000) == 1000
