"""Tables of a study where sets are small, runs failed or diverged, or nothing is repeated."""

import numpy as np
import pandas as pd
import pytest

from lts_nb.core.errors import InputError
from lts_nb.study.law_fitting import judge_law
from lts_nb.study.report import sets_of, study_lines, study_tables
from lts_nb.study.tables import (
    agreements,
    blind_spots,
    ceiling,
    compare_budgets,
    compare_on_the_way,
    first_seeds,
    make_up_runs,
    seed_noise,
)

RUNS = make_up_runs()
LAST = first_seeds(RUNS)[lambda runs: runs.tokens == 8_000_000]


def test_runs_that_failed_or_diverged_are_left_out():
    broken = RUNS.copy()
    broken.loc[broken.id == "a7", ["error", "loss"]] = "no memory", np.nan
    assert (first_seeds(broken).id != "a7").all() and len(first_seeds(broken)) == 2 * 59
    assert compare_budgets(broken).n.item() == 59
    diverged = RUNS.copy()
    diverged.loc[diverged.index[0], "loss"] = np.nan
    assert compare_budgets(diverged).n.item() == 59
    assert seed_noise(diverged).trainings.tolist() == [24, 25]


def test_budgets_of_one_architecture():
    found = compare_budgets(RUNS[RUNS.id == "a0"])
    assert np.isnan(found.rho.item()) and not found.settled.item()
    assert len(compare_budgets(RUNS[RUNS.tokens == 8_000_000])) == 0


def test_curves_that_skip_a_stretch():
    some = LAST[:4].assign(curve=[[[8_000_000, loss]] for loss in LAST.loss[:4]])
    found = compare_on_the_way(some)
    assert found.rho.tolist() == [1.0] and found.tokens.item() == pytest.approx(8_000_000)
    assert len(compare_on_the_way(some[:2])) == 0  # two architectures are no ranking


def test_noise_by_hand():
    "Squares 1 + 1 + 0 + 0, over two degrees of freedom."
    runs = pd.DataFrame(dict(id=list("aabbc"), backbone="gpt2", tokens=1, loss=[1.0, 3.0, 5.0, 5.0, 9.0], error=None))
    found = seed_noise(runs).iloc[0]
    assert found.drop(["low", "high"]).tolist() == ["gpt2", 1, 1.0, 2, 4] and found.low < 1 < found.high
    assert len(seed_noise(runs[runs.id == "c"])) == 0  # nothing is repeated


def test_intervals_of_noise_hold_as_often_as_they_say():
    "Four architectures at five seeds, of deviation 1: 400 such studies, each as a backbone of its own."
    rng, studies = np.random.default_rng(0), 400
    runs = pd.DataFrame(dict(backbone=np.repeat(np.arange(studies), 20), tokens=1, error=None))
    runs = runs.assign(id=np.tile(np.repeat(list("abcd"), 5), studies), loss=rng.normal(0, 1, len(runs)))
    found = seed_noise(runs)
    assert 0.92 < ((found.low < 1) & (found.high > 1)).mean() < 0.98  # three standard errors about .95
    assert (seed_noise(runs, 0.5).high < found.high).all()


def test_ceiling_falls_with_noise():
    reached = [ceiling(LAST.loss, sd, draws=100) for sd in (0.0, 0.005, 0.05, 0.5)]
    assert reached[0] == pytest.approx((1, 1, 1))
    assert all(a[0] > b[0] for a, b in zip(reached, reached[1:]))
    assert all(low <= rho <= high for rho, low, high in reached[1:])


def test_scores_of_two_architectures_are_not_judged():
    scores = pd.DataFrame(dict(few=[1.0, 2.0]), index=["a0", "a1"])
    assert len(agreements(LAST, scores)) == 0


def test_blind_spots_of_one_architecture_and_of_equal_depths():
    alone = blind_spots(LAST[-1:], 0.005)
    assert alone.n.item() == 1 and np.isnan(alone.beyond_noise.item()) and alone.spread.item() == 0
    assert np.isnan(blind_spots(LAST[-12:].assign(n_layer=4), 0.005).slope.item())
    assert blind_spots(LAST[-12:], 100.0).beyond_noise.item() == 0  # all of it may be noise


def test_too_few_runs_for_a_law_are_left_out():
    assert len(judge_law(RUNS[RUNS.id.isin([f"a{i}" for i in range(21)])].assign(seconds=1.0))) == 0


def test_intervals_of_laws_may_miss():
    "On loud runs some losses lie outside the intervals of 90 %, and `held` counts those inside."
    judged = judge_law(make_up_runs(noise=0.05).assign(seconds=1.0), draws=4)
    assert judged.error.min() > 0.05 and 0 < judged.held.min() < 1
    assert (judged.gain_low <= judged.gain).all() and (judged.gain <= judged.gain_high).all()


@pytest.mark.parametrize("column", ["corpus", "recipe"])
@pytest.mark.parametrize("table", [compare_budgets, compare_on_the_way, seed_noise])
def test_runs_that_were_not_trained_alike(table, column):
    several = pd.concat([RUNS.assign(**{column: "{}"}), RUNS.assign(**{column: '{"lr": 1}'}, loss=RUNS.loss + 0.5)])
    with pytest.raises(InputError, match=f"{column}: runs have 2 of them"):
        table(several)


def test_studies_that_share_a_folder_are_told_apart():
    "Of two texts, or by two recipes: each set has its own ranks and noise, and is called by what differs."
    runs = RUNS.assign(total_params=RUNS.decoder_params, corpus="0123456789", recipe='{"lr": 0.004}')
    harder = runs.assign(corpus="abcdef0123", loss=runs.loss + 0.5)
    slower = runs.assign(recipe='{"lr": 0.002}', loss=runs.loss + 0.25)
    assert list(sets_of(runs)) == [""] and study_lines(runs).startswith("backbone")
    assert list(sets_of(pd.concat([runs, harder]))) == ["corpus 01234567", "corpus abcdef01"]
    assert list(sets_of(pd.concat([runs, slower]))) == ["lr 0.004", "lr 0.002"]
    told = study_lines(pd.concat([runs, slower])).split("\n\nlr 0.002:\n")
    assert told == ["lr 0.004:\n" + study_lines(runs), study_lines(slower)]
    assert study_tables(runs)["noise"].sd.max() < 0.01
