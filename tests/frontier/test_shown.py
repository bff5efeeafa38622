"""What stands for a frontier: hand-made ones, random ones, and those of published runs."""

from pathlib import Path

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.frontier.shown import WITHIN, choose_shown, factor_of, staircase

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def random_frontier(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    "Sizes, negated, that grow with latency; two further costs."
    rng = np.random.default_rng(seed)
    latency = np.exp(rng.uniform(0, 5, n))
    return -(latency ** rng.uniform(0.8, 1.5)) * rng.uniform(0.5, 1, n), latency, rng.uniform(1, 2, (n, 2))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("at_most", (1, 5, 20, 400))
def test_each_shown_is_the_best_for_its_latency(seed, at_most):
    quality, latency, others = random_frontier(seed)
    shown = choose_shown(quality, latency, others, at_most, resolution=0.05)
    assert 1 <= len(shown.best) <= at_most and len(shown.leanest) == len(shown.best)
    assert (np.diff(latency[shown.best]) > 0).all()
    for best, lean in zip(*shown[:2], strict=True):
        assert quality[latency <= latency[best]].min() == quality[best]
        assert latency[lean] <= 1.05 * latency[best] and quality[lean] <= quality[best] / 1.05
        as_good = (latency <= 1.05 * latency[best]) & (quality <= quality[best] / 1.05)
        assert others[lean, 0] in (others[as_good, 0].min(), others[best, 0])


@pytest.mark.parametrize("seed", range(8))
def test_the_factor_holds_for_every_member(seed):
    quality, latency, _ = random_frontier(seed)
    shown = choose_shown(quality, latency, at_most=12)
    slower = latency[shown.best] / latency[:, None]
    smaller = quality[:, None] / quality[shown.best]
    assert np.isclose(np.maximum(slower, smaller).min(1).max(), shown.factor)


def test_a_list_as_long_as_the_staircase_stands_for_all():
    quality, latency, _ = random_frontier(0)
    shown = choose_shown(quality, latency, at_most=400)
    assert shown.factor == 1 and set(shown.best) == set(staircase(quality, latency))


def test_even_steps_where_they_do():
    latency = np.geomspace(0.01, 0.04, 1000)
    shown = choose_shown(-latency, latency, at_most=8)
    assert shown.factor < WITHIN
    assert np.allclose(np.diff(np.log(latency[shown.best])), np.log(4) / 7, atol=2e-3)


def test_decades_need_more_than_twenty():
    latency = np.geomspace(1e-3, 1e3, 5000)
    shown = choose_shown(-latency, latency)
    assert len(shown.best) == 20 and 1.3 < shown.factor < 1.5


def test_a_preferred_member_is_taken_where_nothing_is_lost():
    latency = np.geomspace(0.01, 0.04, 1000)
    liked = np.arange(1000) % 7 == 3
    shown = choose_shown(-latency, latency, at_most=12, homogeneous=liked)
    assert liked[shown.best].all() and shown.factor <= WITHIN
    few = choose_shown(-latency, latency, at_most=2, homogeneous=liked)
    assert few.factor == choose_shown(-latency, latency, at_most=2).factor


def test_the_order_of_members_does_not_matter():
    quality, latency, others = random_frontier(3)
    order = np.random.default_rng(0).permutation(len(quality))
    shown, again = choose_shown(quality, latency, others), choose_shown(quality[order], latency[order], others[order])
    assert (order[again.best] == shown.best).all() and (order[again.leanest] == shown.leanest).all()


def test_perplexities_and_sizes_are_treated_alike():
    quality, latency, _ = random_frontier(4)
    assert (choose_shown(-1 / quality, latency).best == choose_shown(quality, latency).best).all()


@pytest.mark.parametrize(
    "bad", (dict(at_most=0), dict(at_most=2.5), dict(resolution=-1), dict(resolution=float("nan")))
)
def test_bad_numbers(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        choose_shown([-1.0], [1.0], **bad)


def test_what_has_no_ratios():
    for quality, latency in (([-1.0, 1.0], [1.0, 2.0]), ([-1.0, -2.0], [0.0, 1.0]), ([np.nan, -1.0], [1.0, 2.0])):
        with pytest.raises(InputError, match="relative differences mean nothing"):
            choose_shown(quality, latency)


@pytest.mark.parametrize("name", ("gpt2_cpu", "llama_cpu", "lfm2_cpu"))
def test_published_runs_fit_into_twenty_lines(name):
    with np.load(BENCHMARKS / name / "exact.npz") as arrays:
        F = arrays["F"]
    shown = choose_shown(F[:, 0], F[:, 1], F[:, 2:])
    listed = F[shown.best]
    assert len(F) > 1_000 and len(listed) <= 20 and shown.factor <= 1.2
    assert np.isclose(factor_of(F[:, 0], F[:, 1], listed[:, 0], listed[:, 1]), shown.factor)
    assert (F[shown.leanest, 2] <= listed[:, 2]).all() and len(shown.rows) <= 40
