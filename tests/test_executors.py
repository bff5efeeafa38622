"""Many machines: a real Dask cluster whose workers and scheduler are killed, and any other executor."""

import json
import os
import signal
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest
from kit import SMALL, lts

from lts_nb.core.errors import InputError
from lts_nb.core.workload import Workload
from lts_nb.profiler.executor import call_each, get_executor
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.store import Store
from lts_nb.profiler.targets.boards import Boards
from lts_nb.profiler.visits import Panel, board_of
from lts_nb.training.jobs import TrainingJob
from lts_nb.training.recipe import Recipe
from lts_nb.training.training_runs import read_training_runs, run_training_jobs

pytest.importorskip("distributed", reason="Dask is not installed")
if os.name != "posix":
    pytest.skip("workers are killed as POSIX does", allow_module_level=True)

from board_kit import FOLDER, Cluster, Told, begun, pretend, wait_for  # noqa: E402

WORKLOAD = Workload(prompt_len=8)
ARCHITECTURES = list(dict.fromkeys(SMALL.sample(40, 0)))[:8]
N = len(ARCHITECTURES)
FIRST = ARCHITECTURES[np.random.default_rng((0, 0)).permutation(N)[0]].id  # the one that a panel visits first


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    "A cluster of two boards for all tests that leave it as it was."
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(running):
    "That cluster, whose workers are told nothing yet."
    for path in [*running.folder.glob("hang-*"), *running.folder.glob("kill-*"), running.folder / "begun"]:
        path.unlink(missing_ok=True)
    with running.executor(2) as running.pool:
        yield running


def panel_on(executor, store: Store) -> Panel:
    "All architectures on all boards of an executor."
    device = Boards(Told(), executor)
    panel = Panel(device, store, device.environment())
    for architecture in ARCHITECTURES:
        panel.add(architecture, WORKLOAD)
    return panel


@contextmanager
def meanwhile(work):
    "Within it, something else is done in a thread, which must succeed."
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        yield
    done.result()


def process_of(folder, name: str) -> int:
    "The worker that has begun with an architecture."
    wait_for(lambda: any(each == name for each, _ in begun(folder)))
    return next(int(pid) for each, pid in begun(folder) if each == name)


def counted(cluster) -> Counter:
    "How often each architecture was begun."
    return Counter(name for name, _ in begun(cluster.folder))


def let_go(folder, n: int):
    "Let the first architecture be measured once so many were begun."
    wait_for(lambda: len(begun(folder)) == n)
    (folder / f"hang-{FIRST}").unlink()


def kill_first(folder):
    "Kill the worker that hangs on the first architecture; the next one may go on."
    pid = process_of(folder, FIRST)
    (folder / f"hang-{FIRST}").unlink()
    os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    "A small corpus in a folder."
    folder = tmp_path_factory.mktemp("texts")
    for i in range(300):
        (folder / f"{i}.txt").write_text(f"document {i}", encoding="utf-8")
    return folder


def train_all(executor, store, texts):
    "Pretend to train each architecture."
    jobs = [TrainingJob(architecture) for architecture in ARCHITECTURES]
    run_training_jobs(jobs, Recipe(), str(texts), store, executor, run=pretend)


def test_boards_measure_at_once_and_results_land_once(cluster):
    (cluster.folder / f"hang-{FIRST}").touch()  # so one board is busy with it, and the other makes all others
    with Store() as store:
        panel = panel_on(cluster.pool, store)
        with meanwhile(lambda: let_go(cluster.folder, N)):
            panel.visit()
        panel.visit()
        by_board = Counter(map(board_of, panel.rounds[0].values()))
        assert sorted(by_board.values()) == [1, N - 1]
        assert len(store) == len(begun(cluster.folder)) == 2 * N
        again = panel_on(cluster.pool, store)
        again.visit()
        again.visit()
        assert len(begun(cluster.folder)) == 2 * N
        assert again.estimates().seconds.tolist() == panel.estimates().seconds.tolist()


