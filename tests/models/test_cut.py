"A cut model predicts what its parent predicts without the neurons, heads and layers that are gone."

import contextlib
import random
from dataclasses import replace

import pytest
import torch

from lts_nb.core.errors import InputError
from lts_nb.models.build import architecture_of, seeded, twin_of
from lts_nb.models.conformance import check_cache, check_gradients, check_kernels, check_parts, check_saved
from lts_nb.models.cut import HALVES, LAYOUTS, cut
from lts_nb.models.parent import Parent
from lts_nb.models.shape import Kept, Shape, layer_groups
from lts_nb.models.small_models import (
    draw_architectures,
    draw_narrow,
    draw_shaped,
    draw_tokens,
    randomised,
    relative_difference,
)
from lts_nb.space.architecture import Architecture
from lts_nb.space.families import get_family

BACKBONES = ("gpt2", "opt", "llama", "lfm2")
ENDS = {  # backbone -> list of layers; the module at the end of each half
    "gpt2": ("transformer.h", "attn.c_proj", "mlp.c_proj"),
    "opt": ("model.decoder.layers", "self_attn.out_proj", "fc2"),
    "llama": ("model.layers", "self_attn.o_proj", "mlp.down_proj"),
    "lfm2": ("model.layers", "self_attn.out_proj", "feed_forward.w2"),
}


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def parent_of(architecture, seed=0, **constants):
    "A parent with random weights."
    twin = twin_of(architecture.backbone)
    config = twin.config_of(architecture)
    for name, value in constants.items():
        setattr(config, name, value)
    with seeded(seed):
        return Parent(architecture, randomised(twin.MODEL(config).eval(), seed))


