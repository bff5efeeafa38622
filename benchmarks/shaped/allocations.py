"""Rules that say what of each layer stays: uniform narrowing, dropping layers, FLAP, and chance."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from common import Bench

from lts_nb.models.cut import HALVES
from lts_nb.models.parent import Parent
from lts_nb.models.shape import Kept, Shape, layer_groups
from lts_nb.shaping.blocks import End, from_layer, layers_of
from lts_nb.shaping.moments import Moments
from lts_nb.shaping.reduction import score_order
from lts_nb.shaping.verification import window_losses
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count, final_norm_params, layer_params
from lts_nb.space.population import Population

STEP = 32  # neurons; llama.cpp's formats of 32 values a block run every width that is a multiple of it
EIGHTHS = range(9)  # widths that our own shapes choose from, in eighths of the parent's
N_INFLUENCE = 32  # calibration windows for block influence
SHORTLIST = 6  # layers that are tried in each step of greedy dropping
SEEDS = range(5)

Layers = list  # of (groups, neurons) that stay in each layer; (0, 0) where the layer is gone


@dataclass(frozen=True)
class Allocation:
    "What of each layer stays by a rule."

    rule: str
    goal: float  # share of the parent's decoder parameters
    layers: Layers
    seed: int | None = None
    order: str = "surgeon"  # in which units leave, if nothing is repaired: "surgeon" or "flap"


def whole_layers(parent: Parent) -> Layers:
    "All that the parent has."
    return list(zip(layer_groups(parent.architecture), parent.architecture.d_inner, strict=True))


def shape_of(bench: Bench, layers: Layers, order: str = "surgeon") -> Shape:
    "The shape that keeps so many units of each half, the best by an order."
    kept = []
    for layer, (groups, neurons) in enumerate(layers):
        units = []
        for half, n in zip(HALVES, (groups, neurons)):
            leaving = order_of(bench, (layer, half), order)
            units.append(leaving[len(leaving) - n :])
        kept.append(Kept(*units))
    return Shape(tuple(kept))


def order_of(bench: Bench, place: tuple, order: str) -> list[int]:
    "Units of one end, the first to go first."
    if order == "surgeon":
        return bench.moments.order(place)
    if place[1] == "attention":  # FLAP's own score of a group is not the sum of its columns' scores
        return flap_scores(bench.ends[place], bench.moments.of(place)).argsort().tolist()
    return score_order(bench.ends[place], bench.moments.of(place), order)


@functools.cache
def layer_size(architecture: Architecture, layer: int, groups: int, neurons: int) -> int:
    "Parameters of what stays of a layer."
    if not groups and not neurons:
        return 0
    _, n_head, n_kv_head = architecture.layers[layer]
    fixed = Population.of([architecture]).fixed
    return int(sum(layer_params(fixed, architecture.d_model, neurons, groups * (n_head // n_kv_head), groups)))


def counted(parent: Parent, layers: Layers) -> int:
    "Decoder parameters of what stays; which units they are does not matter."
    a = parent.architecture
    fixed = int(final_norm_params(Population.of([a]).fixed, a.d_model))
    return fixed + sum(layer_size(a, i, *layer) for i, layer in enumerate(layers))


def share_of(parent: Parent, layers: Layers) -> float:
    "Decoder parameters of what stays, as a share of the parent's."
    return counted(parent, layers) / count(parent.architecture).decoder


def nearest(parent: Parent, goal: float, make: Callable, most: int) -> Layers:
    "Of `make(0)`, whole, to `make(most)`, ever smaller, the one nearest to a size; the larger of two as near."
    low, high = 0, most  # the goal lies between them
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if share_of(parent, make(middle)) >= goal else (low, middle)
    return min((make(low), make(high)), key=lambda layers: round(abs(share_of(parent, layers) - goal), 4))


def uniform(bench: Bench, goal: float) -> Allocation:
    "Every layer loses as many neurons; where that is no multiple of `STEP`, some evenly spread layers lose one more."
    parent = bench.parent
    whole = whole_layers(parent)
    n = len(whole)

    def narrowed(steps: int) -> Layers:
        lost = [(i + 1) * steps // n - i * steps // n for i in range(n)]
        return [(groups, neurons - STEP * k) for (groups, neurons), k in zip(whole, lost)]

    most = n * (min(neurons for _, neurons in whole) // STEP)
    return Allocation("uniform", goal, nearest(parent, goal, narrowed, most))


def without(parent: Parent, dropped: list[int]) -> Layers:
    "The parent without some layers."
    return [(0, 0) if i in dropped else layer for i, layer in enumerate(whole_layers(parent))]


def n_dropped(parent: Parent, goal: float) -> int:
    "How many layers must go to come nearest to a size."
    n = parent.architecture.n_layer
    layers = nearest(parent, goal, lambda k: without(parent, list(range(k))), n - 1)
    return sum(layer == (0, 0) for layer in layers)


@torch.no_grad()
def measure_influence(bench: Bench) -> list[float]:
    "One minus the cosine between what goes into a layer and what comes out, in the mean over tokens (ShortGPT)."
    layers = layers_of(bench.parent)
    sums = torch.zeros(len(layers), dtype=torch.float64)

    def hear(i: int, given: tuple, sent: torch.Tensor):
        sums[i] += torch.nn.functional.cosine_similarity(given[0], sent, dim=-1).double().sum()

    hooks = [
        layer.register_forward_hook(lambda _, given, sent, i=i: hear(i, given, sent)) for i, layer in enumerate(layers)
    ]
    windows = bench.texts.calibration[:N_INFLUENCE]
    try:
        for batch in windows.split(4):
            bench.parent.model.base_model(batch, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return (1 - sums / windows.numel()).tolist()


def by_influence(bench: Bench, goal: float) -> Allocation:
    "The layers of least influence go."
    influence = bench.once("layers.jsonl", dict(what="influence"), lambda: measure_influence(bench))
    dropped = np.argsort(influence)[: n_dropped(bench.parent, goal)].tolist()
    return Allocation("influence", goal, without(bench.parent, dropped))


@torch.no_grad()
def loss_without(bench: Bench, dropped: list[int]) -> float:
    "The loss on scored windows without some layers."
    first, *others = sorted(dropped)
    found = []
    for window, hidden in zip(bench.texts.scored, bench.scored_inputs):
        logits = from_layer(bench.parent, first, window[None], hidden[first], (first, *others))[0, :-1]
        found.append(float(torch.nn.functional.cross_entropy(logits, window[1:])))
    return float(np.mean(found))


def loss_dropped(bench: Bench, dropped: list[int]) -> float:
    "The same, filed."
    key = dict(what="loss", without=sorted(dropped))
    return bench.once("layers.jsonl", key, lambda: loss_without(bench, dropped))


def by_loss(bench: Bench, goal: float) -> Allocation:
    "The layers whose single removal costs least go."
    single = [loss_dropped(bench, [i]) for i in range(bench.parent.architecture.n_layer)]
    dropped = np.argsort(single)[: n_dropped(bench.parent, goal)].tolist()
    return Allocation("loss", goal, without(bench.parent, dropped))


def greedily(bench: Bench, goal: float) -> Allocation:
    "Time after time the layer goes that costs least beside those that are gone, of those that cost least last time."
    last = {i: loss_dropped(bench, [i]) for i in range(bench.parent.architecture.n_layer)}
    dropped = [min(last, key=last.get)]
    while len(dropped) < n_dropped(bench.parent, goal):
        left = sorted(last.keys() - set(dropped), key=last.get)[:SHORTLIST]
        last |= {i: loss_dropped(bench, [*dropped, i]) for i in left}
        dropped.append(min(left, key=last.get))
    return Allocation("greedy", goal, without(bench.parent, dropped))


def flap_scores(end: End, moments: Moments) -> torch.Tensor:  # `(n_units,)`
    "FLAP's standardised fluctuation of the units of an end."
    fluctuation = (moments.second.diag() - moments.mean**2) * (end.matrix.double() ** 2).sum(0)
    if end.half == "attention":
        fluctuation = fluctuation**2  # as its authors' code has it
    standard = (fluctuation - fluctuation.mean()) / fluctuation.std()
    return standard.reshape(-1, end.unit).mean(1)


def flap(bench: Bench, goal: float) -> Allocation:
    "What lies below one threshold for all layers goes; a group of heads counts as many parameters as it has."
    parent = bench.parent
    scores = {place: flap_scores(end, bench.moments.of(place)) for place, end in bench.ends.items()}
    thresholds = torch.cat([torch.tensor([-torch.inf]), *scores.values()]).sort().values

    def above(number: int) -> Layers:
        kept = {place: int((found > thresholds[number]).sum()) for place, found in scores.items()}
        rounded = lambda n: STEP * round(n / STEP)  # noqa: E731
        return [(kept[i, "attention"], rounded(kept[i, "feed_forward"])) for i in range(parent.architecture.n_layer)]

    layers = nearest(parent, goal, above, len(thresholds) - 2)
    return Allocation("flap", goal, layers, order="flap")


def at_random(bench: Bench, goal: float, seed: int) -> Allocation:
    "Layers in random order take random options until the size is met; the last one takes what comes nearest."
    parent, draw = bench.parent, np.random.default_rng(seed)
    whole = whole_layers(parent)
    layers, order = whole, []
    while True:
        order = order or draw.permutation(len(whole)).tolist()
        i = order.pop()
        options = options_within(whole[i], layers[i])
        tried = replaced_layer(layers, i, options[draw.integers(len(options))])
        if share_of(parent, tried) <= goal:
            each = [replaced_layer(layers, i, option) for option in options]
            layers = min(each, key=lambda found: abs(share_of(parent, found) - goal))
            return Allocation("random", goal, layers, seed)
        layers = tried


def options_within(whole: tuple, now: tuple) -> list[tuple]:  # of (groups, neurons)
    "What our own shapes may make of a layer, if it has lost something already."
    widths = [whole[1] * eighths // 8 for eighths in EIGHTHS]
    return [(groups, width) for groups in range(now[0] + 1) for width in widths if width <= now[1]]


def replaced_layer(layers: Layers, i: int, option: tuple) -> Layers:
    "Layers of which one has become something else."
    return [*layers[:i], option, *layers[i + 1 :]]


RULES = dict(uniform=uniform, influence=by_influence, loss=by_loss, greedy=greedily, flap=flap, random=at_random)


def allocations(bench: Bench, goal: float, rules: list[str]):  # yields `Allocation`
    "What rules make of a size."
    for rule in rules:
        if rule == "random":
            yield from (at_random(bench, goal, seed) for seed in SEEDS)
        else:
            yield RULES[rule](bench, goal)


def losses_of(model, windows: torch.Tensor) -> list[float]:
    "The loss of each window."
    return [round(float(loss), 6) for loss in window_losses(model, windows)]
