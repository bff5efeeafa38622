"""What a worker does when something goes wrong on either side, and that nothing of it is ever left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lts_nb.core.errors import InputError, MeasurementFailed
from lts_nb.core.workload import Workload
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.profiler.targets.serving import ask_to_measure, ask_to_reserve
from lts_nb.profiler.targets.torch_cpu import TorchCPU
from lts_nb.profiler.targets.worker import FORKS, Worker
from lts_nb.profiler.timing import VISIT
from lts_nb.space.architecture import Architecture
from lts_nb.space.families import FAMILIES, register_family
from lts_nb.space.families.contract import Family

HERE = Path(__file__).parent
SMALL = Architecture("gpt2", d_model=32, n_head=(2, 4), d_inner=(64, 128), vocab_size=100, max_len=32)
REQUEST = Workload(prompt_len=8, new_tokens=2)
posix = pytest.mark.skipif(os.name != "posix", reason="signals")


def question(deed: str = "nothing", **options) -> dict:
    return ask_to_measure("measure", SMALL, REQUEST, VISIT, **options, deed=deed)


def processes_of(worker) -> list:
    process = psutil.Process(worker._process.pid)
    return [process, *process.children(recursive=True)]


def has_ended(process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE  # nobody may have asked yet how it ended
    except psutil.NoSuchProcess:
        return True


def all_gone(processes) -> bool:
    "Have they all ended? For some seconds they may still be doing so."
    deadline = time.monotonic() + 30
    while not all(map(has_ended, processes)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return all(map(has_ended, processes))


@pytest.fixture(scope="module")
def importable():
    "Workers find the unruly target, since this process does."
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        yield


@pytest.fixture(scope="module", params=[True, False] if FORKS else [False], ids=lambda fork: "fork" if fork else "anew")
def worker(request, importable):
    worker = Worker(dict(name="unruly"), imports=("unruly",), fork=request.param)
    yield worker
    worker.close()


def test_it_measures_elsewhere_and_then_elsewhere_again(worker):
    worker.first, places = ask_to_reserve([SMALL], 7), []
    for _ in range(3):
        worker.renew()
        measured = [worker.ask(question()) for _ in range(2)]
        assert measured[0] == measured[1]
        assert measured[0].latency_s == FakeTarget().measure(SMALL, REQUEST).latency_s
        places.append(measured[0].extra["pid"])
    assert len({os.getpid(), *places}) == 4
    assert measured[0].extra["utf8"] == 1
    assert worker.ask(ask_to_reserve([SMALL], 9)) == 9


@pytest.mark.parametrize(
    "deed, error, said",
    [
        ("refuse", InputError, "width=3: must be 4"),
        ("fail", MeasurementFailed, "no such operator"),
        ("fill memory", MemoryError, "full"),
        ("stumble", RuntimeError, "Traceback (most recent call last)"),
    ],
)
def test_errors_arrive_as_what_they_are(worker, deed, error, said):
    before = worker.ask(question()).extra["pid"]
    with pytest.raises(error) as e:
        worker.ask(question(deed))
    assert type(e.value) is error and str(e.value).startswith(said)
    assert worker.ask(question()).extra["pid"] == before  # the process goes on


def test_noise_is_no_answer(worker, capfd):
    quiet = worker.ask(question())
    assert worker.ask(question("make noise")) == quiet == worker.ask(question())
    assert capfd.readouterr() == ("", "")


@posix
@pytest.mark.parametrize("deed, how", [("be killed", "signal 9, as"), ("crash", "signal 11"), ("leave", "exit code 3")])
def test_a_process_that_dies_fails_one_request(worker, deed, how):
    worker.renew()
    before = processes_of(worker)
    with pytest.raises(MeasurementFailed, match=f"the process that measured died .{how}"):
        worker.ask(question(deed))
    assert all_gone(before)
    assert worker.ask(question()).extra["pid"] not in [process.pid for process in before]


@posix
def test_a_process_that_dies_between_questions_fails_none(worker):
    worker.renew()
    before = processes_of(worker)
    before[-1].kill()
    assert all_gone(before)
    worker.renew()
    worker.ask(question())
    processes_of(worker)[0].kill()
    worker._process.wait()
    assert worker.ask(question()).extra["pid"] not in [process.pid for process in before]


def test_nothing_is_left_behind(importable):
    closed, dropped = (Worker(dict(name="unruly"), imports=("unruly",)) for _ in range(2))
    closed.renew()
    dropped.renew()
    processes = processes_of(closed) + processes_of(dropped)
    assert len(processes) == (4 if FORKS else 2) and all(process.is_running() for process in processes)
    closed.close()
    closed.close()
    del dropped
    assert all_gone(processes)


def test_one_that_cannot_start_says_why():
    for worker, error, said in (
        (Worker(dict(name="tpu")), InputError, "target='tpu': must be one of torch-cpu"),
        (Worker(dict(name="torch-cpu"), ("no_such_module",)), RuntimeError, "No module named 'no_such_module'"),
    ):
        for begin in (worker.renew, lambda: worker.ask(question())):
            with pytest.raises(error, match=said):
                begin()


def started(script: str, *arguments) -> subprocess.Popen:
    "A script in a group of processes of its own, which finds what this process finds."
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *map(os.path.abspath, sys.path)])}
    pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
    command = [sys.executable, script, *arguments]
    return subprocess.Popen(command, start_new_session=os.name == "posix", env=environment, **pipes)


ASKING = """
import signal
import sys
import psutil
from lts_nb.core.workload import Workload
from lts_nb.profiler.targets.serving import TINY, ask_to_measure
from lts_nb.profiler.targets.worker import Worker
from lts_nb.profiler.timing import VISIT
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
worker = Worker(dict(name="unruly"), imports=("unruly",))
worker.renew()
process = psutil.Process(worker._process.pid)
print(process.pid, *[child.pid for child in process.children()], flush=True)
worker.ask(ask_to_measure("measure", TINY, Workload(1, 4), VISIT, deed=sys.argv[1]))
"""


@posix
@pytest.mark.parametrize("how", [None, signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGKILL", None)])
def test_a_worker_ends_with_its_parent(tmp_path, how):
    (tmp_path / "asking.py").write_text(ASKING, encoding="utf-8")
    parent = started(tmp_path / "asking.py", "sleep" if how else "nothing")
    processes = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
    if how:
        time.sleep(0.2)  # the question is on its way; another moment would do as well
        os.killpg(parent.pid, how) if how == signal.SIGINT else parent.send_signal(how)
    _, err = parent.communicate(timeout=60)
    assert len(processes) == 1 + FORKS and all_gone(processes)
    assert err.count("Traceback") == (how == signal.SIGINT) == err.count("KeyboardInterrupt"), err


PLAIN = """
import sys
from lts_nb import Architecture, Workload, get_target
print("runs")
target = get_target()
for _ in range(2):
    target.renew()
    m = target.measure(Architecture("llama", 64, (2, 4), (64, 128), d_head=16), Workload(1, 8, 2))
    print(m.latency_s > 0, "torch" in sys.modules)
