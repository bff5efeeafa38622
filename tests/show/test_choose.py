"""Every budget gets the best that it buys, or the nearest that it does not."""

import numpy as np
import pandas as pd
import pytest
import show_frames as frames

from lts_nb.core.errors import InputError
from lts_nb.show.choose import choose, in_words

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
    "more, words",
    [
        (dict(latency_s=0.0123, n_head=(2, 2)), "heads 2: 1.2 M decoder parameters, 12.3 ms, 8 MB"),
        (
            dict(latency_s=np.nan, decode_s=0.0123),
            "heads 2, 1 of the layers convolutions: 1.2 M decoder parameters, 12.3 ms a new token, 8 MB",
        ),
        (
            dict(prefill_s=0.2, decode_s=0.0123, predicted_loss=2.71828, n_head=(2, 2)),
            "heads 2: 1.2 M decoder parameters, predicted loss 2.718 nats, "
            "200.0 ms to the first token, 12.3 ms a new token, 8 MB",
        ),
    ],
)
def test_in_words(more, words):
    shape = "2 layers of width 64, feed-forward 128–256, "
    assert in_words(pd.Series(WRITER | more)) == shape + words
