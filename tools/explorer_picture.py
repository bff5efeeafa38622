"""The explorer's picture in the README: `python tools/explorer_picture.py`; needs Chromium, and `playwright` of dev."""

import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from lts_nb.searches.explored import view_of
from lts_nb.searches.result import SearchResult
from lts_nb.show.page import write_page

ROOT = Path(__file__).resolve().parents[1]
RUN, LIMITS = "gpt2_cpu", {"latency_s": 0.12, "peak_bytes": 300e6}
OPTIONS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking".split()


def main():
    "Draw the page of a stored run within limits, as a screen of 1,280 × 900 shows it."
    path = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
    with tempfile.TemporaryDirectory() as place, sync_playwright() as started:
        page_file = Path(place) / "frontier.html"
        write_page(view_of(SearchResult.load(ROOT / "benchmarks" / RUN), f"runs/{RUN}"), page_file)
        browser = started.chromium.launch(executable_path=path, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(page_file.as_uri())
        page.wait_for_function("window.explorer")
        page.evaluate("limits => explorer.setLimits(limits)", LIMITS)
        page.evaluate("explorer.pin(explorer.view.walk[explorer.view.walk.length >> 2])")
        page.wait_for_timeout(500)
        taken = page.screenshot()
        browser.close()
    # few colours are on it, and a repository keeps every version
    Image.open(io.BytesIO(taken)).convert("RGB").quantize(64).save(ROOT / "nbs/images/explorer.png", optimize=True)


if __name__ == "__main__":
    main()
