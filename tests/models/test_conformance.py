"The kit notices what is wrong with a model."

import pytest
import torch

from lts_nb.models.build import build
from lts_nb.models.conformance import check_cache, check_gradients, check_kernels, check_parts, check_saved, is_greedy
from lts_nb.models.small_models import draw_tokens, randomised
from lts_nb.space.architecture import Architecture

GPT2 = Architecture("gpt2", 48, (2, 4), (64, 96), vocab_size=97, max_len=24)


@pytest.fixture
def model():
    with torch.no_grad():
        yield randomised(build(GPT2))


def broken(check, *arguments, match):
    with pytest.raises(AssertionError, match=match):
        check(*arguments)


def test_a_sound_model_passes(model):
    tokens = draw_tokens(GPT2)
    check_parts(model, GPT2, tokens)
    check_cache(model, tokens)
    check_kernels(model, GPT2, tokens)
    check_gradients(model, GPT2)


def test_logits_that_depend_on_the_piece(model):
    model.lm_head.register_forward_hook(lambda module, arguments, out: out + 0.01 * out.shape[1])
    broken(check_cache, model, draw_tokens(GPT2), match="logits in pieces")


def test_layers_that_change_places(model):
    first, second = model.transformer.h
    first.ln_2, second.ln_2 = second.ln_2, first.ln_2  # entered in another order than they stand in
    second.mlp, first.mlp = first.mlp, second.mlp
    broken(check_parts, model, GPT2, draw_tokens(GPT2), match="second half of layer 0 uses")


def test_a_weight_that_nothing_reaches(model):
    model.transformer.h[0].mlp.register_parameter("idle", torch.nn.Parameter(torch.ones(3)))
    broken(check_gradients, model, GPT2, match="no gradient reaches transformer.h.0.mlp.idle")


def test_a_layer_with_other_heads(model):
    other = Architecture("gpt2", 48, (4, 4), (64, 96), vocab_size=97, max_len=24)
    broken(check_kernels, model, other, draw_tokens(GPT2), match="attention has")


def test_another_architecture_on_disk(model):
    other = Architecture("gpt2", 48, (4, 2), (64, 96), vocab_size=97, max_len=24)
    broken(check_saved, model, other, draw_tokens(GPT2), match="opens as")


def test_greedy_up_to_rounding(model):
    tokens = draw_tokens(GPT2, 5)
    made = model.generate(tokens, max_new_tokens=6, do_sample=False, pad_token_id=0)
    assert is_greedy(model, made, 5)
    made[0, 7] = (made[0, 7] + 1) % 97
    assert not is_greedy(model, made, 5)
