"""Expressions mean what gplearn means by them, nothing sealed is looked at, and luck is recognised as such."""

import numpy as np
import pandas as pd
import pytest

from lts_nb.core.errors import InputError
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.study import discovery
from lts_nb.study.discovery import Contest, TrainedSet, discover, gplearn_proposals, judge, luck
from lts_nb.study.expressions import Expression, counted_statistics

DRAW = np.random.default_rng(5)


def architectures(n: int, seed: int) -> list[Architecture]:
    draw = np.random.default_rng(seed)
    return [
        Architecture("gpt2", 64, (4,) * depth, tuple(draw.integers(64, 512, depth).tolist()), vocab_size=99, max_len=32)
        for depth in draw.integers(2, 6, n)
    ]


def a_set(name: str, seed: int, loss=None, n: int = 40) -> TrainedSet:
    made = architectures(n, seed)
    return TrainedSet.of(name, made, np.random.default_rng(seed).normal(size=n) if loss is None else loss(made))


def small_is_good(made: list) -> list[float]:
    return [float(np.log(count(a).decoder)) for a in made]


def test_texts_of_gplearn_mean_what_its_programs_mean():
    "Also where arguments are nearly 0, negative or huge."
    from gplearn.genetic import SymbolicTransformer

    names = ["attention", "ffn", "place"]
    X = np.concatenate([DRAW.normal(0, 1, (60, 3)), DRAW.normal(0, 1e-3, (60, 3)), DRAW.normal(0, 1e6, (60, 3))])
    functions = ("add", "sub", "mul", "div", "max", "min", "sqrt", "log", "inv", "neg")
    engine = SymbolicTransformer(
        population_size=300,
        generations=1,
        function_set=functions,
        feature_names=names,
        init_depth=(2, 5),
        const_range=None,  # texts round constants
        random_state=0,
    )
    engine.fit(X, X[:, 0])
    layers = pd.DataFrame(X, columns=names)
    for program in engine._programs[0]:
        np.testing.assert_allclose(Expression(str(program)).of_layers(layers), program.execute(X), rtol=1e-12)


def test_the_fitness_that_is_evolved_is_the_gain_that_is_told(monkeypatch):
    contest = Contest([a_set("a", 0), a_set("b", 1)])
    monkeypatch.setattr(discovery, "POPULATION", 50)
    seen = []
    gains = contest.gains
    contest.gains = lambda said: seen.append(gains(said).mean()) or gains(said)
    texts = gplearn_proposals(contest, 100, seed=3)
    assert len(texts) == 100
    contest.gains = gains
    told = [contest.gain(text) for text in texts]
    known = set(np.round(seen, 12))
    assert np.mean([each in known for each in np.round(told, 12)]) > 0.9  # texts round constants to three digits


def test_both_losses_of_an_architecture_are_on_one_side():
    made = architectures(40, 0)
    first, second = (TrainedSet.of(name, made[::step], np.arange(40.0)[::step]) for name, step in (("a", 1), ("b", -1)))
    (a, _), (b, _) = first.halves(), second.halves()
    assert set(a.keys) == set(b.keys) and 5 < len(a.keys) < 35
    assert a.layers.architecture.is_monotonic_increasing and a.layers.architecture.nunique() == len(a.loss)
    expected = [float(made.index(each)) for each in made if discovery.key_of(each) in set(a.keys)]
    assert a.loss.tolist() == expected


def test_what_is_permuted_keeps_what_size_explains():
    told = a_set("a", 0, small_is_good)
    assert np.allclose(told.permuted(0).loss, told.loss, rtol=1e-9)  # size explains all of it
    other = a_set("a", 0)
    mixed = other.permuted(1)
    assert not np.allclose(mixed.loss, other.loss) and mixed.loss.sum() == pytest.approx(other.loss.sum())
    assert (mixed.permuted(1).loss != mixed.loss).any() and (other.permuted(1).loss == mixed.loss).all()


def test_a_perfect_score_gains_all_that_there_is_and_a_wrong_one_loses_it():
    sets = [a_set("a", 0, small_is_good), a_set("b", 1, small_is_good)]
    contest = Contest(sets)
    assert contest.count_right == pytest.approx([0, 0], abs=0.01)  # some are of one size
    assert contest.gain("neg(div(decoder, n_layer))") == pytest.approx(1, abs=0.01)
    assert contest.gain("div(7, n_layer)") == pytest.approx(0.5, abs=0.01)
    found = judge("neg(div(decoder, n_layer))", sets)
    assert found.gain.to_numpy() == pytest.approx([1, 1, 1], abs=0.01) and found.power.tolist() == [1, 1, 1]
    assert found["set"].tolist() == ["a", "b", "all"] and found.n.tolist() == [40, 40, 80]


def test_sealed_sets_are_not_looked_at_while_searching():
    sealed = [a_set("sealed", 9)]
    looked = []

    def spying(contest, n, seed):
        looked.extend(each.name for each in contest.sets)
        return ["ffn", "neg(ffn)", "attention"]

    found = discover([a_set("a", 0), a_set("b", 1)], spying, seeds=(0, 1))
    assert looked == ["a", "b"] * 2 and len(found.tried) == 3
    chance = luck([a_set("a", 0)], sealed, [4], propose=spying)
    assert looked[4:] == ["a"] and chance.exchange.tolist() == [4]
    exchanged = Contest([sealed[0].permuted(4)])
    gains = {text: exchanged.gain(text) for text in found.tried.expression}
    assert chance.sealed.tolist() == [gains[chance.expression[0]]] and chance.opened.tolist() == [max(gains.values())]


def test_the_other_half_chooses(monkeypatch):
    "What is best where it was searched loses to what the other half prefers, but only within the shortlist."
    gains = {("searched", "1"): 0.3, ("searched", "2"): 0.2, ("searched", "3"): 0.1}
    gains |= {("chosen", "1"): 0.0, ("chosen", "2"): 0.1, ("chosen", "3"): 0.9}
    turn = iter(("searched", "chosen"))

    class Told:
        def __init__(self, sets):
            self.name = next(turn)

        def gain(self, text):
            return gains[self.name, text]

    monkeypatch.setattr(discovery, "Contest", Told)
    found = discover([a_set("a", 0)], lambda *_: ["3", "1", "2", "1"], shortlist=2)
    assert found.best == "2" and found.tried.expression.tolist() == ["1", "2", "3"]
    assert np.isnan(found.tried.chosen[2])


def test_statistics_add_up_to_counts():
    made = architectures(5, 3)
    layers = counted_statistics(made)
    assert Expression("add(attention, ffn)").score(layers).tolist() == [count(a).attention + count(a).ffn for a in made]
    assert Expression("d_head").score(layers).tolist() == [16 * a.n_layer for a in made]
    assert layers.groupby("architecture").place.agg(["min", "max"]).to_numpy().tolist() == [[0, 1]] * 5


def test_bad_sets():
    with pytest.raises(InputError, match="loss of a: must be a number for each"):
        TrainedSet.of("a", architectures(3, 0), [1.0, 2.0, np.nan])
    with pytest.raises(InputError, match="expression: reads 'depth'"):
        Contest([a_set("a", 0)]).gain("depth")
