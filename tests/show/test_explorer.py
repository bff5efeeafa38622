"""The explorer's sliders, moved to their ends."""

import pytest
import show_frames as frames

from lts_nb.core.metrics import get_metric
from lts_nb.show import explorer as module
from lts_nb.show.explorer import Explorer
from lts_nb.space.architecture import Architecture


@pytest.fixture
def explorer() -> Explorer:
    everything = frames.candidates()
    return Explorer(frames.frontier_within(everything), everything)


def tight_end(slider, name):
    return slider.max if get_metric(name).more_is_better else slider.min


def loose_end(slider, name):
    return slider.min if get_metric(name).more_is_better else slider.max


def test_a_page_without_a_kernel_has_a_picture(explorer):
    bundle, drawn = explorer._repr_mimebundle_(), explorer.pictures[0].value
    assert bytes(drawn).startswith(b"\x89PNG") and bundle["image/png"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_the_same_budget_gives_the_same_picture(explorer):
    before = explorer.pictures[0].value
    opened_at = explorer.sliders["latency_s"].value
    explorer.sliders["latency_s"].value = opened_at / 2
    assert explorer.pictures[0].value != before
    explorer.sliders["latency_s"].value = opened_at
    assert explorer.pictures[0].value == before


@pytest.mark.parametrize("name", ("latency_s", "peak_bytes", "decoder_params"))
def test_the_tight_end_of_each_slider_has_a_member(explorer, name):
    for other, slider in explorer.sliders.items():
        slider.value = tight_end(slider, name) if other == name else loose_end(slider, other)
    assert explorer.chosen is not None


def test_a_budget_that_nobody_meets(explorer):
    for name, slider in explorer.sliders.items():
        slider.value = tight_end(slider, name)
    assert explorer.chosen is None and explorer.pictures[1].value == b""
    assert "no member of the frontier meets it" in explorer.text.value


def test_a_loss_in_place_of_parameters(monkeypatch):
    monkeypatch.setattr(module, "as_png", lambda figure: figure.axes[0].get_ylabel().encode())
    frame = frames.by_loss()
    layers = [Architecture("gpt2", 64, (2,) * n, (128,) * n) for n in frame.n_layer]
    frame = frame.assign(
        architecture=[a.to_json() for a in layers],
        d_model=64,
        n_head=[a.n_head for a in layers],
        d_inner=[a.d_inner for a in layers],
    )
    explorer = Explorer(frame, frame.iloc[:0], quality="predicted_loss")
    assert list(explorer.sliders) == ["latency_s", "peak_bytes", "predicted_loss"]
    assert explorer.chosen["id"] == "c"
    assert explorer.pictures[0].value == b"predicted loss [nats], less is better"
    loss = explorer.sliders["predicted_loss"]
    assert (loss.min, loss.max, loss.value, loss.step) == (2.45, 3.0, 3.0, 0.001)
    loss.value = 2.45
    assert explorer.chosen is None
    explorer.sliders["latency_s"].value = explorer.sliders["latency_s"].max
    assert explorer.chosen["id"] == "d"
