"""Rank statistics against hand-computed values and scipy's, with ties, holes and diverged trainings."""

import numpy as np
import pytest
from scipy import stats

from lts_nb.core.errors import InputError
from lts_nb.study.ranking import (
    agreement_curve,
    common_ratio,
    kendall,
    kendall_of_ranks,
    rank_from_worst,
    spearman,
    spearman_of_ranks,
    top_size,
)

LOSS, SCORE = [20.0, 25.0, 30.0, 40.0, 80.0], [70.0, 90.0, 10.0, 20.0, 30.0]


@pytest.mark.parametrize(
    "score, loss, expected",
    [
        (SCORE, LOSS, 0.5),
        ([-s for s in SCORE], LOSS, -0.5),
        (np.exp(SCORE), np.log(LOSS), 0.5),  # only order counts
        ([-value for value in LOSS], LOSS, 1),
        ([2, 2, 1, 1], [1, 2, 3, 4], 4 / np.sqrt(20)),
        ([4, 3, 2, 1], [1, 2, np.nan, 9], 0.8),  # ranks 4 3 1 2: a diverged training is last
        ([4, 3, 2, 1], [1, 2, np.inf, 9], 0.8),
    ],
)
def test_spearman_by_hand(score, loss, expected):
    assert spearman(score, loss) == pytest.approx(expected)


@pytest.mark.parametrize(
    "score, loss, expected",
    [(SCORE, LOSS, 0.2), ([2, 2, 1, 1], [1, 2, 3, 4], 4 / np.sqrt(4 * 6)), ([2, 1], [1, 2], 1), ([1, 2], [1, 2], -1)],
)
def test_kendall_by_hand(score, loss, expected):
    assert kendall(score, loss) == pytest.approx(expected)


def test_a_constant_orders_nothing():
    assert np.isnan(spearman([1, 1, 1], [1, 2, 3])) and np.isnan(kendall([1, 1], [1, 2]))
    assert np.isnan(spearman([1, 2, 3], [1, 1, 1]))


@pytest.mark.parametrize("seed", range(20))
def test_against_scipy(seed):
    "With ties, and many pairs at once."
    a, b = np.random.default_rng(seed).integers(0, 9, (2, 5, 40))
    expected = [stats.spearmanr(x, y).statistic for x, y in zip(a, b)]
    assert spearman_of_ranks(a, b) == pytest.approx(expected)
    assert kendall_of_ranks(a[0], b[0]) == pytest.approx(stats.kendalltau(a[0], b[0]).statistic)
    copies = np.random.default_rng(seed).integers(0, 4, (3, 40))
    written_out = [stats.kendalltau(np.repeat(a[0], w), np.repeat(b[0], w)).statistic for w in copies]
    assert kendall_of_ranks(a[0], b[0], copies) == pytest.approx(written_out)


@pytest.mark.parametrize(
    "scores, loss, options, finding",
    [
        ([[1, np.nan, np.inf]], [1, 2, 3], {}, "2 of 3 are NaN or infinite"),
        ([[1, 2]], [1, 2, 3], {}, r"score has shape \(2,\) and loss \(3,\)"),
        ([[[1, 2]]], [[1, 2]], {}, "must be two lists of one length"),
        ([[1, 2]], [1, -np.inf], {}, "loss=-inf"),
        ([[1, np.nan]], [1, 2], dict(drop=True), "score ranks 1 architectures"),
        ([[1, np.nan, 3], [np.nan, 2, 3]], [1, 2, 3], dict(drop=True), "score ranks 1 architectures"),
    ],
)
def test_what_has_no_rank(scores, loss, options, finding):
    with pytest.raises(InputError, match=finding):
        rank_from_worst(scores, loss, **options)


def test_left_out_where_asked():
    assert spearman([1, 2, np.nan], [1, 2, 3], drop=True) == -1


@pytest.mark.parametrize("n, top, size", [(183, 0.1, 18), (100, 0.29, 29), (10, 0.7, 7), (5, 1, 5)])
def test_top_size_is_safe_from_rounding(n, top, size):
    assert top_size(n, top) == size


@pytest.mark.parametrize("top", [0, 1.1, 0.1, -1, float("nan")])
def test_top_without_architectures(top):
    with pytest.raises(InputError, match=f"top={top}"):
        common_ratio(SCORE, LOSS, top)


def test_ties_are_broken_at_random_in_expectation():
    "Twenty thousand random tie-breakings average to the closed form."
    random = np.random.default_rng(0)
    score, loss = random.integers(0, 4, 12), random.integers(0, 5, 12)
    jitter = random.random((2, 20_000, 12)) / 2
    tops = [np.argsort(values + jitter[i], axis=1)[:, -4:] for i, values in enumerate((score, -loss))]
    overlap = (tops[0][:, :, None] == tops[1][:, None, :]).sum((1, 2)).mean() / 4
    assert common_ratio(score, loss, 4 / 12) == pytest.approx(overlap, abs=0.01)


def test_curve_refuses_tops_that_are_empty():
    with pytest.raises(InputError, match="top=0.1"):
        agreement_curve(SCORE, LOSS)
    assert list(agreement_curve(SCORE, LOSS, (0.4, 1.0)).n) == [2, 5]
