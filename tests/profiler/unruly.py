"A target that does something odd before it measures, when told so; a worker imports it."

import ctypes
import os
import signal
import sys
import time
from dataclasses import replace

from lts_nb.core.errors import InputError, MeasurementFailed
from lts_nb.core.workload import Workload
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.profiler.targets.registry import register_target
from lts_nb.profiler.timing import Effort


def complain(error):
    raise error


def make_noise():
    print("printed")
    sys.stdout.flush()
    os.write(1, b'{"value": "written past Python"}\n')
    os.system("echo printed by another program")
    print("a warning", file=sys.stderr)
    assert sys.stdin.read() == ""  # nothing is taken from the questions


DEEDS = {
    "nothing": lambda: None,
    "refuse": lambda: complain(InputError("width=3: must be 4")),
    "fail": lambda: complain(MeasurementFailed("no such operator")),
    "fill memory": lambda: complain(MemoryError("full")),
    "stumble": lambda: complain(KeyError("a bug")),
    "make noise": make_noise,
    "be killed": lambda: os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM)),
    "crash": lambda: ctypes.string_at(0),
    "leave": lambda: os._exit(3),
    "sleep": lambda: time.sleep(600),
}


class Unruly(FakeTarget):
    "A fake target with deeds, which tells where it measured."

    name = "unruly"

    def measure(self, architecture, workload=Workload(), effort=Effort(), memory=True, deed="nothing"):
        DEEDS[deed]()
        measured = super().measure(architecture, workload, effort, memory)
        return replace(measured, extra=dict(pid=os.getpid(), utf8=sys.flags.utf8_mode))


register_target("unruly", Unruly, replace=True)
