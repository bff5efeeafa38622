"""The frontier page in a real browser: it chooses as `pick` does, and can be used by mouse, keys and small screens."""

import csv
import json
from pathlib import Path

import browser_kit
import numpy as np
import pytest
from kit import slow_but

from lts_nb.core.errors import InputError
from lts_nb.searches.explored import view_of
from lts_nb.searches.result import SearchResult
from lts_nb.show.page import write_page
from lts_nb.show.ratios import times_in_words

RUNS = ("gpt2_cpu", "lfm2_cpu", "gpt2_lts")


@pytest.fixture(scope="module")
def opened():
    with browser_kit.browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict:
    "Run -> (its result, its page)."
    folder, found = tmp_path_factory.mktemp("pages"), {}
    for run in RUNS:
        result = SearchResult.load(Path("benchmarks") / run)
        write_page(view_of(result, f"runs/{run}"), folder / f"{run}.html")
        found[run] = result, folder / f"{run}.html"
    return found


@pytest.fixture
def page(opened, files):
    "The page of a small frontier."
    found = browser_kit.open_file(opened, files["lfm2_cpu"][1])
    yield found
    assert found.wrong == [] and len(found.left) == 1  # the file itself
    found.context.close()


def chosen(page) -> str:
    return page.evaluate("explorer.state.chosen < 0 ? '' : idOf(explorer.view, explorer.state.chosen)")


def budgets(result: SearchResult, n: int) -> list[dict]:
    "Budgets from impossible ones to loose ones."
    rng, view = np.random.default_rng(0), view_of(result)
    found = []
    for _ in range(n):
        names = [name for name in view.columns if rng.random() < 0.6] or ["latency_s"]
        found.append(
            {
                name: float(np.exp(rng.uniform(*np.log([min(v), max(v)]))))
                for name in names
                for v in [view.columns[name]]
            }
        )
    return found


@pytest.mark.parametrize("run", slow_but(RUNS, "gpt2_cpu"))
def test_the_choice_is_that_of_pick(opened, files, run):
    result, path = files[run]
    page, met = browser_kit.open_file(opened, path), 0
    assert chosen(page) == result.row()["id"][:10]
    for limits in budgets(result, 20):
        page.evaluate("limits => explorer.setLimits(limits)", limits)
        try:
            expected = result.row(**limits)["id"][:10]
            met += 1
        except InputError:
            expected = ""
        assert chosen(page) == expected, limits
    assert 3 < met < 20
    page.context.close()


def excesses(view, limits: dict) -> np.ndarray:  # `(n, len(limits))`
    "By how much each member breaks each limit, relatively."
    signs = {name: -1 if view.metrics[name].more_is_better else 1 for name in limits}
    return np.stack([signs[name] * (view.columns[name] / limit - 1) for name, limit in limits.items()], 1)


def check_what_binds(page, view, over: np.ndarray):
    "The next better member breaks the budget least of all better ones."
    chosen, n = page.evaluate("explorer.state.chosen"), len(view.worth)
    ours = view.worth[chosen] if chosen < n else next(mark.worth for mark in view.marks if mark.row == chosen)
    better = np.flatnonzero((view.worth < ours) & (over.max(1) > 0))
    call = "s => nextBetter(explorer.view, explorer.state.limits, explorer.state.over, explorer.state.chosen)"
    found = page.evaluate(call)
    assert (found is None) == (not len(better))
    if found:
        assert over.max(1)[found["row"]] == pytest.approx(over.max(1)[better].min())


def check_trade_offs(page, limits: dict, over: np.ndarray):
    "For each limit that can be given up alone: what is nearest to it of those that keep the others."
    found = {one["name"]: one["over"] for one in page.evaluate("tradeOffs(explorer.view, explorer.state.limits)")}
    for i, name in enumerate(limits):
        keeps_others = (np.delete(over, i, 1) <= 0).all(1)
        assert (name in found) == bool(keeps_others.any())
        if name in found:
            assert found[name] == pytest.approx(over[keeps_others, i].min())


def test_trade_offs_and_what_binds_by_brute_force(opened, files):
    result, path = files["gpt2_cpu"]
    page, view, met = browser_kit.open_file(opened, path), view_of(result), []
    for loose in budgets(result, 30):
        limits = {name: value * (1.3 if view.metrics[name].more_is_better else 0.7) for name, value in loose.items()}
        over = excesses(view, limits)
        page.evaluate("limits => explorer.setLimits(limits)", limits)
        met.append(bool((over.max(1) <= 0).any()))
        check_what_binds(page, view, over) if met[-1] else check_trade_offs(page, limits, over)
    assert 3 < sum(met) < 27
    page.context.close()


def test_a_slider_by_keys(page):
    page.get_by_role("slider", name="latency ≤ [ms]").focus()
    before = chosen(page)
    for _ in range(5):
        page.keyboard.press("PageDown")
    limit = page.evaluate("explorer.state.limits.latency_s")
    assert limit > 0 and chosen(page) != before
    status = page.get_by_role("status")
    assert chosen(page)[:8] in status.inner_text() and status.get_attribute("aria-live") == "polite"
    page.get_by_role("button", name="No limits").click()
    assert page.evaluate("explorer.state.limits") == {}


def test_a_number_typed_in(page):
    field = page.get_by_label("latency ≤ [ms], as a number")
    field.fill("25")
    field.press("Enter")
    assert page.evaluate("explorer.state.limits.latency_s") == pytest.approx(0.025)
    field.fill("nonsense")
    field.press("Enter")
    assert page.evaluate("explorer.state.limits") == {}


