"""The words and the table of a result: what was measured, what only predicted, what failed, what rows stand for."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from searches.kit import FEW, quiet_search

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
    factor = factor_of(F[:, 0], F[:, 1], -listed.decoder_params, listed.predicted_latency_s)
    assert np.isclose(1 + epsilon, factor) and f"{len(F):,} within a factor {factor:.2f}" in sentence


def test_nothing_is_said_of_rows_that_are_not_there(exact):
    assert "stand for" not in headline(exact, 0, 0)


def test_no_word_of_what_a_run_does_not_know(exact):
    words = headline(exact, 0, 0)
    assert not re.search("are the same here|failed|rival|round of", words)
    assert "40 of them measured, 31 within the 90 % interval predicted for them" in words


def test_what_a_run_knows_is_said(exact):
    knows = with_run(
        exact,
        dict(rounds=[{}, {}, {}], rivals=12),
        resolution=0.031,
        failed=dict(count=2, reason="no memory for 4,096 MB"),
    )
    words = headline(knows, 0, 0)
    assert "on the frontier after 3 rounds of solving and measuring; 40 of them measured" in words
    assert "Latencies closer than 3.1 % are the same here; 12 rivals of the members within that." in words
    assert words.endswith("2 measurements failed: no memory for 4,096 MB")
    assert "after 1 round of" in headline(with_run(exact, dict(rounds=[{}])), 0, 0)


def test_failures_of_a_sampled_search_are_no_measurements(sampled):
    candidates = sampled.candidates.copy()
    failed = candidates.index[candidates.role == "candidate"][:3]
    candidates.loc[failed, ["latency_s", "latency_clock"]] = None
    assert "597 architectures measured" in headline(replace(sampled, candidates=candidates), 0, 0)


def test_measured_latencies_have_errors(exact):
    rows = table(replace(exact, frontier=exact.frontier.assign(standard_error=0.0113)))[0]
    assert rows["latency [ms]"].str.fullmatch(r"\d+\.\d ± \d+\.\d").all() and "361.8 ± 4.1" in set(rows["latency [ms]"])


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
    assert "26 of them measured" in sentence


def test_a_leaner_member_stands_beside(exact):
    roomy = with_run(exact, resolution=0.2)
    rows = table(roomy)[0]
    beside = rows[rows["its id"] != ""]
    assert len(beside) > 5
    for row in beside.itertuples(index=False):
        best, lean = (roomy.frontier[roomy.frontier.id.str.startswith(id)].iloc[0] for id in (row[0], row[-1]))
        assert lean.peak_bytes < best.peak_bytes and lean.predicted_latency_s <= 1.2 * best.predicted_latency_s
        assert lean.decoder_params >= best.decoder_params / 1.2 and row[-2] == f"{lean.peak_bytes / 1e6:.0f}"


def test_a_pick_that_was_not_measured_says_so(exact):
    row = exact.row(latency_s=0.0421)
    assert not was_measured(row) and row.predicted_low_s < row.latency_s == row.predicted_latency_s
    fastest = exact.row(latency_s=float(exact.full_frontier.F[:, 1].min()))
    assert was_measured(fastest) and fastest["id"] == exact.frontier.id.iloc[0]


def test_a_pick_without_intervals(exact):
    frontier = exact.frontier.drop(columns=["predicted_low_s", "predicted_high_s"])
    assert "predicted_low_s" not in replace(exact, frontier=frontier).row(latency_s=0.0421)
    assert not was_measured(replace(exact, frontier=exact.frontier[:0]).row(latency_s=0.0421))


def test_what_a_picture_has(exact):
    figure = replace(exact, frontier=exact.frontier.assign(standard_error=0.01)).plot()
    latency, memory = figure.axes
    assert (latency.get_xscale(), latency.get_yscale(), memory.get_xscale()) == ("log",) * 3
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        "LTS picks (18)",
        "predicted, 90 % interval",
        "scaled baseline",
        "frontier (40)",
        "dearer than the baseline",
    ]
    sure = with_run(exact, resolution=5.0).plot()  # a clock that tells nothing apart
    assert "dearer than the baseline" not in [text.get_text() for text in sure.legends[0].get_texts()]


@pytest.fixture(scope="module")
def profile() -> DeviceProfile:
    return DeviceProfile.measure(FEW, FakeTarget(), held_out=0)


@pytest.mark.parametrize(
    "objectives, spaced_by",
    [
        ("decoder_params,latency_s", "latency"),
        ("decoder_params,peak_bytes,latency_s", "latency"),
        ("decoder_params,decode_s,peak_bytes", "one new token"),
        ("decoder_params,peak_bytes", "peak memory"),
        ("decoder_params,flops,weight_bytes", "FLOPs"),
    ],
)
def test_any_objectives_make_a_report(objectives, spaced_by, profile):
    result = quiet_search(target=FakeTarget(), profile=profile, objectives=objectives.split(","))
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
