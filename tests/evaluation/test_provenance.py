"""A target that cannot measure is said in one line; a target with a bug keeps its traceback."""

from types import SimpleNamespace

import pandas as pd
import pytest

from lts_nb.core.errors import InputError, MeasurementFailed
from lts_nb.evaluation import provenance
from lts_nb.evaluation.examples import EXAMPLES

TOLD = dict(workload=dict(prompt_len=8), target=dict(name="toy", threads=2))


class Toy:
    "Measures, or raises what it is given."

    def __init__(self, error=None):
        self.error = error

    def reserve(self, architectures):
        pass

    def environment(self):
        return "a toy"

    def measure(self, architecture, workload, *_, **__):
        if self.error:
            raise self.error
        return SimpleNamespace(latency_s=0.5, peak_bytes=7.0)


ROWS = pd.DataFrame(dict(id=["0" * 16], latency_s=[0.1], latency_clock=[None]))  # predicted, of another


@pytest.fixture
def measure(monkeypatch):
    run = dict(TOLD, measured=False, machine="another")
    monkeypatch.setattr(
        provenance.SearchResult, "load", lambda _: SimpleNamespace(run=run, frontier=ROWS, candidates=ROWS)
    )

    def of(error=None):
        monkeypatch.setattr(provenance, "get_target", lambda **_: Toy(error))
        return provenance.measurements_from_run("runs/x", EXAMPLES["opt"])

    return of


def test_measured_now(measure):
    expected = dict(latency_s=0.5, peak_bytes=7, workload=TOLD["workload"], target="toy threads=2", machine="a toy")
    assert measure() == [expected]


@pytest.mark.parametrize("error", [MeasurementFailed("no such operator"), MemoryError()])
def test_cannot_be_measured(measure, error):
    with pytest.raises(InputError, match=r"run='runs/x': its workload cannot be measured with \w+ \((no|Mem)"):
        measure(error)


def test_bug(measure):
    with pytest.raises(RuntimeError, match="^a bug") as error:
        measure(RuntimeError("a bug"))
    assert type(error.value) is RuntimeError
