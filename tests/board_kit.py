"""A Dask cluster of processes of its own, and a target for its workers, who import this module.

A folder, which the environment names, tells workers what to do before they work on an architecture: the file `hang-ID`
keeps them until it is gone, `kill-ID` ends them each time. What was begun they write into the file `begun`.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from lts_nb.profiler.executor import DaskExecutor
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.profiler.targets.registry import register_target

FOLDER = "LTS_NB_TEST_FOLDER"


def obey(name: str):
    "Do what a file says about a name, and note that it was begun, by whom."
    folder = Path(os.environ[FOLDER])
    with open(folder / "begun", "a", encoding="utf-8") as begun:
        begun.write(f"{name} {os.getpid()}\n")
    until = time.monotonic() + 30  # where nobody lets it go, the test has failed
    while (folder / f"hang-{name}").exists() and time.monotonic() < until:
        time.sleep(0.01)
    if (folder / f"kill-{name}").exists():
        time.sleep(0.5)  # what this worker had done before is delivered by now
        os.kill(os.getpid(), signal.SIGKILL)


class Told(FakeTarget):
    "A made-up device that does what it is told before it measures."

    name = "told"

    def environment(self) -> dict:
        return dict(cpu=os.environ.get("LTS_NB_TEST_CPU", "made up"))

    def measure(self, architecture, *request, **options):
        if FOLDER in os.environ:
            obey(architecture.id)
        return super().measure(architecture, *request, **options)


register_target("told", lambda **options: Told(), replace=True)


def pretend(job, *settings) -> tuple[dict, dict]:
    "Train as a worker, at once."
    obey(job.architecture.id)
    found = dict(tokens=[1000], losses=[5.0], bits_per_byte=[1.0], seconds=1.0, curve=[])
    return found, dict(pid=os.getpid())


def begun(folder: Path) -> list[list[str]]:  # [name, process id] of each
    "What workers have begun so far."
    path = folder / "begun"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(condition, seconds: float = 30):
    "Wait until something is true."
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


FEW_DEATHS = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
"The second worker that dies of a call is the last that tries it; by default it is the fourth."


class Cluster:
    "A scheduler and workers on this machine, each a process of its own."

    def __init__(self, folder: Path):
        self.folder, self.processes, self.scheduler = folder, [], None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.name = f"dask://{self.address}"

    def start(self, kind: str, *options, **environment) -> subprocess.Popen:
        "Start `dask scheduler` or `dask worker`."
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *map(str, options), "--host", "127.0.0.1"]
        paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        here = dict.fromkeys((FOLDER, "TMPDIR"), str(self.folder))
        variables = os.environ | {"PYTHONPATH": paths, **here, **FEW_DEATHS, **environment}
        log = open(self.folder / f"{kind}-{len(self.processes)}.log", "wb")  # noqa: SIM115
        process = subprocess.Popen(command + ["--no-dashboard"], env=variables, stdout=log, stderr=log, cwd=self.folder)
        self.processes.append(process)
        return process

    def start_scheduler(self):
        self.scheduler = self.start("scheduler", "--port", self.port, "--no-show")

    def start_worker(self, board: str, *options, **environment) -> subprocess.Popen:
        "Start a worker with one slot, on a board of this name."
        plain = ("--nthreads", 1, "--nworkers", 1, "--local-directory", self.folder / "space", "--death-timeout", 20)
        named = dict(LTS_NB_BOARD=f"{self.folder} {board}")
        return self.start("worker", self.address, *plain, *options, **named | environment)

    def executor(self, n: int) -> DaskExecutor:
        "The cluster as an executor, once it has so many workers."
        executor = DaskExecutor(self.address, 30.0)
        executor.client.wait_for_workers(n, 30)
        return executor

    def __enter__(self):
        "Two workers, each on a board of its own."
        self.start_scheduler()
        self.workers = [self.start_worker(board) for board in "ab"]
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        "End all processes that were started; workers leave a scheduler that is gone faster than one that is going."
        for process in self.processes:
            process.kill() if process is self.scheduler else process.terminate()
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()