def test_a_click_takes_and_a_shifted_one_pins(page):
    point = """k => {
        const box = explorer.scatter.canvas.getBoundingClientRect();
        const [x, y] = explorer.scatter.placeOfRow(explorer.view.walk[k]);
        return [box.x + x, box.y + y];
    }"""
    n = page.evaluate("explorer.view.walk.length")
    page.mouse.move(*page.evaluate(point, n // 2))
    assert page.locator(".lts-card").is_visible()
    page.mouse.click(*page.evaluate(point, n // 2))
    first = chosen(page)
    page.keyboard.down("Shift")
    page.mouse.click(*page.evaluate(point, n // 4))
    page.keyboard.up("Shift")
    assert chosen(page) == first and len(page.evaluate("explorer.state.pinned")) == 1
    assert page.get_by_text("What differs").is_visible()


def test_arrows_walk_along_the_frontier(page):
    middle = page.evaluate("explorer.view.walk.length >> 1")
    steps = [page.evaluate("k => idOf(explorer.view, explorer.view.walk[k])", middle + k) for k in (-1, 0, 1)]
    page.evaluate("k => explorer.take(explorer.view.walk[k])", middle)
    page.locator(".lts-scatter canvas").focus()
    found = [chosen(page)]
    for key in ("ArrowRight", "ArrowLeft", "ArrowDown"):
        page.keyboard.press(key)
        found.append(chosen(page))
    assert found == [steps[1], steps[2], steps[1], steps[0]]
    quality = page.evaluate("explorer.view.walk.map(row => -explorer.view.worth[row])")
    cost = page.evaluate("explorer.view.walk.map(row => explorer.view.columns[explorer.view.costs[0]][row])")
    assert quality == sorted(quality) and cost == sorted(cost)
    page.keyboard.press("p")
    assert len(page.evaluate("explorer.state.pinned")) == 1


def test_axes_are_switched(page):
    page.get_by_label("Axis across").select_option("peak_bytes")
    page.get_by_label("Axis up").select_option("latency_s")
    assert page.evaluate("[explorer.scatter.x.metric.label, explorer.scatter.y.metric.label]") == [
        "peak memory",
        "latency",
    ]


def test_a_budget_nobody_meets_shows_the_nearest_on_each_limit(page):
    page.evaluate("explorer.setLimits({latency_s: 0.06, decoder_params: 5e7})")
    text = page.locator(".lts-chosen").inner_text()
    assert "No member keeps this budget" in text and text.count("in place of") == 2
    page.locator(".lts-reasons .lts-link").first.click()
    assert chosen(page)


def test_a_limit_that_is_missed_by_far_is_said_in_words(page):
    page.evaluate("explorer.setLimits({latency_s: 1e-9})")
    nearest = page.evaluate("explorer.view.columns.latency_s.reduce((a, b) => Math.min(a, b))")
    assert f"({times_in_words(nearest / 1e-9)} as much)" in page.locator(".lts-reasons").inner_text()
    factors = [2.34, 9.96, 12, 1204, 999_999, 1e6, 7.147e6, 715e6, 1.2e9, 3.3e12, 5e15]
    assert page.evaluate("factors => factors.map(timesInWords)", factors) == [times_in_words(one) for one in factors]
    page.evaluate("explorer.setLimits({decoder_params: 1e12})")  # of what should be more there is too little
    assert "% off)" in page.locator(".lts-reasons").inner_text()


def test_what_binds_is_said(page):
    page.evaluate("explorer.setLimits({latency_s: 0.05})")
    assert "more than the limit on latency" in page.locator(".lts-reasons").inner_text()


def test_commands_are_copied_and_a_table_downloads(page):
    page.evaluate("explorer.setLimits({latency_s: 0.05})")
    page.get_by_role("button", name="Copy command").click()
    assert (
        page.locator("[data-copied]").get_attribute("data-copied")
        == f"lts build runs/lfm2_cpu {chosen(page)[:8]} --out model"
    )
    page.get_by_role("button", name="JSON").click()
    copied = page.locator("button[data-copied^='{']").get_attribute("data-copied")
    assert json.loads(copied)["id"] == chosen(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    assert len(rows) == page.evaluate("explorer.view.n") and any(row["measured"] == "true" for row in rows)


def test_the_table_sorts(page):
    page.evaluate("explorer.setLimits({latency_s: 0.05})")
    values = "[...document.querySelectorAll('.lts-table tbody tr')].map(row => Number(row.children[2].textContent))"
    page.get_by_role("button", name="width").click()
    assert page.evaluate(values) == sorted(page.evaluate(values))
    page.get_by_role("button", name="width").click()
    assert page.evaluate(values) == sorted(page.evaluate(values), reverse=True)


@pytest.mark.parametrize("width", (1400, 700, 360))
def test_nothing_is_wider_than_the_screen(opened, files, width):
    page = browser_kit.open_file(opened, files["lfm2_cpu"][1], width, "dark")
    page.evaluate("explorer.pin(explorer.view.walk[3])")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.lts-explorer')).backgroundColor") == "rgb(18, 18, 18)"
    )
    columns = page.evaluate("getComputedStyle(document.querySelector('.lts-main')).gridTemplateColumns").split()
    assert len(columns) == {1400: 3, 700: 1, 360: 1}[width]
    page.context.close()


def test_a_budget_outlives_a_reload(page):
    page.evaluate("explorer.setLimits({latency_s: 0.05})")
    page.reload()
    page.wait_for_function("window.explorer")
    assert page.evaluate("explorer.state.limits.latency_s") == 0.05
    page.left.pop()  # the reload
