"The best shapes of made-up scores against every shape; what layers of a family may be; which profiles know them."

import itertools

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.core.workload import Workload
from lts_nb.models.build import build
from lts_nb.models.parent import Parent
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.shaping.blocks import ends_of
from lts_nb.shaping.scores import Scores, choices_of
from lts_nb.shaping.shapes import Scored, seconds_of, shape_frontier
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace

SIZES = dict(vocab_size=40, max_len=32)
PARENTS = {
    "gpt2": Architecture("gpt2", 16, (4, 4, 4), (12, 8, 12), **SIZES),
    "opt": Architecture("opt", 16, (4, 4, 4), (12, 8, 12), **SIZES),
    "llama": Architecture("llama", 16, (4, 4, 4), (12, 8, 12), n_kv_head=(2, 2, 2), d_head=8, **SIZES),
    "lfm2": Architecture(
        "lfm2", 16, (0, 4, 0), (12, 8, 12), n_kv_head=(0, 2, 0), d_head=4, layer_kind=("conv", "attention", "conv"),
        **SIZES,
    ),
}  # fmt: skip


def scored_of(architecture, seed, widths=(0, 4, 8), groups=(0, 1, 2)) -> Scored:
    "A parent whose choices have random scores; attention seems to cost much, so that the cheapest shapes lack it."
    parent, rng = Parent(architecture, build(architecture)), np.random.default_rng(seed)
    choices = choices_of(parent, list(widths), list(groups))
    mean = np.array([rng.random() * (-1 if c.half == "attention" and not c.units else 1) for c in choices])
    orders = {place: rng.permutation(end.n_units).tolist() for place, end in ends_of(parent).items()}
    return Scored(parent, Scores(choices, mean, mean), orders, tuple(widths), tuple(groups))


def every_shape(scored):
    "Rise and parameters of every selection that an architecture can be made of."
    n_layer = scored.parent.architecture.n_layer
    for options in itertools.product(*(scored.options(layer) for layer in range(n_layer))):
        a = scored.parent.architecture
        if any(groups and a.n_head[layer] for layer, (groups, _) in enumerate(options)):
            layers = list(enumerate(options))
            yield sum(scored.rise(i, *o) for i, o in layers), sum(scored.params(i, *o) for i, o in layers)


@pytest.mark.parametrize("backbone", PARENTS)
@pytest.mark.parametrize("seed", range(3))
def test_the_frontier_is_that_of_all_shapes(backbone, seed):
    "Its shapes are architectures of as many parameters; the best for every size is there, and has attention."
    scored = scored_of(PARENTS[backbone], seed)
    front, a = shape_frontier(scored), scored.parent.architecture
    for i, (_, params) in enumerate(front.F):
        b = front.shape(i).architecture(a)
        assert count(b).decoder == params and any(b.n_head)
    every = np.array(list(every_shape(scored))) + [0, scored.outside_layers]
    for limit in np.unique(every[:, 1]):
        best = every[every[:, 1] <= limit, 0].min()
        assert front.F[front.within("decoder_params", limit), 0] == pytest.approx(best, abs=1e-9)


def test_scores_of_layers_drawn_towards_each_other():
    "The sum takes all from the layer that seems to cost least; scores that are all alike take from every layer alike."
    a = Architecture("gpt2", 16, (4, 4, 4), (12, 12, 12), **SIZES)
    parent = Parent(a, build(a))
    choices = choices_of(parent, [4, 8], [])
    cost = {4: 0.4, 8: 0.1}
    mean = np.array([cost.get(c.units, 9) * (0.01 if c.layer == 1 else 1) for c in choices])
    orders = {place: list(range(end.n_units)) for place, end in ends_of(parent).items() if place[1] == "feed_forward"}
    scores = Scores(choices, mean, mean)

    def narrowed(share: float, n: int) -> list:  # how many neurons the layers keep when `n` leave
        scored = Scored(parent, scores.shrunk(share), orders, (4, 8), ())
        most = count(a).decoder - n * (2 * 16 + 1)
        front = shape_frontier(scored)
        return [len(kept.neurons) for kept in front.shape(front.within("decoder_params", most)).layers]

    assert scores.shrunk(0) is scores
    assert narrowed(0, 8) == [12, 4, 12] and narrowed(1, 12) == [8, 8, 8]
    assert 4 < narrowed(0.9, 12)[1] <= 8


