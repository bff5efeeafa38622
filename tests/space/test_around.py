"Spaces around published models: each holds its model, and can be searched."

import json
from dataclasses import replace

import pytest
from kit import slow_but
from published_configs import GPT2, LFM2, OPT_350M, PUBLISHED, QWEN, SMOLLM2

from lts_nb.core.errors import InputError
from lts_nb.core.workload import Workload
from lts_nb.frontier.exact import exact_frontier
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.shaping.settings import usual_groups, usual_widths
from lts_nb.space.architecture import Architecture
from lts_nb.space.around import space_within
from lts_nb.space.counts import count
from lts_nb.space.population import Population
from lts_nb.space.presets import get_space, remark_on
from lts_nb.space.space import SearchSpace

AROUND = {
    name: PUBLISHED[name][1]
    for name in ("gpt2", "opt-125m", "opt-350m", "smollm2-135m", "qwen2.5-0.5b", "lfm2-350m", "llama-2-7b")
}
OTHERS = {
    "one key and value head": Architecture("llama", 256, (4,) * 3, (512,) * 3, n_kv_head=(1,) * 3, d_head=64),
    "shared": Architecture("llama", 128, (2,) * 4, (256,) * 4, d_head=64, share=(0, 0, 1, 1)),
    "layers that differ": Architecture("gpt2", 96, (1, 3, 4), (100, 333, 20)),
    "a small one": Architecture("gpt2", 8, (1,), (7,), vocab_size=10, max_len=4),
    "clusters": Architecture("transformer-xl", 64, (2,), (128,), 1000, d_embed=32, div_val=2, cutoffs=(100,)),
}
ANY = {name: Architecture.from_config(config) for name, config in AROUND.items()} | OTHERS


def holds(space: SearchSpace, a: Architecture) -> bool:
    "Is it a member?"
    pairs = zip(a.n_head, a.n_kv_head or a.n_head)
    size = a.share.count(0) if a.share else 1
    return (
        space.fixed == Population.of([a]).fixed
        and a.d_model in space.d_model
        and a.n_layer in space.n_layer
        and size in space.groups(a.n_layer)
        and {*a.d_inner} <= {*space.inners(a.d_model)}
        and {*pairs} <= {*space.mixers(a.d_model)}
        and (a.vocab_size, a.d_embed or a.d_model, a.div_val) in space.embeddings(a.d_model)
    )


@pytest.mark.parametrize("a", ANY.values(), ids=ANY)
def test_a_space_around_a_model_holds_it(a):
    for lists in ({}, dict(widths=[2 * a.d_model], depths=40, d_inner=[a.d_model])):
        space = SearchSpace.around(a, **lists)
        assert holds(space, a) and (space.size() > 1 or a.d_model == 8)
        assert not holds(space, replace(a, vocab_size=a.vocab_size + 1))
        assert all(holds(space, b) for b in space.sample(20, seed=1))
    assert SearchSpace.around(a, max_len=3).max_len == 3


def test_steps_around_a_model():
    gpt2, opt, qwen, lfm2 = (SearchSpace.around(config) for config in (GPT2, OPT_350M, QWEN, LFM2))
    assert gpt2.d_model == (384, 448, 512, 576, 640, 704, 768) and gpt2.n_layer == tuple(range(6, 13))
    assert gpt2.d_inner == (768, 1152, 1536, 1920, 2304, 2688, 3072) and gpt2.heads(704) == (8, 11)
    assert opt.d_embed == (512,) and opt.d_model[0] == 512 and not opt.pre_norm
    assert qwen.mixers(448) == ((14, 2),) and qwen.qkv_bias and qwen.tie_embeddings
    assert lfm2.mixers(1024) == ((0, 0), (8, 4), (8, 8), (16, 4), (16, 8))
    assert all(len(space.d_inner) < 9 and len(space.d_model) < 10 for space in (gpt2, opt, qwen, lfm2))


@pytest.mark.parametrize(
    "lists, said",
    {
        ("widths", (500,)): r"d_model=500: no n_head of .* divides it",
        ("depths", ("few",)): "depths='few': must be a whole number",
        ("d_inner", 0): "d_inner=0: must be a whole number",
        ("max_len", 0): "max_len=0: must be a whole number",
        ("min_ratio", -1): "min_ratio=-1: must be a number",
    }.items(),
)
def test_lists_that_do_not_go_are_one_line(lists, said):
    with pytest.raises(InputError, match=said):
        SearchSpace.around(GPT2, **dict([lists]))


