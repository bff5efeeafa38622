"""A real browser for tests; where there is none, they are skipped."""

import shutil
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking".split()


def browser_path() -> str:
    "Where the browser is; skips the test if there is none."
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return found or pytest.skip("no Chromium is installed")


@contextmanager
def browser():
    "A browser without a window."
    playwright = pytest.importorskip("playwright.sync_api")
    path = browser_path()
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=OPTIONS)
        try:
            yield opened
        finally:
            opened.close()


def open_file(opened, path, width: int = 1400, scheme: str = "light"):
    "A page that shows a frontier; `page.left` has every request, `page.wrong` every error."
    context = opened.new_context(viewport=dict(width=width, height=900), color_scheme=scheme, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(120_000)  # the machine may be busy
    page.left, page.wrong = [], []
    page.on("request", lambda request: page.left.append(request.url))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda message: page.wrong.append(message.text) if message.type == "error" else None)
    page.goto(path.as_uri())
    page.wait_for_function("window.explorer")
    return page