def draw_parents(backbone, n=10):
    """Parents of every mixture whose layers do not share weights; the last of them lack halves, where that may be.

    Of families that split their width among heads, two in three can lose heads: heads are as many in all layers, or
    their width is given.
    """
    drawn, family = [a for a in draw_architectures(backbone, 4 * n, seed=3) if not a.share][:n], get_family(backbone)
    if family.optional_halves:
        drawn[n // 2 :] = [a for a in draw_shaped(backbone, 4 * n, seed=4) if not a.share][: n - n // 2]
    if family.splits_width:
        drawn[::3] = [replace(a, n_head=tuple(4 * (heads > 0) for heads in a.n_head)) for a in drawn[::3]]
        drawn[1::3] = draw_narrow(drawn[1::3])
    return [parent_of(a, seed) for seed, a in enumerate(drawn)]


def loses_heads(architecture):
    "Can single heads of it go?"
    return architecture.d_head or len({*architecture.n_head} - {0}) == 1


def sample(draw, n, empty):
    "Some numbers below n; none if there are none, or at times where that may be."
    return [] if not n or empty and draw.random() < 0.25 else draw.sample(range(n), draw.randint(1, n))


def draw_shape(parent, seed, gone=0.3):
    "Some neurons and groups of each layer, none of either, or nothing of it."
    draw, architecture, family = random.Random(seed), parent.architecture, get_family(parent.architecture.backbone)
    empty = gone and family.optional_halves
    layers = []
    for n, width in zip(layer_groups(architecture), architecture.d_inner):
        groups = sample(draw, n, empty)
        if not loses_heads(architecture):  # all of them, or none
            groups = range(n) if groups else ()
        layers.append(None if draw.random() < gone else Kept(groups, sample(draw, width, empty)))
    attends = [i for i, heads in enumerate(architecture.n_head) if heads]
    if not any(layers[i] and layers[i].groups for i in attends):  # one must
        layers[attends[0]] = Shape.whole(architecture).layers[attends[0]]
    return Shape(tuple(layers))


def end_of(parent, i, half):
    "The matrix at the end of a half; None for a convolution, which stays whole."
    layers, *ends = ENDS[parent.architecture.backbone]
    layer = parent.model.get_submodule(layers)[i]
    return (
        layer.get_submodule(ends[HALVES.index(half)])
        if hasattr(layer, ends[HALVES.index(half)].split(".")[0])
        else None
    )


def inputs_kept(parent, i, half, kept):
    "Ones where an input of the matrix at the end of a half stays."
    if half == "feed_forward":
        n, width, numbers = parent.architecture.d_inner[i], 1, kept.neurons
    else:
        heads, n = parent.architecture.n_head[i], layer_groups(parent.architecture)[i]
        d_head = parent.architecture.d_head or parent.architecture.d_model // heads
        width, numbers = d_head * heads // n, kept.groups
    mask = torch.zeros(n, width)
    mask[list(numbers)] = 1
    return mask.flatten()


@contextlib.contextmanager
def silenced(parent, shape, means=None):
    "Within it, what is gone in a shape sends nothing, or a constant, in the parent itself."
    layers = parent.model.get_submodule(ENDS[parent.architecture.backbone][0])
    means = means or {}
    with contextlib.ExitStack() as hooks:
        for i, kept in enumerate(shape.layers):
            if kept is None and not any((i, half) in means for half in HALVES):
                hook = layers[i].register_forward_hook(lambda module, given, out: given[0])
                hooks.callback(hook.remove)
                continue
            for half in HALVES:
                if end := end_of(parent, i, half):
                    silence(hooks, end, inputs_kept(parent, i, half, kept or Kept()), means.get((i, half), 0), kept)
        yield parent.model


def silence(hooks, end, mask, mean, kept):
    "Let some inputs of a matrix through, and add a constant; where nothing stays, the constant is all."
    hook = end.register_forward_pre_hook(lambda module, given: (given[0] * mask,))
    hooks.callback(hook.remove)
    gone = 0.0 if mask.sum() == 0 else 1.0
    hook = end.register_forward_hook(lambda module, given, out: out * gone + mean)
    hooks.callback(hook.remove)


def check_cut(parent, shape, model, means=None):
    tokens = draw_tokens(parent.architecture)
    with silenced(parent, shape, means) as silent:
        expected = silent(tokens, use_cache=False).logits
    assert relative_difference(model(tokens).logits, expected) < 1e-5
    assert architecture_of(model) == shape.architecture(parent.architecture)
    assert type(model) is type(parent.model) and not model.training


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_cut_model_is_the_silenced_parent(backbone):
    found = []
    for seed, parent in enumerate(draw_parents(backbone)):
        before = {name: weight.clone() for name, weight in parent.model.state_dict().items()}
        shape = draw_shape(parent, seed)
        model = cut(parent, shape)
        check_cut(parent, shape, model)
        whole = layer_groups(parent.architecture)
        fewer = any(0 < len(kept.groups) < whole[i] for i, kept in shape.stays)
        narrower = model.num_parameters() < parent.model.num_parameters()
        found.append((narrower, architecture_of(model).complete, fewer))
        own = {weight.data_ptr() for weight in parent.model.parameters()}
        assert own.isdisjoint(weight.data_ptr() for weight in model.parameters())
        assert all(torch.equal(weight, before[name]) for name, weight in parent.model.state_dict().items())
    assert sum(narrower for narrower, *_ in found) >= 6
    assert all(complete for _, complete, _ in found) is not get_family(backbone).optional_halves
    assert sum(fewer for *_, fewer in found) >= 2


@pytest.mark.parametrize("backbone", BACKBONES)
def test_whole_shapes_change_nothing(backbone):
    parent = draw_parents(backbone, 1)[0]
    parent.model.generation_config.repetition_penalty = 1.3
    model = cut(parent, Shape.whole(parent.architecture))
    assert model.generation_config.repetition_penalty == 1.3
    weights = model.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in parent.model.state_dict().items())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_cut_model_is_an_ordinary_one(backbone):
    "It generates with its cache, is saved and opened, computes the same with other kernels, and trains."
    for seed, parent in enumerate(draw_parents(backbone, 3)):
        model = cut(parent, draw_shape(parent, seed))
        architecture, tokens = architecture_of(model), draw_tokens(parent.architecture)
        check_parts(model, architecture, tokens)
        check_cache(model, tokens)
        check_kernels(model, architecture, tokens)
        check_saved(model, architecture, tokens)
        check_gradients(model, architecture, {"opt": ("k_proj.bias",)}.get(backbone, ()))


