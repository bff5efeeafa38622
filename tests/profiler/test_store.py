"""The store under kills, full disks, foreign and damaged files, files of version 1, and several processes."""

import gzip
import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lts_nb.core.errors import InputError, MeasurementFailed
from lts_nb.core.workload import Workload
from lts_nb.profiler.store import Store, environment_key, measure_once
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.space.architecture import Architecture

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
VERSION_1 = """create table measurement (
    architecture text, workload text, target text, environment text, occasion text,
    candidate text not null, body text, error text, seconds real not null,
    primary key (architecture, workload, target, environment, occasion)) without rowid"""
WRITER = """
import sys
from lts_nb.core.workload import Workload
from lts_nb.profiler.store import Store, measure_once
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.space.architecture import Architecture
with Store(sys.argv[1]) as store:
    for i in range(len(store) + 1, 10**6):
        measure_once(store, Architecture("gpt2", 2 * i, (2,), (2,)), Workload(), FakeTarget(), {})
        print(i, flush=True)
"""


def architectures(n: int) -> list:
    return [Architecture("gpt2", 2 * i, (2,), (2,)) for i in range(1, n + 1)]


def ask(store, architecture, target, **options):
    return measure_once(store, architecture, Workload(), target, {}, **options)[0]


@pytest.fixture
def version_1(tmp_path) -> Path:
    "An empty store as the first release candidates made it."
    db = sqlite3.connect(path := tmp_path / "old.sqlite")
    db.executescript(f"{VERSION_1}; pragma application_id = {0x4C54534E}; pragma user_version = 1")
    db.close()
    return path


