"""What several tests need: a space small enough to search in seconds, and `lts` as a user runs it."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from multiprocessing import get_context
from unittest.mock import patch

import pytest

from lts_nb.cli.main import main
from lts_nb.space.space import SearchSpace

SMALL = SearchSpace.preset(
    "gpt2", n_layer=[1, 2, 3], d_model=[32, 64], d_inner=[64, 128, 192], n_head=[1, 2], vocab_size=[300], max_len=32
)


def slow_but(parameters: Iterable, *quick) -> list:
    "Parameters of which these are tried always, and the others only with LTS_NB_SLOW."

    def slow(each):
        return pytest.param(*(each if isinstance(each, tuple) else (each,)), marks=pytest.mark.slow)

    return [each if each in quick else slow(each) for each in parameters]


def start(*args, **options) -> subprocess.Popen:
    "`lts` in a process of its own, on one thread, its output in pipes."
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"} | options
    here = {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": ""}  # buffered, as for users
    environment = os.environ | here | options.pop("env", {})
    return subprocess.Popen([sys.executable, "-m", "lts_nb.cli", *map(str, args)], env=environment, **options)


def lts(*args, **options) -> tuple[int, str, str]:  # exit code, standard output, standard error
    "`lts` in this process, which has imported everything already; with options of `Popen`, in one of its own."
    if options:
        process = start(*args, **options)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main([*map(str, args)])
    return code, out.getvalue(), err.getvalue()


# What a process imports takes it five seconds, and a copy of one that has imported it none. The one that is copied does
# nothing else: PyTorch refuses to differentiate in a copy of a process that has done so with threads.
COPIES = get_context("forkserver" if sys.platform.startswith("linux") else "spawn")
if COPIES.get_start_method() == "forkserver":
    COPIES.set_forkserver_preload(["lts_nb.models.build", "lts_nb.training.model_folder", "lts_nb.searches.search"])


def begin(*args, quick: bool = True):
    "`lts` on one thread, with quick searches, in a process of its own: to be killed."
    process = COPIES.Process(target=_begin_in_a_copy, args=(dict(os.environ), quick, *args))
    process.start()
    return process


def lts_together(*commands: list) -> list[tuple[int, str, str]]:
    "`lts` with each of these arguments, in such processes that begin at the same time."
    with COPIES.Pool(len(commands)) as pool:
        asked = [(dict(os.environ), True, *command) for command in commands]
        return pool.starmap(_lts_in_a_copy, asked, chunksize=1)


def _begin_in_a_copy(environment: dict, quick: bool, *args):
    code, _, err = _lts_in_a_copy(environment, quick, *args)
    sys.exit(err if code else 0)


def _lts_in_a_copy(environment: dict, quick: bool, *args) -> tuple[int, str, str]:
    _prepare_copy(environment)
    with quick_searches() if quick else contextlib.nullcontext():
        return lts(*args)


def killed_at(step: int, train: Callable, *args, **options) -> int:  # its exit code
    "Train in such a process, which kills itself before a step."
    process = COPIES.Process(target=_train_in_a_copy, args=(dict(os.environ), step, train, *args), kwargs=options)
    process.start()
    process.join()
    return process.exitcode


def _train_in_a_copy(environment: dict, step: int, train: Callable, *args, **options):
    from lts_nb.training.progress import Progress

    def die(self, args, state, control, **_):
        if state.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    _prepare_copy(environment)
    Progress.on_step_begin = die
    train(*args, **options)


def _prepare_copy(environment: dict):
    "The environment of who asked, and one thread."
    import torch

    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)


@contextlib.contextmanager
def quick_searches():
    """Within it, searches in this process measure in it, not in fresh ones, for three seconds.

    So they start no process, which takes five seconds. Profiles are validated on four architectures instead of twelve.
    """
    changes = {
        "lts_nb.profiler.targets.torch_cpu.TorchCPU.renew": lambda target: None,
        "lts_nb.searches.settings.DEFAULT_MEASURE_S": 3.0,
        "lts_nb.searches.methods.exact.HELD_OUT": 4,
    }
    with contextlib.ExitStack() as stack:
        for name, value in changes.items():
            stack.enter_context(patch(name, value))
        yield


class AtOnce(Executor):
    "Calls functions in this process, when they are submitted."

    def submit(self, function, /, *arguments) -> Future:
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


def trainings_in_this_process():
    "Within it, studies train in this process: each fresh one takes five seconds to start."
    return patch("lts_nb.profiler.executor.LocalExecutor", lambda workers: AtOnce())


@contextlib.contextmanager
def files_up_to(size: int):
    "Within it, no file of this process may grow larger, as on a full disk. Where the system has such limits."
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