@pytest.mark.parametrize("tied", [True, False])
def test_tied_stays_tied(tied):
    a = Architecture("llama", 32, (4, 4), (40, 40), 97, 24, n_kv_head=(2, 2), d_head=8, tie_embeddings=tied)
    model = cut(parent_of(a), Shape((Kept([1], range(20)), Kept([0], range(40)))))
    assert (model.lm_head.weight is model.model.embed_tokens.weight) is tied
    assert model.config.tie_word_embeddings is tied


GPT2 = Architecture("gpt2", 32, (4, 4, 4), (48, 48, 48), 97, 24)


def test_which_heads_stay_by_hand():
    "Heads 1 and 3 of four, 8 wide: columns 8 to 15 and 24 to 31 of queries, of keys and of values."
    parent = parent_of(GPT2)
    shape = Shape((Kept([1, 3], range(48)), *Shape.whole(GPT2).layers[1:]))
    model, rows = cut(parent, shape), [*range(8, 16), *range(24, 32)]
    old, new = (m.transformer.h[0].attn for m in (parent.model, model))
    of_all = rows + [32 + row for row in rows] + [64 + row for row in rows]
    assert torch.equal(new.c_attn.weight, old.c_attn.weight[:, of_all])
    assert torch.equal(new.c_attn.bias, old.c_attn.bias[of_all])
    assert torch.equal(new.c_proj.weight, old.c_proj.weight[rows]) and torch.equal(new.c_proj.bias, old.c_proj.bias)
    assert architecture_of(model) == replace(GPT2, n_head=(2, 4, 4), d_head=8)
    assert architecture_of(cut(parent, Shape.whole(GPT2))).d_head is None
    assert new.scaling == old.scaling == 8**-0.5


def test_heads_of_many_widths_stay_all():
    parent = parent_of(replace(GPT2, n_head=(2, 4, 8)))
    shape = Shape((Kept([0], [0]), *Shape.whole(parent.architecture).layers[1:]))
    refused(r"n_head=\[2, 4, 8\]: must be the same in all layers that stay, to lose heads", parent, shape)
    alone = Shape((None, Kept([1], [0]), None))
    check_cut(parent, alone, cut(parent, alone))


def test_scores_divided_by_the_number_of_a_layer():
    "The third layer becomes the second, and its scores are still divided by three."
    parent = parent_of(GPT2, scale_attn_by_inverse_layer_idx=True)
    assert parent.model.transformer.h[2].attn.scaling == pytest.approx(8**-0.5 / 3)
    shape = Shape((Kept(range(4), range(48)), None, Kept(range(4), range(3, 30))))
    model = cut(parent, shape)
    assert model.transformer.h[1].attn.scaling == pytest.approx(8**-0.5 / 2)
    check_cut(parent, shape, model)


@pytest.mark.parametrize("backbone", ["gpt2", "opt"])
@pytest.mark.parametrize("first", [True, False])
def test_biases_hold_means(backbone, first):
    "Those of layers and halves that are gone are added before them: in an earlier bias, or with the positions."
    a = Architecture(backbone, 32, (4, 4, 4, 4), (48,) * 4, 97, 24)
    parent, whole = parent_of(a), Kept(range(4), range(48))
    half = Kept((), range(7)) if get_family(backbone).optional_halves else Kept(range(4), range(7))
    shape = Shape((whole if first else None, None, half, whole))
    generator = torch.Generator().manual_seed(0)
    blocks = [(i, half) for i in (1, 2) for half in HALVES] + ([] if first else [(0, half) for half in HALVES])
    means = {block: torch.randn(32, generator=generator) for block in blocks}
    check_cut(parent, shape, cut(parent, shape, biases=means), means)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_outputs_replace_what_stays(backbone):
    "With the parent's own columns nothing changes; with twice as much, the half sends twice as much."
    parent = next(p for p in draw_parents(backbone) if p.architecture.pre_norm and not p.architecture.layer_kind)
    shape = draw_shape(parent, 1, gone=0)
    plain = cut(parent, shape)
    layers, *ends = ENDS[backbone]
    i = parent.architecture.n_layer - 1
    outputs = {}
    for half, name in zip(HALVES, ends):
        weight = plain.get_submodule(layers)[i].get_submodule(name).weight
        outputs[i, half] = 2 * (weight.T if backbone == "gpt2" else weight)
    again = cut(parent, shape, {block: matrix / 2 for block, matrix in outputs.items()})
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), plain.state_dict().values()))
    doubled = cut(parent, shape, outputs)
    for half, name in zip(HALVES, ends):
        check_twice([m.get_submodule(layers)[i].get_submodule(name) for m in (plain, doubled)], outputs[i, half])


