"""How quickly the frontier page answers: 50,000 members in a real browser.

    python benchmarks/explorer/run.py        # results.json

A page is opened three times. In each, sixty moves of a slider are timed from the event to the redrawn page, and as many
moves of the pointer. Medians and the slowest, in milliseconds. Needs Chromium and Playwright; do it on a machine that
does nothing else.
"""

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from lts_nb.core.files import replace_text
from lts_nb.profiler.machine import describe_machine
from lts_nb.searches.explored import view_of
from lts_nb.searches.result import SearchResult
from lts_nb.show.page import write_page
from lts_nb.show.view import View, stacked

HERE = Path(__file__).parent
N_MEMBERS, N_PAGES = 50_000, 3
OPTIONS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking".split()
SLIDER = """() => {
    const range = document.querySelector(".lts-limit input[type=range]"), found = [];
    for (let i = 0; i < 60; i++) {
        const began = performance.now();
        range.value = 990 - 16 * i;
        range.dispatchEvent(new Event("input"));
        document.body.offsetHeight;  // the page is laid out anew
        found.push(performance.now() - began);
    }
    return found;
}"""
HOVER = """() => {
    const canvas = explorer.scatter.canvas, box = canvas.getBoundingClientRect(), found = [];
    for (let i = 0; i < 60; i++) {
        const across = (box.width - 90) * i / 60, up = (box.height - 100) * (1 - i / 60);
        const at = { clientX: box.x + 70 + across, clientY: box.y + 40 + up };
        const began = performance.now();
        canvas.dispatchEvent(new PointerEvent("pointermove", at));
        found.push(performance.now() - began);
    }
    return found;
}"""


def large_view(run: Path) -> View:
    "A stored frontier, repeated with other latencies until there are enough members."
    view = view_of(SearchResult.load(run), "large")
    n = len(view.worth)
    times, kept = -(-N_MEMBERS // n), np.arange(N_MEMBERS)
    each = {name: [values * (1 + 0.2 * i) for i in range(times)] for name, values in view.columns.items()}
    columns = {name: np.concatenate(values)[kept] for name, values in each.items()}
    population = stacked(*[view.population[np.arange(n)]] * times)[kept]
    worth = -columns[view.quality]
    return replace(view, population=population, columns=columns, worth=worth, marks=(), intervals={}, parts={})


def timed(browser, path: Path) -> dict:
    "Milliseconds of one page."
    page = browser.new_page(viewport=dict(width=1400, height=900))
    began = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_function("window.explorer")
    opened = 1e3 * (time.perf_counter() - began)
    page.evaluate(SLIDER)  # once for the compiler
    found = dict(open=[opened], slider=page.evaluate(SLIDER), hover=page.evaluate(HOVER))
    page.close()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=HERE.parent / "gpt2_cpu", help="folder of an exact search")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "frontier.html"
        write_page(large_view(options.run), path)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=OPTIONS)
        pages = [timed(browser, path) for _ in range(N_PAGES)]
        version = browser.version
        megabytes = path.stat().st_size / 1e6
    merged = {name: np.concatenate([page[name] for page in pages]) for name in pages[0]}
    ms = {name: dict(median=round(float(np.median(v)), 2), most=round(float(v.max()), 2)) for name, v in merged.items()}
    about = dict(members=N_MEMBERS, megabytes=round(megabytes, 2), ms=ms, browser=version, machine=describe_machine())
    replace_text(HERE / "results.json", json.dumps(about, indent=1))
    print(json.dumps(ms))


if __name__ == "__main__":
    main()