"""


def test_a_script_without_a_guard_runs_once(tmp_path):
    (tmp_path / "plain.py").write_text(PLAIN, encoding="utf-8")
    out, err = started(tmp_path / "plain.py").communicate(timeout=120)
    assert (out.splitlines(), err) == (["runs", "True False", "True False"], "")


TOY = Family("toy", display_name="Toy", year=2021, source="tests", model="toy_twin", fields=frozenset())


class Elsewhere(Family):
    "A family of a class that no other process finds."


def test_families_of_the_user():
    target = TorchCPU()
    register_family(TOY)
    Elsewhere.__module__ = "__main__"
    register_family(
        Elsewhere("local", display_name="Local", year=2022, source="", model="toy_twin", fields=frozenset())
    )
    try:
        toy, local = (Architecture(name, 32, (2,), (64,), vocab_size=100) for name in ("toy", "local"))
        target.renew()
        assert target._worker.knows("toy") and not target._worker.knows("local")
        there = target.measure(toy, REQUEST, VISIT)
        assert target._buffer is None
        here = target.measure(local, REQUEST, VISIT)
        assert target._buffer is not None  # it was measured in this process
        assert [there.peak_bytes, there.kv_cache_bytes] == [here.peak_bytes, here.kv_cache_bytes]
    finally:
        target.close()
        del FAMILIES["toy"], FAMILIES["local"]