def test_what_layers_may_become():
    whole = [(0, 0), (0, 4), (0, 8), (1, 0), (1, 4), (1, 8), (2, 0), (2, 4), (2, 8), (4, 0), (4, 4), (4, 8)]
    assert scored_of(PARENTS["gpt2"], 0).options(1) == whole
    assert scored_of(PARENTS["opt"], 0).options(1) == [(0, 0), *((g, w) for g in (1, 2, 4) for w in (4, 8))]
    assert scored_of(PARENTS["lfm2"], 0).options(0) == [(0, 0), (1, 4), (1, 8), (1, 12)]  # a convolution goes with all
    narrow = Scored(scored_of(PARENTS["gpt2"], 0).parent, Scores([], np.zeros(0), np.zeros(0)), {}, (4,), (2,))
    assert narrow.options(0)[0] == (0, 0)  # a layer may go, whatever else may
    many = Architecture("gpt2", 16, (2, 4, 4), (12, 8, 12), **SIZES)  # heads of two widths: all of a layer, or none
    assert [groups for groups, width in scored_of(many, 0).options(1) if width == 8] == [0, 4]


def space_of(**fields) -> SearchSpace:
    return SearchSpace("gpt2", [1, 2, 3], [16], [4, 8, 12], [1, 2, 4], 40, 32, min_ratio=0, **fields)


@pytest.mark.parametrize("d_head", [4, None])
def test_seconds_of_heads_that_stay_as_wide_as_they_were(d_head):
    "A profile of heads of the parent's width knows them; one in which fewer heads are wider does not."
    device, a = FakeTarget(), PARENTS["gpt2"]
    profile = DeviceProfile.measure(space_of(d_head=d_head), device, Workload(prompt_len=8), held_out=0)
    if not d_head:
        whole = scored_of(a, 0, groups=(0, 4))
        assert len(shape_frontier(whole, ("loss_rise", "latency_s"), profile).F) > 1
        with pytest.raises(
            InputError, match="^profile: in it, 1 heads would fill the width, and here they stay 4 wide"
        ):
            shape_frontier(scored_of(a, 0), ("loss_rise", "latency_s"), profile)
        return
    front = shape_frontier(scored_of(a, 0), ("loss_rise", "latency_s"), profile)
    fewer = [i for i in range(len(front.F)) if {1, 2} & set(front.shape(i).architecture(a).n_head)]
    for i in fewer:
        b = front.shape(i).architecture(a)
        assert b.d_head == 4
        assert front.F[i, 1] == pytest.approx(device.seconds(b, Workload(prompt_len=8)), rel=0.02)
    assert fewer


def test_convolutions_take_their_time():
    device, a = FakeTarget(), PARENTS["lfm2"]
    space = SearchSpace(
        "lfm2", [1, 2, 3], [16], [4, 8, 12], [2, 4], 40, 32, n_kv_head=[1, 2], d_head=4,
        layer_kind=["attention", "conv"], min_ratio=0,
    )  # fmt: skip
    profile = DeviceProfile.measure(space, device, Workload(prompt_len=8), held_out=0)
    front = shape_frontier(scored_of(a, 0), ("loss_rise", "latency_s"), profile)
    for i in range(len(front.F)):
        b = front.shape(i).architecture(a)
        assert front.F[i, 1] == pytest.approx(device.seconds(b, Workload(prompt_len=8)), rel=0.02), b
    (seconds,) = seconds_of(front.scored, ["latency_s"], profile, None)
    assert [seconds.of_shape(front.shape(i)) for i in range(len(front.F))] == pytest.approx(front.F[:, 1].tolist())


def test_a_profile_of_other_heads():
    profile = DeviceProfile.measure(space_of(d_head=8), FakeTarget(), Workload(prompt_len=8), held_out=0)
    with pytest.raises(InputError, match="d_head=8; the parent is gpt2, d_model=16, d_head=4"):
        shape_frontier(scored_of(PARENTS["gpt2"], 0), ("loss_rise", "latency_s"), profile)
