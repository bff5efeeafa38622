"""Limits that limit nothing are remarked on before a search where a formula tells, and after it where a clock does."""

import numpy as np
import pandas as pd
import pytest
from kit import SMALL, quick_searches

from lts_nb.core.errors import InputError
from lts_nb.core.metrics import get_metric
from lts_nb.core.workload import Workload
from lts_nb.searches.limits import counted_values, remarks_before, remarks_on_limits
from lts_nb.searches.quality import homogeneous_ends
from lts_nb.searches.search import search
from lts_nb.show.choose import choose, idle_limit_in_words, meant_limit

REQUEST = Workload(prompt_len=16)


@pytest.mark.parametrize(
    "name, limit, low, high, meant",
    [
        ("latency_s", 50, 0.003, 0.03, 0.05),  # milliseconds
        ("latency_s", 20_000, 0.003, 0.03, 0.02),  # microseconds
        ("latency_s", 0.05, 0.003, 0.03, None),  # generous
        ("latency_s", 0.002, 0.003, 0.03, None),  # tight
        ("latency_s", 3.0, 0.003, 0.03, 0.003),
        ("latency_s", 0.5, 0.003, 0.03, None),  # no unit explains it
        ("peak_bytes", 200e12, 4e7, 5e8, 200e6),  # bytes given for megabytes
        ("peak_bytes", 200.0, 4e7, 5e8, 200e6),  # megabytes given for bytes
        ("peak_bytes", 2e6, 2e9, 5e9, 2e9),  # gigabytes given for megabytes
        ("decoder_params", 40.0, 1e7, 9e7, 40e6),  # millions
        ("decoder_params", 30_000.0, 1e7, 9e7, 30e6),  # thousands
        ("n_layer", 4000.0, 2, 16, None),  # has no unit
        ("predicted_loss", 3000.0, 2.5, 4.0, None),
        ("latency_s", 50, 0.0, 0.0, None),
    ],
)
def test_the_limit_that_was_meant(name, limit, low, high, meant):
    found = meant_limit(get_metric(name), limit, low, high)
    assert found == (None if meant is None else pytest.approx(meant))


def test_idle_limits_in_words():
    latency, params = get_metric("latency_s"), get_metric("decoder_params")
    values = np.array([0.03, np.nan, 0.003])
    said = "50: limits nothing, since everything has latency [ms] from 3 to 30; was 0.05 meant?"
    assert idle_limit_in_words(latency, 50, values, False, "{:g}".format) == said
    assert idle_limit_in_words(latency, 0.03, values, False, str).endswith("from 3 to 30")
    assert idle_limit_in_words(latency, 0.0299, values, False, str) == ""
    assert idle_limit_in_words(latency, 50, values[1:2], False, str) == ""
    assert idle_limit_in_words(params, 2e6, np.array([2e6, 3e6]), True, str).endswith("[M] from 2 to 3")
    assert idle_limit_in_words(params, 2.1e6, np.array([2e6, 3e6]), True, str) == ""


def test_a_choice_that_fails_asks_the_same():
    frontier = pd.DataFrame(dict(id=["a" * 16, "b" * 16], latency_s=[0.01, 0.02], decoder_params=[1e6, 2e6]))
    with pytest.raises(InputError, match=r"≤ 1.5e-05: no member .* .666,667 times as much.; was latency .* ≤ 15 meant"):
        choose(frontier, latency_s=1.5e-8)
    with pytest.raises(InputError, match=r"off\)$"):
        choose(frontier, latency_s=0.005)


def test_before_a_search():
    peak = counted_values("peak_bytes", homogeneous_ends(SMALL), REQUEST)
    mistaken, tight = {"max_peak_bytes": peak.max() * 1e6}, {"max_peak_bytes": (peak.min() + peak.max()) / 2}
    (said,) = remarks_before(SMALL, mistaken, REQUEST)
    assert said.startswith(f"max_peak_bytes={peak.max() * 1e6:g}: limits nothing") and said.endswith(
        f"was max_peak_bytes={peak.max():g} meant?"
    )
    assert remarks_before(SMALL, tight, REQUEST) == remarks_before(SMALL, {"max_latency_s": 1e3}, REQUEST) == []


def test_after_a_search_only_a_mistaken_unit():
    measured = pd.DataFrame(dict(latency_s=[0.01, 0.02, np.nan]))
    (said,) = remarks_on_limits({"max_latency_s": 15.0}, measured, only_units=True)
    assert said.endswith("from 10 to 20; was max_latency_s=0.015 meant?")
    assert remarks_on_limits({"max_latency_s": 0.03}, measured, only_units=True) == []
    assert remarks_on_limits({"max_peak_bytes": 1.0}, measured) == []


def test_a_search_says_it():
    said = []
    with quick_searches():
        limits = {"min_decoder_params": 1, "max_latency_s": 100.0}
        asked = dict(method="random", evaluations=2, workload=REQUEST, limits=limits, progress=False)
        search(SMALL, say=said.append, **asked)
    assert [text for text in said if text.startswith("min_decoder_params=1: limits nothing, since everything has")]
