"Layers without attention or without a feed-forward part: what they count, cost and hold, by hand."

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.core.workload import Workload
from lts_nb.profiler.profile.blocks import mixer_block, read_parts, sample_blocks
from lts_nb.profiler.profile.fit import block_seconds
from lts_nb.profiler.profile.probes import Sample
from lts_nb.profiler.profile.whole_models import BlockTable
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import complete, count, params_by_layer, params_by_sum
from lts_nb.space.flops import flops
from lts_nb.space.memory import cache_blocks_of, kv_cache_bytes, layer_peak, peak_bytes
from lts_nb.space.population import Population
from lts_nb.space.space import SearchSpace

D, V, T = 8, 11, 16  # width, vocabulary, positions
GPT2 = Architecture("gpt2", D, n_head=(0, 2, 4), d_inner=(5, 0, 7), vocab_size=V, max_len=T)
LLAMA = Architecture("llama", D, (0, 6, 2), (5, 0, 7), V, T, n_kv_head=(0, 3, 1), d_head=4, tie_embeddings=False)
SHARED = Architecture("gpt2", D, (0, 2, 0, 2), (5, 0, 5, 0), V, T, share=(0, 1, 0, 1))
WORKLOADS = [Workload(prompt_len=5), Workload(prompt_len=5, logits="all"), Workload(2, 5, 3)]


def test_parameters_of_gpt2():
    counts, attention = count(GPT2), 4 * D * D + 4 * D
    assert counts.attention == 2 * attention
    assert counts.ffn == (2 * D * 5 + 5 + D) + (2 * D * 7 + 7 + D)
    assert counts.norm == (1 + 1 + 2) * 2 * D + 2 * D
    assert counts.embedding == (V + T) * D
    assert count(SHARED).attention == attention and count(SHARED).norm == 2 * 2 * D + 2 * D


def test_parameters_of_llama():
    counts = count(LLAMA)
    assert counts.attention == 2 * D * 4 * (6 + 3) + 2 * D * 4 * (2 + 1)
    assert (counts.ffn, counts.norm, counts.embedding) == (3 * D * (5 + 7), (1 + 1 + 2) * D + D, 2 * V * D)
    biased = Architecture("llama", D, (0, 6), (5, 0), V, T, n_kv_head=(0, 3), d_head=4, qkv_bias=True)
    assert count(biased).attention == 2 * D * 4 * (6 + 3) + 4 * (6 + 2 * 3)


def test_what_is_cached():
    assert kv_cache_bytes(GPT2, 2, 10) == 4 * 2 * 10 * 2 * D * 2
    assert kv_cache_bytes(LLAMA, 2, 10) == 4 * 2 * 10 * 2 * 4 * (3 + 1)
    assert cache_blocks_of(Population.of([GPT2]))[0].tolist() == [[0, 1, 1]]
    assert cache_blocks_of(Population.of([LLAMA]))[0].tolist() == [[0, 3, 1]]


def test_work():
    context, pairs = 5 + 3, 5 * 5 + 6 + 7 + 8
    logits = 2 * 4 * V * D  # the last of the prompt, and three new tokens
    feeding, attending = 2 * context * 2 * D * (5 + 7), 2 * (2 * context * 4 * D * D + 4 * pairs * D)
    assert flops(GPT2, Workload(1, 5, 3)) == feeding + attending + logits
    feeding = 2 * context * 3 * D * (5 + 7)
    attending = 2 * context * 2 * D * 4 * (9 + 3) + 4 * pairs * 4 * (6 + 2)
    assert flops(LLAMA, Workload(1, 5, 3)) == feeding + attending + logits


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_one_and_many_agree(workload):
    for some in ([GPT2, SHARED, Architecture("gpt2", D, (2,), (5,), V, T)], [LLAMA]):
        P = Population.of(some, max_layer=6)
        assert list(P) == some and [a.id for a in P] == [a.id for a in some]
        assert flops(P, workload).tolist() == [flops(a, workload) for a in some]
        assert peak_bytes(P, workload).tolist() == [peak_bytes(a, workload) for a in some]
        assert kv_cache_bytes(P).tolist() == [kv_cache_bytes(a) for a in some]
        for part in ("attention", "ffn", "norm", "total"):
            assert getattr(count(P), part).tolist() == [getattr(count(a), part) for a in some]


def test_counting_by_sum_is_left_where_a_half_lacks():
    P = Population.of([GPT2])
    assert not complete(P) and not np.array_equal(params_by_sum(P), params_by_layer(P))
    many = SearchSpace.preset("gpt2-edges").sample(50)
    assert complete(many) and np.array_equal(params_by_sum(many), params_by_layer(many))