def test_a_killed_worker_repeats_its_own_task_only(cluster):
    (cluster.folder / f"hang-{FIRST}").touch()
    with Store() as store:
        panel = panel_on(cluster.pool, store)
        with meanwhile(lambda: kill_first(cluster.folder)):
            panel.visit()
        assert all(panel.rounds[0].values()) and len(store) == N
        assert counted(cluster) == {a.id: 1 + (a.id == FIRST) for a in ARCHITECTURES}


def test_what_kills_every_worker_has_failed(cluster):
    (cluster.folder / f"kill-{FIRST}").touch()
    with Store() as store:
        panel = panel_on(cluster.pool, store)
        panel.visit()
        assert [panel.requests[i][0].id for i, m in panel.rounds[0].items() if m is None] == [FIRST]
        assert store.first_error() == "MeasurementFailed: every worker that tried it died, as when memory runs out"
        assert counted(cluster) == {a.id: 1 + 3 * (a.id == FIRST) for a in ARCHITECTURES} and len(store) == N


def test_trainings_whose_workers_are_killed(cluster, texts):
    dies = next(a.id for a in ARCHITECTURES if a.id != FIRST)
    (cluster.folder / f"kill-{dies}").touch()
    (cluster.folder / f"hang-{FIRST}").touch()
    with Store() as store:
        with meanwhile(lambda: kill_first(cluster.folder)):
            train_all(cluster.pool, store, texts)
        runs = read_training_runs(store)
        assert sorted(runs.id) == sorted(a.id for a in ARCHITECTURES)
        assert runs[runs.error.notna()].id.tolist() == [dies] and "KilledWorker" in runs.error.dropna().item()
        assert counted(cluster) == {a.id: {dies: 4, FIRST: 2}.get(a.id, 1) for a in ARCHITECTURES}
        (cluster.folder / f"kill-{dies}").unlink()
        train_all(cluster.pool, store, texts)  # only what had failed
        assert read_training_runs(store).error.isna().all() and counted(cluster).total() == N + 5


def test_commands(cluster, tmp_path, space_file):
    asked = ("--target", "told", "--space", space_file, "--prompt-len", 8, "--executor", cluster.name)
    code, out, err = lts("profile", *asked, "--held-out", 4, "--out", tmp_path / "device.json", "--json")
    assert code == 0 and json.loads(out)["validation"]["prefill"]["n"] == 4, err
    profile = DeviceProfile.load(tmp_path / "device.json")
    assert profile.target["name"] == "told" and profile.machine["cpu"] == "made up"
    assert len({sample.board for sample in profile.samples} | {found.board for found in profile.held_out}) == 2
    run = tmp_path / "run"
    code, out, err = lts("search", *asked, "--method", "lts", "--evaluations", 12, "--out", run, "--json")
    assert code == 0 and json.loads(out)["frontier"], err
    before = counted(cluster)
    code, again, err = lts("search", "--out", run, "--resume", "--executor", cluster.name, "--json")
    assert code == 0 and json.loads(again)["frontier"] == json.loads(out)["frontier"] and counted(cluster) == before


def test_a_lost_scheduler_is_one_line_and_a_resume(cluster, tmp_path):
    with Store() as store:
        with Cluster(tmp_path) as doomed, doomed.executor(2) as pool:
            (tmp_path / f"hang-{FIRST}").touch()
            panel = panel_on(pool, store)

            def kill_scheduler():
                wait_for(lambda: len(begun(tmp_path)) == N)
                doomed.scheduler.kill()

            with meanwhile(kill_scheduler), pytest.raises(InputError) as error:
                panel.visit()
            (tmp_path / f"hang-{FIRST}").unlink()
        assert str(error.value) == (
            f"executor='{doomed.name}': was lost (the connection closed); everything that had come back is kept, "
            "so start it again and call again to continue"
        )
        assert len(store) >= N - 2  # the last one may have been on its way
        kept = {row["architecture"].id for row in store.measurements()}
        again = panel_on(cluster.pool, store)
        again.visit()
        assert all(again.rounds[0].values()) and len(store) == N and FIRST not in kept
        assert counted(cluster) == {a.id: 1 for a in ARCHITECTURES if a.id not in kept}


