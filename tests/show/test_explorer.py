"""The explorer's Python half: what it packs, and what notebooks store of it."""

import gzip
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest

from lts_nb.core.errors import InputError
from lts_nb.searches.explored import explorer_of, view_of
from lts_nb.searches.result import SearchResult
from lts_nb.show.explorer import Explorer, stored_page
from lts_nb.show.page import SCRIPTS, page_text
from lts_nb.show.view import ID_BYTES, pack

RUN = "benchmarks/lfm2_cpu"


@pytest.fixture(scope="module")
def result() -> SearchResult:
    return SearchResult.load(RUN)


@pytest.fixture(scope="module")
def view(result):
    return view_of(result, "runs/lfm2")


def unpacked(view) -> tuple[dict, dict]:
    head, data = pack(view)
    block, kinds = gzip.decompress(data), dict(f8="<f8", f4="<f4", i4="<i4", u1="u1")
    read = lambda a: np.frombuffer(block, kinds[a["kind"]], a["length"], a["offset"])  # noqa: E731
    return head, {entry["name"]: read(entry) for entry in head["arrays"]}


def test_all_members_travel(result, view):
    head, arrays = unpacked(view)
    found = result.full_frontier
    assert head["n"] == len(found.F) and head["rows"] == len(view.population)
    for name, sign in (("decoder_params", -1), ("latency_s", 1), ("peak_bytes", 1)):
        assert np.array_equal(arrays[f"column {name}"], sign * found.F[:, found.objectives.index(name)])
    ids = arrays["ids"].tobytes()
    assert all(
        ids[5 * i : 5 * i + 5].hex() == view.population[i].id[: 2 * ID_BYTES] for i in (0, 7, len(view.population) - 1)
    )


def test_marks_stand_where_their_architectures_do(result, view):
    by_id = {mark.role + view.population[mark.row].id: mark for mark in view.marks}
    for _, row in result.frontier.iterrows():
        mark = by_id[f"frontier{row['id']}"]
        assert mark.values["latency_s"] == row.latency_s and mark.promised["latency_s"] == row.predicted_latency_s
        assert mark.measured
    assert {mark.role for mark in view.marks} >= {"frontier", "baseline"}


def test_intervals_are_those_of_pick(result, view):
    low, high = view.intervals["latency_s"]
    picked = result.row(latency_s=0.03)
    number = next(i for i, a in enumerate(result.full_frontier.population) if a.id == picked["id"])
    if "latency_clock" not in picked:
        assert (low[number], high[number]) == pytest.approx((picked.predicted_low_s, picked.predicted_high_s))
    assert (low < high).all()


def test_what_a_notebook_stores_is_hidden_until_the_widget_is_missing(view):
    text = stored_page(view, "0123")
    page = html.unescape(re.search(r'data-page="([^"]*)"', text)[1])
    assert page == page_text(view) and 'data-key="0123" hidden' in text


def test_a_widget_and_its_stored_page_have_one_key(result, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    explorer = explorer_of(result)
    explorer._ipython_display_()
    widget, stored = shown
    assert "application/vnd.jupyter.widget-view+json" in widget and widget["image/png"]
    assert f'data-key="{explorer.key}"' in stored["text/html"]


def test_sources_of_the_page_read_like_the_rest():
    sources = [*Path("lts_nb/show/static").glob("*.js"), Path("lts_nb/show/static/explorer.css")]
    assert {path.stem for path in sources if path.suffix == ".js"} == set(SCRIPTS)
    for path in sources:
        assert all(len(line) <= 120 for line in path.read_text(encoding="utf-8").splitlines()), path


def test_measuring_gives_another_view(view):
    asked = []
    explorer = Explorer(view, measure=lambda id: asked.append(id) or view)
    assert explorer.head["can_measure"]
    explorer._asked(explorer, dict(measure="abc"), [])
    assert asked == ["abc"]
    assert not Explorer(view).head["can_measure"]


def test_what_cannot_be_measured_is_said(view, monkeypatch):
    def measure(id):
        raise InputError("machine: another one")

    explorer, sent = Explorer(view, measure=measure), []
    monkeypatch.setattr(explorer, "send", sent.append)
    explorer._asked(explorer, dict(measure="abc"), [])
    assert sent == [dict(said="machine: another one")]


@pytest.mark.parametrize("limits", [dict(latency_s=-1.0), dict(latency_s="1"), dict(width=3.0)])
def test_a_limit_that_is_none(view, limits):
    with pytest.raises(InputError, match="limits: .*must be a number above 0 for one of latency_s"):
        Explorer(view).limits = limits


def test_no_text_of_a_run_ends_the_script(result):
    name = "</script><script>alert(1)</script>"
    text = page_text(view_of(result, name))
    assert text.count("</script>") == 1 and "<script>alert" not in text
    head = re.search(r'openPage\(document.getElementById\("explorer"\), (\{.*\}), "', text)[1]
    assert name in json.loads(head)["title"]