@pytest.mark.parametrize("backbone", ["gpt2", "llama"])
@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_peaks_grow_with_width_from_0(backbone, workload):
    "The exact search relies on it: bytes never fall when `d_inner` grows, nor when `blocks_before` grows."
    fixed = SearchSpace.preset(backbone).fixed
    for heads in (0, 2):
        rows = [
            [layer_peak(fixed, 64, width, heads, heads, before, 1, 8, 1, workload) for before in range(4)]
            for width in (0, 1, 16, 64, 256)
            if width or heads
        ]
        assert (np.diff(rows, axis=0) >= 0).all() and (np.diff(rows, axis=1) >= 0).all()


def test_the_same_architecture_however_it_is_said():
    said = Architecture("llama", D, (0, 6, 2), (5, 0, 7), V, T, n_kv_head=(3, 3, 1), d_head=4, tie_embeddings=False)
    assert said == LLAMA and said.id == LLAMA.id  # without heads there are no key and value heads either
    for a in (GPT2, LLAMA, SHARED):
        assert Architecture.from_json(a.to_json()) == a and not a.complete
    assert LLAMA.layer_kind is None and Architecture("lfm2", D, (0, 2), (5, 5), V, T, d_head=4).complete
    assert Architecture("gpt2", D, (2, 2), (0, 0), V, T).homogeneous  # attention alone is allowed


CASES = [
    ("gpt2", (2, 0), (5, 0), "n_head=0 and d_inner=0 in layer 1: nothing is left of it; leave the layer out instead"),
    ("llama", (0, 0), (5, 5), "n_head=(0, 0): at least one layer must have attention"),
    ("opt", (2, 0), (5, 5), "n_head=0 in layer 1: opt has attention in every layer; layers without it are known for"),
    ("opt", (2, 2), (5, 0), "d_inner=0 in layer 1: opt has a feed-forward part in every layer; layers without it are"),
    ("transformer-xl", (0, 2), (5, 5), "layers without it are known for gpt2 and llama"),
    ("lfm2", (0, 2), (5, 0), "d_inner=0 in layer 1: lfm2 has a feed-forward part in every layer"),
    ("gpt2", (2, -1), (5, 5), "n_head=-1: must be a whole number from 0"),
]


@pytest.mark.parametrize("backbone, n_head, d_inner, message", CASES)
def test_what_is_refused(backbone, n_head, d_inner, message):
    fields = dict(d_head=4) if backbone in ("llama", "lfm2") else {}
    with pytest.raises(InputError) as error:
        Architecture(backbone, D, n_head, d_inner, V, T, **fields)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("field, half", [("n_head", "attention"), ("d_inner", "a feed-forward part")])
def test_spaces_have_no_such_layers(field, half):
    with pytest.raises(InputError, match=f"^{field}=0: no space has layers without {half}; must be whole"):
        SearchSpace.preset("gpt2", **{field: [0, 2, 2048]})
    with pytest.raises(InputError, match="layers without attention or without a feed-forward part are in no space"):
        SearchSpace.around(GPT2)


# --- in a profile


SPACE = SearchSpace.preset("gpt2", n_layer=[1, 3], d_model=64, d_inner=[128, 256], n_head=2, vocab_size=100)
SHAPED = Architecture("gpt2", 64, (0, 2, 2), (128, 0, 0), vocab_size=100)


def sample():
    target, request = FakeTarget(seconds_per_part=1e-3), Workload(prompt_len=6)
    return Sample(SHAPED, request, 0, target.parts(SHAPED, request).tolist())


def test_a_half_that_lacks_costs_nothing_and_tells_nothing():
    one = sample()
    parts = np.array(one.parts_s[0])
    assert [work > 0 for *_, work in sample_blocks(one, SPACE, last_apart=True)] == [0, 1, 1, 0, 1, 0, 1]
    assert (parts[[0, 3, 5]] == 0).all() and (parts[[1, 2, 4, 6]] > 1e-3).all()
    readings = read_parts([one], [parts], SPACE)
    assert {kind: len(found.prices) for kind, found in readings.items()} == dict(attention=2, ffn=1, once=1)
    assert all(np.isfinite(found.prices).all() for found in readings.values())


def test_seconds_of_blocks():
    def price(places):
        return np.full(len(places), 3.0)

    blocks = [mixer_block(SPACE, 64, 2, 2), mixer_block(SPACE, 64, 0, 0), ("last_ffn", (0.0, 0.0), 0.0)]
    work = 4 * 64 * 64 + 4 * 64
    assert block_seconds(dict(attention=price), blocks) == pytest.approx([work * np.exp(3.0), 0, 0])


def test_whole_models():
    table = BlockTable.of([sample(), sample()], SPACE, 4.0)
    assert {kind: owner.tolist() for kind, owner in table.owner.items()} == dict(
        attention=[0, 0, 1, 1], ffn=[0, 1], once=[0, 1]
    )
