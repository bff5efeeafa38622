"""In JupyterLab: the widget and Python know of each other, and a saved notebook shows the page without its kernel."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import browser_kit
import nbformat
import pytest

pytest.importorskip("jupyterlab")
PATIENCE_MS = 180_000  # of a test that waits for a server, a kernel and a browser on a busy machine
EXPLORE = """
from lts_nb.searches.result import SearchResult
explorer = SearchResult.load({run!r}).explore()
explorer.limits = dict(latency_s=0.05)
explorer
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def jupyter(folder: Path, home: Path):
    "A server without a password; yields its address."
    port, kept = free_port(), dict(IdentityProvider="token=", ServerApp="root_dir=" + str(folder))
    options = ["--no-browser", f"--port={port}", "--allow-root", "--ServerApp.disable_check_xsrf=True"]
    options += [f"--{name}.{value}" for name, value in kept.items()]
    address, environment = f"http://127.0.0.1:{port}", os.environ | dict(HOME=str(home), OMP_NUM_THREADS="1")
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=log, stderr=log
        )
        try:
            wait_for(lambda: urllib.request.urlopen(f"{address}/api").status == 200)
            yield address
        finally:
            server.terminate()
            server.wait()


def wait_for(works, seconds: float = PATIENCE_MS / 1000):
    "Until a call neither fails nor gives nothing."
    end = time.monotonic() + seconds
    while True:
        try:
            if works():
                return
        except OSError:
            pass
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.2)


def kill_kernels(address: str):
    for session in json.load(urllib.request.urlopen(f"{address}/api/sessions")):
        request = urllib.request.Request(f"{address}/api/sessions/{session['id']}", method="DELETE")
        urllib.request.urlopen(request)


def run_cell(page, number: int):
    page.locator(".jp-Cell .cm-content").nth(number).click()
    page.keyboard.press("Control+Enter")


def write_notebook(path: Path):
    "A notebook that explores a stored run, and says what Python knows of it."
    path.parent.mkdir()
    run = str(Path("benchmarks/lfm2_cpu").resolve())
    sources = [EXPLORE.format(run=run).strip(), "print(explorer.limits, explorer.chosen)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = dict(name="python3", display_name="python3", language="python")
    nbformat.write(notebook, path)


def check_both_ways(page):
    "Python's limit moves the slider, the slider's limit and what it buys are known to Python."
    run_cell(page, 0)
    page.locator(".lts-explorer canvas").first.wait_for()
    assert page.get_by_label("latency ≤ [ms], as a number").input_value() == "50"
    page.get_by_role("slider", name="latency ≤ [ms]").press("PageDown")
    chosen = page.get_by_role("status").locator("b").inner_text()
    output = page.locator(".jp-OutputArea").last
    wait_for(lambda: run_cell(page, 1) or chosen in output.inner_text())
    assert "'latency_s': 0.05}" not in output.inner_text() and "'latency_s': 0.0" in output.inner_text()
    assert page.locator(".lts-stored").is_hidden()


def opened_notebook(context, address: str):
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{address}/lab/tree/a.ipynb")
    page.locator(".jp-Notebook").wait_for()
    page.get_by_text("| Idle").wait_for()  # the kernel is there; what is asked of it earlier may be lost
    return page


@pytest.mark.slow
def test_run_saved_killed_and_opened_again(tmp_path):
    path, home = tmp_path / "notebooks" / "a.ipynb", tmp_path / "home"
    write_notebook(path)
    home.mkdir()
    with browser_kit.browser() as browser, jupyter(path.parent, home) as address:
        page = opened_notebook(browser.new_context(), address)
        check_both_ways(page)
        page.keyboard.press("Control+s")
        wait_for(lambda: len(json.loads(path.read_text(encoding="utf-8"))["cells"][1]["outputs"]) == 1)
        kill_kernels(address)
        again = opened_notebook(browser.new_context(), address)
        again.frame_locator(".lts-stored iframe").locator("canvas").first.wait_for()
        assert again.get_by_text("model not found").is_hidden()
