"""The words and the table of a result: what was measured, what only predicted, what failed, what rows stand for."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kit import slow_but
from searches.kit import FEW, quiet_search

from lts_nb.core.workload import Workload
from lts_nb.frontier.shown import factor_of
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.searches.report import headline, table
from lts_nb.searches.result import SearchResult
from lts_nb.show.choose import was_measured

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def exact() -> SearchResult:
    return SearchResult.load(BENCHMARKS / "gpt2_cpu")


@pytest.fixture(scope="module")
def sampled() -> SearchResult:
    return SearchResult.load(BENCHMARKS / "gpt2_lts")


def with_run(result: SearchResult, certificate: dict | None = None, **more) -> SearchResult:
    "A result whose run says more."
    run = result.run | more | dict(certificate=result.run["certificate"] | (certificate or {}))
    return replace(result, run=run)


def without_measuring(result: SearchResult, every: int = 1) -> SearchResult:
    "A result of which every so many-th row was only predicted, as a profile of another machine leaves it."
    frames = []
    for frame in (result.frontier, result.candidates):
        frame, unmeasured = frame.copy(), np.arange(len(frame)) % every == 0
        frame.loc[unmeasured, "latency_s"] = frame.predicted_latency_s[unmeasured]
        frame.loc[unmeasured, "latency_clock"] = None
        frames.append(frame)
    return replace(result, frontier=frames[0], candidates=frames[1], run=result.run | dict(measured=every > 1))


def first_rows(result: SearchResult, at_most: int = 20):
    rows, epsilon = table(result, at_most)
    return rows, epsilon, headline(result, len(rows), epsilon)


@pytest.mark.parametrize("name", ("gpt2_cpu", "gpt2_lts", "llama_cpu", "frontier_quality/lts"))
def test_a_table_fits_the_terminal(name):
    result = SearchResult.load(BENCHMARKS / name)
    rows, _, sentence = first_rows(result)
    assert 1 < len(rows) <= 20 and max(map(len, rows.to_string(index=False).splitlines())) <= 110
    assert (rows["params [M]"].diff().dropna() >= 0).mean() > 0.8 and f"The {len(rows)} rows stand for all" in sentence


@pytest.mark.parametrize("at_most", (1, 6, 20))
def test_rows_stand_for_the_full_frontier(exact, at_most):
    rows, epsilon, sentence = first_rows(exact, at_most)
    listed = exact.frontier[exact.frontier.id.str[:8].isin(rows.id)]
    F = exact.full_frontier.F
    factor = factor_of(F[:, 0], F[:, 1], -listed.decoder_params, listed.latency_s)
    assert np.isclose(1 + epsilon, factor) and f"469,274 within a factor {factor:.2f}" in sentence


def test_nothing_is_said_of_rows_that_are_not_there(exact):
    assert "stand for" not in headline(exact, 0, 0)


def test_no_word_of_what_a_run_does_not_know(exact):
    words = headline(with_run(exact, dict(rounds=None, rivals=None), resolution=None, failed=None), 0, 0)
    assert not re.search("are the same here|could not|as fast as|round of", words)
    assert words.endswith(
        "469,274 architectures on the frontier; 28 of them measured, 27 within the 90 % interval predicted for them"
    )


def test_what_a_run_knows_is_said(exact):
    knows = with_run(
        exact,
        dict(rounds=[{}, {}, {}], rivals=[0.0, 3.0, 12.0, 0.0], still=True),
        resolution=0.031,
        failed=dict(architectures=2, reason="no memory for 4,096 MB"),
    )
    words = headline(knows, 0, 0)
    assert "on the frontier after 3 rounds of solving and measuring, when it stood still; 28 of them measured" in words
    assert "; 2 more could not be measured: no memory for 4,096 MB. Latencies closer than 3.1 %" in words
    assert words.endswith("as fast as 2 of 4 members within that")
    assert "after 1 round of solving and measuring; 28" in headline(with_run(exact, dict(rounds=[{}])), 0, 0)


def test_failures_of_a_sampled_search_are_no_measurements(sampled):
    candidates = sampled.candidates.copy()
    failed = candidates.index[candidates.role == "candidate"][:3]
    candidates.loc[failed, ["latency_s", "latency_clock"]] = None
    assert "597 architectures measured" in headline(replace(sampled, candidates=candidates), 0, 0)


def test_measured_latencies_have_errors(exact):
    latencies = table(exact)[0]["latency [ms]"]
    assert latencies.str.fullmatch(r"\d+\.\d ± \d+\.\d").all() and {"8.2 ± 0.1", "860.2 ± 14.2"} < set(latencies)
    unknown = replace(exact, frontier=exact.frontier.drop(columns="standard_error"))
    assert table(unknown)[0]["latency [ms]"].tolist()[0] == 8.2


def test_predictions_are_called_so(exact):
    rows, _, sentence = first_rows(without_measuring(exact))
    assert "latency [ms]" not in rows and rows["predicted [ms]"].str.fullmatch(r"[\d.]+ \([\d.]+–[\d.]+\)").all()
    assert "listed, with predicted latency: nothing was measured" in sentence and "interval" not in sentence


def test_some_predictions_among_measurements(exact):
    partly = without_measuring(exact, every=3)
    rows, _, sentence = first_rows(partly)
    latencies = rows.set_index("id")["latency [ms]"]
    for row in partly.frontier.itertuples():
        if row.id[:8] in latencies:
            assert latencies[row.id[:8]].endswith(" predicted") == pd.isna(row.latency_clock)
    assert "18 of them measured" in sentence


def test_a_leaner_member_stands_beside(exact):
    rows, within = table(exact)[0], 1 + exact.run["resolution"]
    beside = rows[rows["its id"] != ""]
    assert len(beside) == 5
    for row in beside.itertuples(index=False):
        best, lean = (exact.frontier[exact.frontier.id.str.startswith(id)].iloc[0] for id in (row[0], row[-1]))
        assert lean.peak_bytes < best.peak_bytes and lean.latency_s <= within * best.latency_s
        assert lean.decoder_params >= best.decoder_params / within and row[-2] == f"{lean.peak_bytes / 1e6:.0f}"


def test_a_pick_that_was_not_measured_says_so(exact):
    row = exact.row(latency_s=0.0421)
    assert not was_measured(row) and row.predicted_low_s < row.latency_s == row.predicted_latency_s
    measured = exact.frontier[exact.frontier.n_layer == 2].iloc[2]
    row = exact.row(latency_s=measured.predicted_latency_s * (1 + 1e-9))
    assert was_measured(row) and row["id"] == measured.id and row.latency_s == measured.latency_s


def test_a_pick_without_intervals(exact):
    frontier = exact.frontier.drop(columns=["predicted_low_s", "predicted_high_s"])
    assert "predicted_low_s" not in replace(exact, frontier=frontier).row(latency_s=0.0421)
    assert not was_measured(replace(exact, frontier=exact.frontier[:0]).row(latency_s=0.0421))


def labels_of(figure) -> list:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_what_a_picture_has(exact):
    figure = exact.plot()
    latency, memory = figure.axes
    assert (latency.get_xscale(), latency.get_yscale(), memory.get_xscale()) == ("log",) * 3
    usual = ["LTS picks (8)", "predicted, 90 % interval", "scaled baseline", "frontier (28)"]
    assert labels_of(figure) == usual  # within 4 %, no member is slower than the baseline
    assert labels_of(with_run(exact, resolution=0.01).plot()) == [*usual, "dearer than the baseline"]


@pytest.fixture(scope="module")
def profile() -> DeviceProfile:
    return DeviceProfile.measure(FEW, FakeTarget(), held_out=0)


SPACED_BY = [
    ("decoder_params,latency_s", "latency"),
    ("decoder_params,peak_bytes,latency_s", "latency"),
    ("decoder_params,decode_s,peak_bytes", "one new token"),
    ("decoder_params,peak_bytes", "peak memory"),
    ("decoder_params,flops,weight_bytes", "FLOPs"),
]


@pytest.mark.parametrize("objectives, spaced_by", slow_but(SPACED_BY, *SPACED_BY[2:4]))
def test_any_objectives_make_a_report(objectives, spaced_by, profile):
    request = Workload(prompt_len=160, new_tokens=8)
    result = quiet_search(target=FakeTarget(), profile=profile, workload=request, objectives=objectives.split(","))
    rows, epsilon, sentence = first_rows(result, 5)
    assert 1 <= len(rows) <= 5 and epsilon >= 0 and f"in {spaced_by} and decoder parameters" in sentence
    assert repr(result) and result.plot().axes and result.row()["id"]


@pytest.mark.parametrize("objectives", ("decoder_params,peak_bytes", "decoder_params,latency_s", "latency_s,n_layer"))
def test_any_objectives_of_a_sampled_search(objectives):
    proxy = "depth" if "n_layer" in objectives else "decoder_params"
    names = [name.replace("n_layer", "quality") for name in objectives.split(",")]
    result = quiet_search(FEW, FakeTarget(), "random", evaluations=60, objectives=names, proxy=proxy)
    rows, _, sentence = first_rows(result, 4)
    assert 1 <= len(rows) <= 4 and "60 architectures measured" in sentence and result.plot().axes