def test_nobody_answers(tmp_path, space_file):
    cluster = Cluster(tmp_path)
    with patch("lts_nb.profiler.executor.TIMEOUT_S", 1.0):
        for command in (["search", "--method", "lts", "--space", space_file], ["profile", "--space", space_file]):
            code, out, err = lts(*command, "--out", tmp_path / "out.json", "--executor", cluster.name)
            assert (code, out, err.count("\n")) == (2, "", 1), err
            assert f"executor='{cluster.name}': no scheduler answers there within 1 s" in err
        cluster.start_scheduler()
        try:
            wait_for(lambda: "Scheduler at" in (tmp_path / "scheduler-0.log").read_text())
            with pytest.raises(InputError, match="has no workers; start one on each machine with `dask worker 127"):
                get_executor(cluster.name)
        finally:
            cluster.stop()


def test_workers_that_lack_the_package(tmp_path):
    (tmp_path / "old" / "lts_nb").mkdir(parents=True)
    (tmp_path / "old" / "lts_nb" / "__init__.py").write_text('__version__ = "0.0.1"')
    cluster = Cluster(tmp_path)
    cluster.start_scheduler()
    try:
        cluster.start_worker("a", PYTHONPATH=str(tmp_path / "old"))
        with pytest.raises(InputError, match="worker tcp.* has lts_nb 0.0.1; install .*, which runs here"):
            cluster.executor(1)
    finally:
        cluster.stop()


def test_two_workers_on_one_board_and_unequal_boards_are_refused(tmp_path):
    cluster = Cluster(tmp_path)
    cluster.start_scheduler()
    try:
        first, second = cluster.start_worker("a"), cluster.start_worker("a")
        with cluster.executor(2) as pool, Store() as store:
            (tmp_path / f"hang-{FIRST}").touch()
            with pytest.raises(InputError, match="another worker measures on board .* start one worker"):
                panel_on(pool, store).visit()
            second.terminate()
            second.wait()
            (tmp_path / f"hang-{FIRST}").unlink()
            cluster.start_worker("b", LTS_NB_TEST_CPU="another")
            pool.client.wait_for_workers(2, 30)
            with pytest.raises(InputError, match="are not equal: cpu='.*' and '.*'; use boards of one kind"):
                panel_on(pool, store).visit()
    finally:
        cluster.stop()
    assert first.returncode is not None


def test_a_board_is_asked_one_thing_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setenv("LTS_NB_BOARD", str(tmp_path))
    (tmp_path / f"hang-{FIRST}").touch()
    with ThreadPoolExecutor(2) as pool, Store() as store:
        panel = panel_on(pool, store)

        with (
            meanwhile(lambda: let_go(tmp_path, 1)),
            pytest.raises(InputError, match="was asked twice at once; give each worker one slot"),
        ):
            panel.visit()
    with ThreadPoolExecutor(1) as pool, Store() as store:
        (panel := panel_on(pool, store)).visit()
        assert all(panel.rounds[0].values())


class Jobs:
    "Submits as submitit does: what it gives has a `result()`, and is no future of Python's."

    def submit(self, function, *arguments):
        return Job(function, arguments)


class Job:
    def __init__(self, function, arguments):
        self.work = lambda: function(*arguments)

    def result(self):
        return self.work()


@pytest.mark.parametrize("make", [Jobs, lambda: ThreadPoolExecutor(2), lambda: ProcessPoolExecutor(1)])
def test_any_executor_trains(make, tmp_path, texts, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with Store() as store:
        train_all(executor := make(), store, texts)
        runs = read_training_runs(store)
    assert runs.error.isna().all() and sorted(runs.id) == sorted(a.id for a in ARCHITECTURES)
    if not isinstance(executor, Jobs):
        executor.shutdown()


def test_a_broken_pool_is_lost(tmp_path):
    with ProcessPoolExecutor(1) as pool, pytest.raises(InputError, match="executor='ProcessPoolExecutor': was lost"):
        list(call_each(pool, os._exit, [(3,), (3,)]))
