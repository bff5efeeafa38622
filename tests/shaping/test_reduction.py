"""What goes into ends, which columns go first, and what the others become: on a trained parent, and by hand."""

import contextlib
import itertools

import numpy as np
import pytest
import torch
from tiny_parent import stories, tiny_parent, token_windows

from lts_nb.models.cut import cut
from lts_nb.models.shape import Kept, Shape
from lts_nb.shaping.blocks import Replacement, ends_of, from_layer, layer_inputs, listening, replaced
from lts_nb.shaping.moments import measure_moments
from lts_nb.shaping.reduction import RULES, lost_share, reduced, removal_order, ridged
from lts_nb.shaping.refit import refit
from lts_nb.shaping.scores import Choice, choices_of, divergence, score_layer, summarize_scores
from lts_nb.shaping.verification import window_losses


@pytest.fixture(scope="module")
def known():
    "A tiny trained parent, its ends, and what goes into them."
    parent, windows = tiny_parent(), token_windows(stories().train, 40)
    return parent, ends_of(parent), measure_moments(parent, windows), windows


def test_moments_are_those_of_what_goes_in(known):
    parent, ends, moments, windows = known
    with torch.no_grad():
        heard = []
        hook = ends[2, "attention"].module.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
        parent.model(windows)
        hook.remove()
    x = heard[0].flatten(0, 1).double().numpy()
    assert moments[2, "attention"].n == windows.numel()
    np.testing.assert_allclose(moments[2, "attention"].second.numpy(), x.T @ x / len(x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("half, n", [("feed_forward", 64), ("attention", 1)])
def test_repair_loses_least_and_every_rule_orders_all(known, half, n):
    _, ends, moments, _ = known
    end, found = ends[1, half], moments[1, half]
    second = ridged(found)
    for rule in RULES:
        order = removal_order(end, found, rule)
        assert sorted(order) == list(range(end.n_units))
        plain, repaired = (reduced(end, found, order, n, repairs) for repairs in (False, True))
        columns = end.columns(plain.units)
        lost = [lost_share(end.matrix, second, columns, each.matrix) for each in (plain, repaired)]
        assert 0 < lost[1] < lost[0]
        nudged = repaired.matrix + 0.01 * torch.randn(repaired.matrix.shape, generator=torch.Generator().manual_seed(0))
        assert lost_share(end.matrix, second, columns, nudged) > lost[1]


def test_the_group_that_goes_first_is_the_cheapest(known):
    _, ends, moments, _ = known
    for layer in range(4):
        end, found = ends[layer, "attention"], moments[layer, "attention"]
        lost = []
        for gone in range(2):
            left = reduced(end, found, [gone, 1 - gone], 1)
            lost.append(lost_share(end.matrix, ridged(found), end.columns(left.units), left.matrix))
        assert removal_order(end, found)[0] == int(np.argmin(lost))


def test_a_score_is_the_divergence_of_the_cut_model(known):
    parent, ends, moments, windows = known
    replacement = reduced(ends[1, "feed_forward"], moments[1, "feed_forward"], list(range(192)), 96)
    whole = Kept(range(2), range(192))
    with torch.no_grad():
        inputs, logits = layer_inputs(parent, windows[:1])
        models = (
            cut(
                parent,
                Shape((whole, Kept(range(2), replacement.units.tolist()), whole, whole)),
                {(1, "feed_forward"): replacement.matrix},
            ),
            cut(parent, Shape((whole, None, whole, whole))),
        )
        expected = [float(divergence(logits.log_softmax(-1), each(windows[:1]).logits).mean()) for each in models]
    asked = [Choice(1, "feed_forward", 96), Choice(1, "layer", 0)]
    found = score_layer(parent, windows[:1], inputs[1], logits.log_softmax(-1), asked, lambda _: replacement)
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_everything_is_as_it_was_afterwards(known):
    parent, ends, _, windows = known
    kept, logits = layer_inputs(parent, windows[:2])
    end = ends[0, "attention"]
    nothing = Replacement(torch.zeros(0, dtype=torch.long), end.matrix[:, :0], keeps_bias=False)
    with pytest.raises(ZeroDivisionError), replaced(end, nothing):
        assert not torch.allclose(from_layer(parent, 0, windows[:2], kept[0]), logits)
        raise ZeroDivisionError
    with torch.no_grad():
        torch.testing.assert_close(parent.model(windows[:2]).logits, logits)


def test_scores_of_a_block_are_in_order(known):
    parent, *_ = known
    choices = choices_of(parent, [0, 64, 128], [0, 1])
    drawn = np.abs(np.random.default_rng(0).normal(size=(5, len(choices))))
    scores = summarize_scores([(choices, drawn)])
    for layer, half in itertools.product(range(4), ("attention", "feed_forward")):
        own = [scores.of(c) for c in choices if (c.layer, c.half) == (layer, half)]
        assert own == sorted(own, reverse=True)
    assert scores.error == pytest.approx(drawn.std(0, ddof=1) / 5**0.5)


def narrowed(known) -> tuple[Shape, dict]:
    "A shape of three eighths of all neurons and one group less, and its repaired ends."
    _, ends, moments, _ = known
    orders = {place: removal_order(end, moments[place]) for place, end in ends.items()}
    kept = [Kept(range(2), orders[i, "feed_forward"][-72:]) for i in range(4)]
    kept[2] = Kept([orders[2, "attention"][-1]], kept[2].neurons)
    first = {}
    for layer, stays in enumerate(kept):
        for half, units in (("attention", stays.groups), ("feed_forward", stays.neurons)):
            place = layer, half
            first[place] = reduced(ends[place], moments[place], orders[place], len(units)).matrix
    return Shape(tuple(kept)), first


def test_fitting_one_after_the_other_helps_on_text_that_was_not_seen(known):
    parent, _, _, windows = known
    shape, first = narrowed(known)
    fitted, judged = refit(parent, shape, windows, first)[0], token_windows(stories().valid, 20)
    losses = [window_losses(cut(parent, shape, outputs), judged).mean() for outputs in (None, first, fitted)]
    assert window_losses(parent.model, judged).mean() < losses[2] < losses[1] < losses[0]


# --- where ends have biases


@pytest.fixture(scope="module", params=["gpt2", "opt"])
def biased(request):
    "A tiny parent whose ends have biases, its ends, and what goes into them."
    parent, windows = tiny_parent(40, 0, request.param), token_windows(stories().train, 20)
    return parent, ends_of(parent), measure_moments(parent, windows), windows


def heard_by(parent, end, windows):
    "What goes into an end, `(tokens, columns)`, float64."
    with torch.no_grad(), listening([end], lambda _, given: heard.append(given.flatten(0, 1).double())):
        heard = []
        parent.model(windows)
    return heard[0]


@pytest.mark.parametrize("half, n", [("feed_forward", 30), ("attention", 2)])
def test_moments_of_ends_with_biases(biased, half, n):
    parent, ends, moments, windows = biased
    x, found = heard_by(parent, ends[1, half], windows), moments[1, half]
    torch.testing.assert_close(found.mean, x.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.second, x.T @ x / len(x), rtol=1e-3, atol=1e-5)


def sent_by(end, x, replacement):
    "What an end sends with a replacement, float64."
    with torch.no_grad(), replaced(end, replacement):
        return end.module(x.float()).double()


def least_error(x, sent):
    "Of all matrices and biases, by a library."
    x, sent = x - x.mean(0), sent - sent.mean(0)
    return mean_error(x @ torch.linalg.lstsq(x, sent).solution, sent)


def mean_error(found, sent):
    return float(((found - sent) ** 2).sum(1).mean())


def learned(biased, half):
    "An end, its moments, what goes in and what it sends."
    parent, ends, moments, windows = biased
    end = ends[1, half]
    x = heard_by(parent, end, windows)
    return end, moments[1, half], x, x @ end.matrix.double().T + end.bias


@pytest.mark.parametrize("half, n", [("feed_forward", 30), ("attention", 2)])
def test_the_bias_takes_what_the_mean_was(biased, half, n):
    "The regression has an intercept: nothing is sent too much in the mean, and no other matrix or bias does better."
    end, found, x, sent = learned(biased, half)
    ways = dict(both={}, about_zero=dict(keeps_mean=False), dropped=dict(repairs=False))
    made = {name: reduced(end, found, removal_order(end, found), n, **how) for name, how in ways.items()}
    errors = {name: mean_error(sent_by(end, x, replacement), sent) for name, replacement in made.items()}
    assert errors["both"] < errors["about_zero"] and errors["both"] < errors["dropped"]
    for name in ("both", "dropped"):
        torch.testing.assert_close(sent_by(end, x, made[name]).mean(0), sent.mean(0), rtol=1e-4, atol=1e-4)
    least = least_error(x[:, end.columns(made["both"].units)], sent)
    assert least <= errors["both"] < 1.5 * least  # what the ridge costs


def test_of_a_half_that_is_gone_the_mean_stays(biased):
    parent, ends, moments, windows = biased
    end, found = ends[1, "attention"], moments[1, "attention"]
    made = reduced(end, found, list(range(4)), 0)
    sent = heard_by(parent, end, windows) @ end.matrix.double().T + end.bias
    torch.testing.assert_close(made.added.double(), sent.mean(0), rtol=1e-4, atol=1e-4)
    assert not made.keeps_bias and reduced(end, found, list(range(4)), 0, keeps_mean=False).added is None


def some_replacements(biased):
    "Ends that lose some, all or none of their units; one layer is gone, and of a GPT-2 also single halves."
    parent, ends, moments, _ = biased
    halves = parent.architecture.backbone == "gpt2"
    numbers = {(0, "attention"): 3, (0, "feed_forward"): 100, (1, "attention"): 0, (1, "feed_forward"): 0}
    numbers |= {(2, "attention"): 0 if halves else 1, (2, "feed_forward"): 64, (3, "attention"): 4}
    numbers |= {(3, "feed_forward"): 0 if halves else 128}
    return {p: reduced(ends[p], moments[p], removal_order(ends[p], moments[p]), n) for p, n in numbers.items()}


def test_a_cut_model_says_what_the_replaced_parent_says(biased):
    "Also where a half or a whole layer is gone, and its mean has moved to a bias before it."
    parent, ends, _, windows = biased
    made = some_replacements(biased)
    units = {place: found.units.tolist() for place, found in made.items()}
    shape = Shape(tuple(Kept(units[i, "attention"], units[i, "feed_forward"]) for i in range(4)))
    outputs = {place: found.matrix for place, found in made.items() if len(found.units)}
    model = cut(parent, shape, outputs, {place: found.added for place, found in made.items()})
    with torch.no_grad(), contextlib.ExitStack() as stack:
        for place, found in made.items():
            stack.enter_context(replaced(ends[place], found))
        expected = parent.model(windows[:4]).logits
    torch.testing.assert_close(model(windows[:4]).logits, expected, rtol=1e-3, atol=1e-3)


def test_a_llama_has_nowhere_to_keep_a_mean(known):
    _, ends, moments, _ = known
    end, found = ends[1, "feed_forward"], moments[1, "feed_forward"]
    order = removal_order(end, found)
    one, other = (reduced(end, found, order, 64, keeps_mean=keeps) for keeps in (True, False))
    assert end.bias is None and one.added is None and torch.equal(one.matrix, other.matrix)
