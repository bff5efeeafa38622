"""Costs at equal loss by hand and against a fine sum, and intervals that know what they do not know."""

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.study.equal_loss import cost_ratio, gain, parallel_ratio

HEAVY = [2, 1], [1, 8]  # losses and costs: each halving of the distance to a loss of 1 doubles the cost
LIGHT = [1, 2], [2, 1]


def test_by_hand():
    assert cost_ratio(*HEAVY, *LIGHT) == pytest.approx(2)
    assert cost_ratio(*LIGHT, *HEAVY) == pytest.approx(1 / 2)
    assert cost_ratio(*HEAVY, [1.5, 1, 2], [2**0.5, 2, 1]) == pytest.approx(2)  # a point on the line changes nothing
    assert [cost_ratio(*HEAVY, *LIGHT, at) for at in (2, 1.5, 1)] == pytest.approx([1, 2, 4])


@pytest.mark.parametrize("seed", range(5))
def test_against_a_fine_sum(seed):
    random, grid = np.random.default_rng(seed), np.linspace(1.1, 1.9, 100_001)
    loss_a, cost_a, loss_b, cost_b = np.sort(random.uniform(1.1, 1.9, (4, 6)), axis=1)
    for loss in (loss_a, loss_b):
        loss[[0, -1]] = 1.1, 1.9
    cost_a, cost_b = cost_a[::-1], cost_b[::-1]
    log_a, log_b = np.interp(grid, loss_a, np.log(cost_a)), np.interp(grid, loss_b, np.log(cost_b))
    assert cost_ratio(loss_a, cost_a, loss_b, cost_b) == pytest.approx(np.exp((log_a - log_b).mean()), rel=1e-4)


def test_losses_that_a_series_does_not_reach():
    assert np.isnan(cost_ratio([1, 2], [2, 1], [3, 4], [2, 1]))
    assert np.isnan(cost_ratio(*HEAVY, *LIGHT, 0.99)) and np.isnan(cost_ratio(*HEAVY, *LIGHT, 2.01))  # neither does
    assert cost_ratio(*HEAVY, [2, 1.5], [1, 2], 1.2) == 0
    assert cost_ratio([2, 1.5], [1, 2], *HEAVY, 1.2) == np.inf
    assert cost_ratio(*HEAVY, [1.5, 1], [1, 8], 1.8) == np.inf


@pytest.mark.parametrize(
    "series, finding",
    [
        (([1], [1], [1, 2], [2, 1]), r"cost_a \(1,\)"),
        (([1, 2], [2, 1], [1, np.nan], [2, 1]), "loss_b, cost_b: must be finite"),
        (([1, 2], [2, 0], [1, 2], [2, 1]), "costs above 0"),
        (([1, 2], [2, 1, 3], [1, 2], [2, 1]), "must be two lists of one length"),
    ],
)
def test_what_is_no_series(series, finding):
    with pytest.raises(InputError, match=finding):
        cost_ratio(*series)


def make_up_series(seed, cheaper):
    "Losses at three seeds and costs in seven rounds of five models."
    random, cost = np.random.default_rng(seed), np.geomspace(1.6, 4.6, 5)[:, None]
    loss = 2.7 - 0.45 * np.log(cost * cheaper)
    return loss + 0.04 * random.standard_normal((5, 3)), cost * np.exp(0.03 * random.standard_normal((5, 7)))


A, B = make_up_series(0, 1), make_up_series(1, 1.3)


def without_noise(series):
    losses, costs = series
    return np.repeat(losses.mean(1)[:, None], 2, 1), costs[:, :1]


def width(found):
    return np.log(found["ratio_high"] / found["ratio_low"])


def test_noise_makes_the_interval():
    exact = gain(*without_noise(A), *without_noise(B))
    assert exact["ratio_low"] == pytest.approx(exact["ratio_high"])
    timed = gain(without_noise(A)[0], A[1], without_noise(B)[0], B[1])
    assert 0.005 < width(timed) < width(gain(*A, *B)) / 2  # most of it is the seeds'
    middle = A[0].mean(1)[:, None]
    louder = middle + 3 * (A[0] - middle), A[1]
    assert width(gain(*louder, *B)) > 1.3 * width(gain(*A, *B)) > 0


def test_pooled_noise_and_range():
    found = gain(*A, *B)
    variances = [np.var(losses, ddof=1) for losses in (*A[0], *B[0])]  # as many seeds each: the mean variance
    assert found["noise"] == pytest.approx(np.sqrt(np.mean(variances)))
    means = A[0].mean(1), B[0].mean(1)
    for one in (found, gain(*B, *A)):
        assert one["best"] == max(mean.min() for mean in means)
        assert one["worst"] == min(mean.max() for mean in means)
    fewer_seeds = [list(losses[: 1 + i]) for i, losses in enumerate(A[0][:3])]
    assert gain(fewer_seeds, A[1][:3], *B)["ratio"] > 0


def test_at_one_loss():
    largest = gain(*without_noise(A), *without_noise(B), at=4)
    by_hand = cost_ratio(A[0].mean(1), A[1][:, 0], B[0].mean(1), B[1][:, 0], at=A[0][4].mean())
    assert largest["ratio"] == pytest.approx(by_hand) and largest["ratio_low"] == pytest.approx(by_hand)
    assert largest["reached"] == 1
    unreached = gain(
        *without_noise(B), *without_noise(A), at=4
    )  # the second does not get as low as the first's largest
    assert [unreached[key] for key in ("ratio", "ratio_high", "reached")] == [0, 0, 0]
    some = gain(B[0] + 0.1, B[1], *A, at=4)
    assert 0 < some["reached"] < 1 and some["ratio_low"] == 0 < some["ratio_high"] < 2


def test_one_seed_everywhere():
    with pytest.raises(InputError, match="every model has one seed"):
        gain(A[0][:, :1], A[1], B[0][:, :1], B[1])


def test_parallel_lines_by_hand():
    assert parallel_ratio(*HEAVY, *LIGHT) == pytest.approx(2)  # 8 and 2 a nat: 4 for both, level in the middle
    apart = [8, 9], [2, 1]  # no loss in common: the lines say it all
    assert np.isnan(cost_ratio(*LIGHT, *apart)) and parallel_ratio(*LIGHT, *apart) == pytest.approx(2**-7)
    found = gain(*A, *B, models=True, parallel=True)
    assert found["ratio_low"] < 1.3 < found["ratio_high"] and found["reached"] == 1
    assert found["ratio"] == pytest.approx(
        parallel_ratio(*(f(x, 1) for x, f in zip((*A, *B), (np.mean, np.median) * 2)))
    )
