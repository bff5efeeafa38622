"""Bootstrap intervals: every resample's figure is the one that its architectures, written out, would get."""

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.study.ranking import kendall, kendall_of_ranks, rank_from_worst, spearman, spearman_of_ranks
from lts_nb.study.resampling import agreement, compare, draw_resamples

RANDOM = np.random.default_rng(0)
QUALITY = RANDOM.normal(size=200)
LOSS = 30 - 3 * QUALITY
GOOD, POOR = QUALITY + 0.2 * RANDOM.normal(size=200), QUALITY + 0.6 * RANDOM.normal(size=200)
HOLES = np.where(np.arange(200) < 7, np.nan, GOOD)
NAMES = ("rho", "tau", "rho_top10", "cr10", "cr50")


def test_resamples_written_out_with_ties():
    score, loss = np.random.default_rng(1).integers(0, 9, (2, 30))
    (a,), b, _ = rank_from_worst([score], loss)
    copies, index = draw_resamples(30, 50, 3)
    assert spearman_of_ranks(a[index], b[index]) == pytest.approx([spearman(score[i], loss[i]) for i in index])
    assert kendall_of_ranks(a, b, copies) == pytest.approx([kendall(score[i], loss[i]) for i in index])


def best_draws(values, index, k):
    "Which draws are the `k` best, of copies the later ones first."
    return {*np.lexsort((np.arange(len(index)), values[index]))[-k:]}


def test_intervals_by_hand():
    found, index = agreement(GOOD, LOSS, resamples=50), draw_resamples(200, 50, 0)[1]  # the default seed
    by_hand = dict(
        rho=[spearman(GOOD[i], LOSS[i]) for i in index],
        tau=[kendall(GOOD[i], LOSS[i]) for i in index],
        cr10=[len(best_draws(GOOD, i, 20) & best_draws(-LOSS, i, 20)) / 20 for i in index],
        cr50=[len(best_draws(GOOD, i, 100) & best_draws(-LOSS, i, 100)) / 100 for i in index],
        rho_top10=[spearman(*(v[i][np.argsort(LOSS[i], kind="stable")[:20]] for v in (GOOD, LOSS))) for i in index],
    )
    for name, draws in by_hand.items():
        assert [found[name + "_low"], found[name + "_high"]] == pytest.approx(np.quantile(draws, [0.025, 0.975]))


def test_wrong_sign_seed_and_level():
    wrong = agreement(LOSS, LOSS)
    assert {round(wrong[key], 9) for key in wrong if "rho" in key or "tau" in key} == {-1.0}
    assert agreement(GOOD, LOSS) != agreement(GOOD, LOSS, seed=1)
    wide, narrow = (agreement(POOR, LOSS, level=level) for level in (0.99, 0.5))
    assert wide["rho_low"] < narrow["rho_low"] < narrow["rho_high"] < wide["rho_high"]


def test_holes_are_refused_or_counted():
    with pytest.raises(InputError, match="7 of 200"):
        agreement(HOLES, LOSS)
    with pytest.raises(InputError, match="7 of 200"):
        compare(GOOD, HOLES, LOSS)
    assert [agreement(HOLES, LOSS, drop=True)[key] for key in ("n", "dropped")] == [193, 7]
    assert [compare(HOLES, np.roll(HOLES, 3), LOSS, drop=True)[key] for key in ("n", "dropped")] == [190, 10]


def test_too_few_for_a_top_tenth():
    few = agreement(GOOD[:9], LOSS[:9])
    unknown = [f"{name}{end}" for name in ("rho_top10", "cr10") for end in ("", "_low", "_high")]
    assert [key for key in few if np.isnan(few[key])] == unknown


def test_compare_turned_round():
    forth, back = compare(GOOD, POOR, LOSS), compare(POOR, GOOD, LOSS)
    assert [back["difference_low"], back["difference_high"]] == pytest.approx(
        [-forth["difference_high"], -forth["difference_low"]]
    )
    assert (forth["a_better"], back["a_better"]) == (1, 0)


@pytest.mark.parametrize("options, finding", [(dict(resamples=0), "resamples=0"), (dict(level=1), "level=1")])
def test_bad_input(options, finding):
    for function, scores in ((agreement, (GOOD,)), (compare, (GOOD, POOR))):
        with pytest.raises(InputError, match=finding):
            function(*scores, LOSS, **options)
