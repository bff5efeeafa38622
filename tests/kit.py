"""What several tests need: a space small enough to search in seconds, and `lts` as a user runs it."""

import contextlib
import io
import os
import subprocess
import sys
from unittest.mock import patch

from lts_nb.cli.main import main
from lts_nb.space.space import SearchSpace

SMALL = SearchSpace.preset(
    "gpt2", n_layer=[1, 2, 3], d_model=[32, 64], d_inner=[64, 128, 192], n_head=[1, 2], vocab_size=[300], max_len=32
)


def start(*args, **options) -> subprocess.Popen:
    "`lts` in a process of its own, on one thread, its output in pipes."
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"} | options
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"} | options.pop("env", {})
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