def check_twice(modules, matrix):
    "Does the second module send twice what the first sends, biases aside?"
    once, twice = modules
    x = torch.randn(3, matrix.shape[1])
    bias = 0 if once.bias is None else once.bias
    torch.testing.assert_close(twice(x) - bias, 2 * (once(x) - bias), rtol=1e-4, atol=1e-4)


LLAMA = Architecture("llama", 32, (4, 4), (40, 40), 97, 24, n_kv_head=(2, 2), d_head=8)
WHOLE = Kept(range(2), range(40))


def refused(match, parent, shape, **given):
    with pytest.raises(InputError, match=match) as caught:
        cut(parent, shape, **given)
    assert "\n" not in str(caught.value)


def test_bad_input():
    llama, gpt2 = parent_of(LLAMA), parent_of(GPT2)
    both, whole = Shape((WHOLE, WHOLE)), Shape.whole(GPT2)
    bias, matrix = torch.zeros(32), torch.zeros(32, 32)
    refused("biases: llama has none that could hold a mean", llama, both, biases={(0, "attention"): bias})
    refused("has 3 entries; the parent has 2 layers", llama, Shape((WHOLE,) * 3))
    refused("all are gone", llama, Shape((None, None)))
    refused(r"layers\[1\].neurons: names 40; the parent's layer has 40", llama, Shape((WHOLE, Kept([0], [40]))))
    refused(r"outputs\[\(0, 'mixer'\)\]: must be \(layer", llama, both, outputs={(0, "mixer"): matrix})
    refused(r"is \(32, 32\); must be a tensor of shape \(32, 40\)", llama, both, outputs={(1, "feed_forward"): matrix})
    refused(r"biases\[\(3, 'attention'\)\]: must be", gpt2, whole, biases={(3, "attention"): bias})
    refused(r"is list; must be a tensor of shape \(32,\)", gpt2, whole, biases={(0, "attention"): [0.0] * 32})
    shared = Architecture("llama", 32, (4, 4), (40, 40), 97, 24, n_kv_head=(2, 2), d_head=8, share=(0, 0))
    refused("layers that share weights cannot be cut apart", parent_of(shared), both)
    xl = Parent(Architecture("transformer-xl", 32, (4,), (40,), 97, 24), None)
    refused("backbone='transformer-xl': cannot be cut; llama, lfm2, opt, gpt2 can", xl, Shape((WHOLE,)))


def test_a_norm_behind_a_half_that_is_gone():
    a = Architecture("opt", 32, (4, 4), (48, 48), 97, 24, pre_norm=False)
    shape = Shape((Kept(range(4), range(48)), None))
    refused("a norm stands behind", parent_of(a), shape, biases={(1, "attention"): torch.zeros(32)})
    mean = {(0, "feed_forward"): torch.randn(32)}
    check_cut(parent_of(a), shape, cut(parent_of(a), shape, biases=mean), mean)


def test_a_convolution_stays_or_its_layer_goes():
    kinds = dict(n_kv_head=(0, 2), layer_kind=("conv", "attention"))
    parent = parent_of(Architecture("lfm2", 32, (0, 4), (40, 40), 97, 24, d_head=8, **kinds))
    refused("a convolution stays, or its layer is gone", parent, Shape((Kept([], [1]), WHOLE)))
    refused("at least one layer must be", parent, Shape((Kept([0], [1]), None)))


def test_every_family_of_published_models_can_be_cut():
    assert set(LAYOUTS) == set(BACKBONES)