AROUND = [GPT2, OPT_350M, SMOLLM2, QWEN]


@pytest.mark.parametrize("config", slow_but(AROUND, GPT2, SMOLLM2), ids=["gpt2", "opt-350m", "smollm2", "qwen2.5"])
def test_a_space_around_a_model_can_be_searched(config):
    space, workload = SearchSpace.around(config), Workload(prompt_len=64)
    profile = DeviceProfile.measure(space, FakeTarget(), workload, held_out=4)
    found = exact_frontier(space, profile, workload=workload)
    most, params = count(Architecture.from_config(config)).decoder, -found.F[:, 0]
    assert 0.99 * most < params.max() <= most and params.min() < most / 5 and len(params) > 1000


def test_a_space_is_named_by_a_model(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(QWEN), encoding="utf-8")
    expected = SearchSpace.around(QWEN)
    for name in (path, str(path), str(tmp_path), json.dumps(QWEN), json.dumps(QWEN, indent=1)):
        assert get_space(name) == expected
        assert remark_on(name).startswith(repr(expected) + "; not carried over, since it changes no size: rope_theta=")
    a = Architecture.from_config(QWEN)
    assert get_space(a.to_json()) == expected and remark_on(a.to_json()) == repr(expected)
    assert get_space(expected.to_json()) == expected
    assert remark_on(None) == remark_on("gpt2") == remark_on(expected) == remark_on(expected.to_json()) == ""


@pytest.mark.parametrize(
    "given, said",
    {
        "x" * 5000: "space='xxx",
        '{"format": "lts_nb.space"}': "space: version=None",
        '{"a": ' + "1" * 5000: 'space=\'{"a": 111',
        "{}": "space: format=None: must be 'lts_nb.space'",
        "[]": "space='[]…': holds a list",
        "no/such/file": "space='no/such/file': must be one of gpt2,",
        "nothing.json": "space='nothing.json': must be one of gpt2,",
        '{"model_type": "bert"}': "model_type='bert': is not known here",
    }.items(),
    ids=range(8),
)
def test_a_space_that_is_none_is_one_line(given, said):
    with pytest.raises(InputError) as error:
        get_space(given)
    assert str(error.value).startswith(said) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", [name for name, a in ANY.items() if a.backbone != "transformer-xl" and not a.share])
def test_what_a_model_may_become_by_shaping(name):
    "Its own layers and fewer groups of its heads, as wide as they are, from narrow feed-forwards to its own."
    a = ANY[name]
    space = space_within(a)
    mixers, inners = space.mixers(a.d_model), space.inners(a.d_model)
    assert space.d_model == (a.d_model,) and a.n_layer in space.n_layer
    assert {(n_head, groups) for _, n_head, groups in a.layers} <= set(mixers)
    assert inners[-1] == max(a.d_inner) and inners[0] <= -(-max(a.d_inner) // 8) and {*a.d_inner} <= {*inners}
    most = max(n_head for _, n_head, _ in a.layers)
    if len({*a.n_head} - {0}) == 1 and most > 1 and max(a.n_kv_head or a.n_head) > 1:
        assert min(n_head for n_head, _ in mixers if n_head) < most and space.d_head * most >= a.d_model - most
    profile = DeviceProfile.measure(space, FakeTarget(), Workload(prompt_len=min(8, a.max_len // 2)), held_out=0)
    known = usual_groups(a, profile)
    heads = [(n_head // groups, groups) for _, n_head, groups in a.layers if n_head]
    assert known[0] == 0 and all((each * n, n) in mixers for n in known[1:-1] for each, whole in heads if n < whole)
    assert usual_widths(a, profile)[-1] == max(a.d_inner)


def test_layers_without_a_half_are_within_no_space():
    with pytest.raises(InputError, match="^parent: layers without attention or without a feed-forward part"):
        space_within(Architecture("llama", 64, (4, 0), (128, 128), 40, 32, n_kv_head=(2, 0), d_head=16))
