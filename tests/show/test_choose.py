"""Every budget gets the best that it buys, or the nearest that it does not."""

import re

import numpy as np
import pandas as pd
import pytest
import show_frames as frames

from lts_nb.core.errors import InputError
from lts_nb.show.choose import choose, in_words
from lts_nb.show.ratios import gain_in_words

FRONTIER = frames.frontier_within(frames.candidates())
LOSSY = frames.by_loss()
WRITER = dict(n_layer=2, d_model=64, d_inner=(128, 256), n_head=(0, 2), decoder_params=1_250_000, peak_bytes=7_600_000)


def chosen_by_loss(**limits) -> str:
    "The id that is chosen where less of a predicted loss is better."
    return LOSSY.id[choose(LOSSY, "predicted_loss", **limits)]


def test_a_minimum_that_only_the_largest_meets():
    most = FRONTIER.decoder_params
    assert choose(FRONTIER, decoder_params=float(most.max())) == int(most.argmax())


def test_a_minimum_that_nobody_meets():
    with pytest.raises(InputError, match="decoder parameters .M. ≥ 1e\\+06"):
        choose(FRONTIER, decoder_params=1e12)


@pytest.mark.parametrize("bad", (0, -1, "fast", float("nan"), True))
def test_a_limit_is_a_positive_number(bad):
    with pytest.raises(InputError, match="must be a number above 0"):
        choose(FRONTIER, latency_s=bad)


@pytest.mark.parametrize(
    "limits, chosen", [(dict(latency_s=0.3), "c"), (dict(predicted_loss=2.9), "d"), (dict(decoder_params=3), "b")]
)
def test_less_is_better_of_a_loss(limits, chosen):
    assert chosen_by_loss(**limits) == chosen


def test_the_knee_is_one_of_losses():
    assert (chosen_by_loss(), LOSSY.id[choose(LOSSY)]) == ("c", "a")


def test_depth_as_quality():
    assert LOSSY.id[choose(LOSSY, "n_layer", latency_s=0.3)] == "b"


def test_the_nearest_is_named():
    with pytest.raises(InputError) as raised:
        chosen_by_loss(predicted_loss=2)
    assert str(raised.value).startswith("budget predicted loss [nats] ≤ 2: no member of the frontier meets it")
    assert str(raised.value).endswith("the nearest, d, has predicted loss [nats] 2.45 (22.5 % off)")


@pytest.mark.parametrize(
    "limits, words",
    [
        (dict(predicted_loss=2e-9), "(1.2 billion times as much)"),
        (dict(predicted_loss=1.1), "(2.2 times as much)"),
        (dict(predicted_loss=2, decoder_params=1e9), "(100.0 % off)"),  # far too few parameters
        (dict(predicted_loss=0.5, decoder_params=1e9), "times as much)"),  # what is missed worst is said
    ],
)
def test_how_far_off_the_nearest_is(limits, words):
    with pytest.raises(InputError, match=re.escape(words)):
        chosen_by_loss(**limits)


@pytest.mark.parametrize(
    "more, words",
    [
        (dict(latency_s=0.0123, n_head=(2, 2)), "heads 2: 1.2 M decoder parameters, 12.3 ms, 7.6 MB of memory"),
        (
            dict(latency_s=np.nan, decode_s=0.0123),
            "heads 2, 1 of the layers convolutions: 1.2 M decoder parameters, 12.3 ms a new token, 7.6 MB of memory",
        ),
        (
            dict(prefill_s=0.2, decode_s=0.0123, predicted_loss=2.71828, n_head=(2, 2)),
            "heads 2: 1.2 M decoder parameters, predicted loss 2.718 nats, "
            "200.0 ms to the first token, 12.3 ms a new token, 7.6 MB of memory",
        ),
    ],
)
def test_in_words(more, words):
    shape = "2 layers of width 64, feed-forward 128–256, "
    assert in_words(pd.Series(WRITER | more)) == shape + words


@pytest.mark.parametrize(
    "more, words",
    [
        (
            dict(latency_clock=None, predicted_low_s=0.047, predicted_high_s=0.053),
            "49.8 ms predicted (47–53; not measured yet)",
        ),
        (dict(latency_clock=np.nan), "49.8 ms predicted (not measured yet)"),
        (
            dict(latency_clock="wall", standard_error=0.02, predicted_low_s=0.047, predicted_high_s=0.053),
            "49.8 ± 1.0 ms",
        ),
        (dict(latency_clock="wall", standard_error=np.nan), "49.8 ms"),
    ],
)
def test_a_prediction_is_no_fact(more, words):
    assert in_words(pd.Series(WRITER | dict(latency_s=0.0498) | more)).endswith(
        f"parameters, {words}, 7.6 MB of memory"
    )


def test_phases_are_predicted_too():
    row = pd.Series(WRITER | dict(latency_clock=None, decode_s=0.0123))
    assert "12.3 ms a new token, predicted (not measured yet), 7.6 MB of memory" in in_words(row)


@pytest.mark.parametrize(
    "costs, words",
    [
        (
            ("decode_s", "kv_cache_bytes"),
            "12.3 ms a new token, predicted (12–13; not measured yet), 3.1 MB of KV cache",
        ),
        (
            ("flops", "weight_bytes", "total_params"),
            "3.2 G FLOPs a request, 5.0 MB of weights, 1.5 M parameters in all",
        ),
        (("quality", "energy_j"), "0.021 J a request, predicted (not measured yet)"),
    ],
)
def test_in_words_of_what_was_searched_for(costs, words):
    row = dict(latency_clock=None, latency_s=0.05, decode_s=0.0123, prefill_s=0.2, predicted_low_s=0.0119)
    row |= dict(predicted_high_s=0.0127, kv_cache_bytes=3.14e6, flops=3.2e9, weight_bytes=5e6, energy_j=0.021)
    said = in_words(pd.Series(WRITER | row | dict(total_params=1.5e6)), costs)
    assert said.endswith(f"1.2 M decoder parameters, {words}")


def test_small_numbers_are_not_zero():
    tiny = WRITER | dict(decoder_params=4_200, peak_bytes=31_000, latency_s=3.2e-5)
    assert in_words(pd.Series(tiny)).endswith("0.0042 M decoder parameters, 0.032 ms, 0.031 MB of memory")


@pytest.mark.parametrize(
    "ratio, name, interval, words",
    [
        (1.28, "latency_s", (1.05, 1.71), "1.28 times faster (1.05 to 1.71)"),
        (1.04, "decode_s", (0.95, 1.1), "1.04 times faster (from 5 % slower to 1.10 times faster)"),
        (0.4, "latency_s", None, "2.50 times slower"),
        (0.84, "peak_bytes", (0.76, 0.91), "19 % more memory (10 to 32 %)"),
        (0.93, "peak_bytes", (0.86, 1.01), "8 % more memory (from 16 % more memory to 1 % less memory)"),
        (2.53, "peak_bytes", None, "60 % less memory"),
        (0.4, "peak_bytes", None, "2.50 times the memory"),
        (1.25, "kv_cache_bytes", None, "20 % less KV cache"),
        (1.0, "latency_s", (0.999, 1.001), "as fast"),
        (1.02, "latency_s", (1.0, 1.04), "1.02 times faster (from as fast to 1.04 times faster)"),
        (0.997, "peak_bytes", None, "as much memory"),
    ],
)
def test_gains_in_words(ratio, name, interval, words):
    assert gain_in_words(ratio, name, interval) == words