def test_killed_again_and_again(tmp_path):
    "Every row that a process announced as filed is there after it was killed, and the file is sound."
    announced = 0
    for k in range(6):
        command = [sys.executable, "-c", WRITER, tmp_path / "s.sqlite"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            for _ in range(1 + 7 * k):
                announced = int(writer.stdout.readline())
            writer.kill()
        with Store(tmp_path / "s.sqlite") as store:
            assert len(store) >= announced
            assert store.execute("pragma integrity_check") == [("ok",)]


def test_the_first_failure_is_the_first_that_was_filed():
    for reverse in (False, True):
        store, narrow = Store(), FakeTarget(widest=1)
        filed = sorted(architectures(9), key=lambda a: a.id, reverse=reverse)
        for architecture in filed:
            assert ask(store, architecture, narrow) is None
        assert store.first_error() == f"MeasurementFailed: d_model={filed[0].d_model}: must be at most 1 on this device"
        assert [row["architecture"] for row in store.measurements()] == filed


def test_failures_are_tried_once_more_a_day(tmp_path):
    a, device = architectures(1)[0], FakeTarget(widest=1)
    for day in (1, 2, 3):
        with Store(tmp_path / "s.sqlite") as store:
            for _ in range(3):
                assert ask(store, a, device, retry_failed=True) is None
        assert len(device.asked) == day
    with Store(tmp_path / "s.sqlite") as store:
        assert ask(store, a, FakeTarget()) is None  # nobody asked for another try
        assert ask(store, a, FakeTarget(), retry_failed=True).latency_s > 0
        assert (len(store), store.first_error()) == (1, None)
        assert ask(store, a, FakeTarget(stop_after=0), retry_failed=True).latency_s > 0  # what succeeded stays


@pytest.mark.parametrize(
    "error, filed",
    [
        (MeasurementFailed("no such operator"), True),
        (MemoryError(), True),
        (InputError("threads=9"), False),
        (ValueError("cannot broadcast"), False),
        (RuntimeError("shapes"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_only_failures_of_the_candidate_are_filed(error, filed):
    class Failing(FakeTarget):
        def measure(self, *args, **options):
            raise error

    store = Store()
    if filed:
        assert ask(store, architectures(1)[0], Failing()) is None
    else:
        with pytest.raises(type(error)):
            ask(store, architectures(1)[0], Failing())
    assert len(store) == filed


def test_what_is_filed_first_stays():
    class Beaten(FakeTarget):
        "While it measures, another process files the same measurement."

        def measure(self, architecture, workload, **options):
            ask(store, architecture, quick)
            return super().measure(architecture, workload, **options)

    store, quick, a = Store(), FakeTarget(seconds_per_part=1e-6), architectures(1)[0]
    assert ask(store, a, Beaten()) == quick.measure(a)


def test_two_processes_make_one_file(tmp_path):
    with Store(tmp_path / "s.sqlite") as one, Store(tmp_path / "s.sqlite") as other:
        ask(one, architectures(1)[0], FakeTarget())
        assert len(other) == 1 and ask(other, architectures(1)[0], FakeTarget(stop_after=0)).latency_s > 0


def test_a_full_disk_keeps_what_was_filed(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        store.execute("pragma max_page_count = 6")
        with pytest.raises(OSError, match="database or disk is full"):
            for architecture in architectures(99):
                ask(store, architecture, FakeTarget())
        assert 0 < len(store) < 99 and len(store.measurements()) == len(store)


def test_foreign_files_are_refused(tmp_path):
    (path := tmp_path / "text.sqlite").write_text("this is no database, but long enough to look at " * 20)
    with pytest.raises(InputError, match="is damaged or not a store"):
        Store(path)
    assert path.read_text().startswith("this is no database")
    db = sqlite3.connect(tmp_path / "other.sqlite")
    db.executescript("create table t (x)")
    db.close()
    with pytest.raises(InputError, match="is not a store of lts_nb"):
        Store(tmp_path / "other.sqlite")
    with pytest.raises(OSError, match="unable to open database file"):
        Store(tmp_path / "no" / "such" / "folder" / "s.sqlite")


def test_other_tables_may_stand_beside(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        assert not store.has_table("trial")
        store.execute("create table trial (name text)")
        assert store.execute("insert into trial values (?)", ("first",)) == []
    with Store(tmp_path / "s.sqlite") as store:
        assert store.has_table("trial") and store.execute("select name from trial") == [("first",)]


def test_version_1_is_read_and_added_to(version_1):
    a, b = architectures(2)
    with Store(version_1) as store:
        assert (store.version, len(store), store.first_error()) == (1, 0, None)
        assert ask(store, a, FakeTarget(widest=1)) is None
        made = ask(store, b, FakeTarget())
        assert store.first_error().startswith("MeasurementFailed: d_model=2")
    with Store(version_1) as store:
        assert (store.version, len(store)) == (1, 2)
        assert ask(store, b, FakeTarget(stop_after=0)) == made
        assert ask(store, a, FakeTarget(), retry_failed=True).latency_s > 0 and len(store) == 2
    assert sqlite3.connect(version_1).execute("pragma user_version").fetchone() == (1,)


OLD = ("gpt2_lts/store.sqlite.gz", "study/study.sqlite")  # of version 1, and stay so


@pytest.mark.parametrize(
    "path", sorted(BENCHMARKS.glob("*/*.sqlite*")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_stored_files_open(path):
    "The files under benchmarks are of either version: each row is found again by what it was filed under."
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "s.sqlite"
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rb") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
        version = sqlite3.connect(copy).execute("pragma user_version").fetchone()[0]
        assert version in (1, 2) and (version == 1 or f"{path.parent.name}/{path.name}" not in OLD)
        with Store(copy) as store:
            rows = store.measurements()
            assert len(rows) == len(store) and (rows or store.execute("select count(*) from trial")[0][0])
            for row in rows[:5]:

                class Recorded(FakeTarget):
                    key = row["target"]

                found, seconds = measure_once(
                    store,
                    row["architecture"],
                    row["workload"],
                    Recorded(stop_after=0),
                    row["measurement"].environment,
                    row["occasion"],
                )
                assert (found, seconds) == (row["measurement"], row["seconds"])
            assert store.version == version


NOW = dict(cpu="x", cores=2, memory_bytes=2**33, last_level_cache_bytes=2**25, python="3.12.3", torch="2.9")
SAME = [
    {},
    dict(memory_bytes=2**33 - 4096),
    dict(memory_bytes=None),
    dict(memory_bytes=2**33 + 2**27, python="3.12.4"),
    dict(last_level_cache_bytes=None),
]
OTHER = [dict(cpu="y"), dict(cores=4), dict(torch="2.10"), dict(python="3.13.0"), dict(last_level_cache_bytes=2**26)]


class Described(FakeTarget):
    "A device whose description is given."

    described = NOW

    def environment(self):
        return self.described


def measure_as(store, described: dict) -> int:  # how many measurements were made
    "Measure an architecture on a device with this description."
    target = Described()
    target.described = described
    measure_once(store, architectures(1)[0], Workload(), target, target.environment())
    return len(target.asked)


@pytest.mark.parametrize("moved", SAME)
def test_a_reboot_measures_nothing_again(moved):
    with Store() as store:
        assert measure_as(store, NOW) == 1
        assert measure_as(store, NOW | moved) == 0


@pytest.mark.parametrize("moved", OTHER)
def test_another_machine_measures_itself(moved):
    with Store() as store:
        assert measure_as(store, NOW) == measure_as(store, NOW | moved) == 1
        assert measure_as(store, NOW) == measure_as(store, NOW | moved) == 0


@pytest.mark.parametrize("moved", SAME)
def test_keys_that_hash_whole_descriptions_are_gone_on_with(moved):
    old = hashlib.sha256(json.dumps(NOW, sort_keys=True).encode()).hexdigest()[:12]
    with Store() as store:
        assert measure_as(store, NOW) == 1
        store.execute("update measurement set environment = ?", (old,))
        store._keys.clear()  # as if the file had been opened again
        assert measure_as(store, NOW | moved) == 0
        assert measure_as(store, NOW | dict(cpu="y")) == 1


def test_environments_are_told_apart_whatever_their_order():
    assert environment_key(dict(a=1, b=2)) == environment_key(dict(b=2, a=1)) != environment_key(dict(a=1, b=3))
