"""Processes of this machine end with whoever waits for them, at whatever moment that ends."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from lts_nb.profiler.executor import LocalExecutor, WorkerDied
from lts_nb.profiler.targets.boards import Boards
from lts_nb.profiler.targets.fake import FakeTarget

LONG_S = 60.0  # of a call that is ended; whoever waits for it instead gets its value
Process = get_context("spawn").Process


def begin_to_wait(monkeypatch, act):
    "Call this when an executor that ends is about to wait for its threads."
    shutdown = ThreadPoolExecutor.shutdown

    def watched(pool, wait=True, *, cancel_futures=False):
        if wait:
            act()
        shutdown(pool, wait, cancel_futures=cancel_futures)

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", watched)


def until_it_runs(pool):
    "Wait until a process of an executor has started."
    while not pool.running:
        time.sleep(0.01)


def was_ended(call) -> bool:
    "Did the process of a call die, instead of giving a value?"
    return isinstance(call.exception(timeout=10 * LONG_S), WorkerDied)


def test_a_process_that_is_just_starting_is_ended(monkeypatch):
    begun, go_on, start = threading.Event(), threading.Event(), Process.start

    def slowly(process):
        begun.set()
        go_on.wait(LONG_S)
        start(process)

    monkeypatch.setattr(Process, "start", slowly)
    begin_to_wait(monkeypatch, go_on.set)
    with pytest.raises(KeyboardInterrupt), LocalExecutor(1) as pool:
        call = pool.submit(time.sleep, LONG_S)
        assert begun.wait(LONG_S) and not pool.running
        raise KeyboardInterrupt
    assert go_on.is_set() and call.done() and was_ended(call)


def test_interrupted_while_it_waits(monkeypatch):
    interrupts = [KeyboardInterrupt]

    def interrupt():
        if interrupts:
            raise interrupts.pop()

    begin_to_wait(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt), LocalExecutor(1) as pool:
        call = pool.submit(time.sleep, LONG_S)
        until_it_runs(pool)
    assert call.done() and was_ended(call)


def test_left_as_usual_it_waits():
    with LocalExecutor(1) as pool:
        call = pool.submit(divmod, 7, 2)
    assert call.done() and call.result() == (3, 1)


def test_boards_on_this_machine_end_when_they_are_closed():
    boards = Boards(FakeTarget(), "processes:1")
    pool = boards._executor
    call = pool.submit(time.sleep, LONG_S)
    until_it_runs(pool)
    boards.close()
    assert was_ended(call)
