"""A shaped folder as a page: what a budget buys there is what `lts pick` says."""

import json
from dataclasses import replace

import browser_kit
import numpy as np
import pandas as pd
import pytest

from lts_nb.core.errors import InputError
from lts_nb.core.files import replace_text, write_json
from lts_nb.shaping.explored import view_of_shaped
from lts_nb.shaping.shaped_folder import RISE, ShapedFolder, bounds_of, choose_member
from lts_nb.show.page import write_page
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count

PARENT = Architecture("llama", 64, (4, 4, 4), (192, 192, 192), vocab_size=300, max_len=64, d_head=16)
ABOUT = dict(parent="tiny", licence=None, place="tiny", weights="0", settings={}, loss=2.0)


@pytest.fixture(scope="module")
def shaped(tmp_path_factory) -> ShapedFolder:
    "Twelve members of made-up rises, some of which others beat."
    folder, rng = tmp_path_factory.mktemp("shaped"), np.random.default_rng(0)
    shapes = [replace(PARENT, d_inner=tuple(32 * rng.integers(1, 7, 3))) for _ in range(12)]
    share = np.array([count(a).decoder / count(PARENT).decoder for a in shapes])
    rises = (1 - share) * rng.uniform(0.5, 1, len(shapes))
    columns = dict(id=[a.id for a in shapes], rise=rises, error=rises / 10, loss=2 + rises, share=share)
    columns |= dict(predicted_rise=rises * 1.1, architecture=[a.to_json() for a in shapes])
    columns |= dict(predicted_latency_s=share * 0.01, latency_s_share=share)
    pd.DataFrame(columns).to_csv(folder / "members.csv", index=False)
    about = ABOUT | dict(architecture=json.loads(PARENT.to_json()))
    replace_text(folder / "shaped.json", write_json("shaped", 1, about))
    return ShapedFolder.load(folder)


def budgets(shaped: ShapedFolder):  # yields (limits of the page, what `choose_member` takes)
    "Of parameters, of latency, of the rise alone, of two, and one that nobody keeps."
    middle = shaped.members[["decoder_params", "latency_s", "rise"]].median()
    p, t, r = middle.decoder_params, middle.latency_s, middle.rise
    yield dict(decoder_params=p), bounds_of({}, p)
    yield dict(latency_s=t), bounds_of(dict(latency_s=t))
    yield dict(rise=r), bounds_of({}, None, f"{r}")
    yield dict(latency_s=t, rise=2 * r), bounds_of(dict(latency_s=t), None, f"{2 * r}")
    yield dict(latency_s=t / 100), bounds_of(dict(latency_s=t / 100))


def test_the_choice_is_that_of_pick(shaped, tmp_path):
    write_page(view_of_shaped(shaped), path := tmp_path / "frontier.html")
    with browser_kit.browser() as opened:
        page = browser_kit.open_file(opened, path)
        chosen = "explorer.state.chosen < 0 ? '' : idOf(explorer.view, explorer.state.chosen)"
        assert page.evaluate(chosen) == choose_member(shaped, []).id[:10]
        for limits, bounds in budgets(shaped):
            page.evaluate("limits => explorer.setLimits(limits)", limits)
            try:
                expected = choose_member(shaped, bounds).id[:10]
            except InputError:
                expected = ""
            assert page.evaluate(chosen) == expected, limits
        assert expected == "" and page.wrong == []
        assert "the parent" in page.locator(".lts-legend").inner_text()


def test_a_parameter_is_a_cost_here(shaped):
    view = view_of_shaped(shaped)
    assert view.quality == RISE.name and not view.metrics["decoder_params"].more_is_better
    assert view.costs[0] == "latency_s" and view.thrifty
    assert [mark.role for mark in view.marks] == ["frontier"] * 12 + ["baseline"]
