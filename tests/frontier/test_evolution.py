"""What evolution and random search promise: budgets, nothing twice, cheap checks first, an end when a space is dry."""

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.frontier.evolution import AT_ONCE, accept_all, draw_new, evolve, planned_evaluations, random_search
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace

PAPER = SearchSpace.preset("gpt2")
SMALL = SearchSpace(
    "gpt2", n_layer=[1, 2, 3], d_model=[128, 192, 256], d_inner=[512, 768, 1024], n_head=[2, 4], vocab_size=[1000]
)
TINY = SearchSpace("gpt2", n_layer=[1], d_model=[128], d_inner=[256, 512], n_head=[2, 4], vocab_size=[100])


def objectives(population):
    "Decoder parameters against made-up seconds."
    width = population.d_model.astype(float)[:, None]
    seconds = 2e-4 + 4e-10 * width**2 * (1 + 0.02 * population.n_head) + 2e-10 * width * population.d_inner
    return np.c_[-count(population).decoder, ((population.n_head > 0) * seconds).sum(1)]


def test_members_only():
    history = evolve(PAPER, objectives, seed=1, iterations=6, progress=False)
    assert PAPER.contains(history.population).all()


@pytest.mark.parametrize("population", (5, 7, 10))
def test_a_full_run_spends_what_was_planned(population):
    history = evolve(SMALL, objectives, population=population, iterations=8, progress=False)
    assert len(history.F) == planned_evaluations(population, 8)


def test_a_budget_ends_within_a_generation():
    assert len(evolve(PAPER, objectives, max_evaluations=133, progress=False).F) == 133


def test_what_is_not_accepted_is_never_evaluated():
    asked = []

    def evaluate(population):
        asked.append(count(population).decoder)
        return objectives(population)

    evolve(PAPER, evaluate, population=20, iterations=5, accept=lambda P: count(P).decoder < 20e6, progress=False)
    assert sum(map(len, asked)) == planned_evaluations(20, 5)
    assert np.concatenate(asked).max() < 20e6


def test_a_dry_space_ends_the_search():
    assert len(evolve(TINY, objectives, population=10, progress=False).F) == 4
    assert len(random_search(TINY, objectives, 10, progress=False).F) == 4


@pytest.mark.parametrize("n", (3, 30, 5_000))
def test_a_dry_space_is_told_by_few_draws(n):
    asked, rng = [], np.random.default_rng(0)

    def draw(m):
        asked.append(m)
        return TINY.sample(m, rng)

    found = draw_new(draw, 10 + n, set(), accept_all, rounds=200)
    assert len(found) == 4 and len(np.unique(found.matrix, axis=0)) == 4
    assert sum(asked) >= 200 * (10 + n) and max(asked) <= AT_ONCE  # as thoroughly as in as many draws
    assert len(asked) < 15 + sum(asked) / (AT_ONCE / 2)


def test_with_nothing_to_breed_from_it_goes_on_drawing():
    history = evolve(PAPER, lambda P: np.full((len(P), 2), np.nan), population=20, iterations=3, progress=False)
    assert len(history.F) == planned_evaluations(20, 3) and not history.on_frontier().any()


def test_objectives_of_the_wrong_shape():
    with pytest.raises(InputError, match=r"evaluate: returned shape \(3,\), must be \(100, n_objectives\)"):
        evolve(PAPER, lambda P: np.zeros(3), progress=False)


def test_a_seed_draws_the_same():
    once, twice = (random_search(SMALL, objectives, 30, seed=3, progress=False) for _ in range(2))
    assert (once.population.matrix == twice.population.matrix).all()
