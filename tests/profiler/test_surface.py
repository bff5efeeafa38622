"""How sure a fitted price is: the likeliest standard deviations, also where some of them make no covariance."""

import numpy as np
import pytest

from lts_nb.profiler.profile.surface import FIRST_GUESS, find_deviations


class SometimesNone:
    "The part's variance, up to a bound from which on the matrix is no covariance any more."

    def of(self, deviations: dict) -> np.ndarray:
        if deviations["part"] < 0.06:
            return deviations["part"] ** 2 * np.eye(200)
        return 0.04 * (2 * np.ones((200, 200)) - np.eye(200))


@pytest.mark.filterwarnings("error")
def test_no_deviations_are_taken_that_make_no_covariance():
    prices = np.random.default_rng(0).normal(0, 0.2, 200)  # the likeliest would lie beyond the bound
    found = find_deviations(SometimesNone(), prices, FIRST_GUESS)
    assert 0.05 < found["part"] < 0.06


def test_the_likeliest_is_what_readings_scatter_by():
    prices = np.random.default_rng(0).normal(0, 0.03, 200)
    assert abs(find_deviations(SometimesNone(), prices, FIRST_GUESS)["part"] / 0.03 - 1) < 0.2
