"""Runs that earlier versions stored still open; to open one imports neither a solver nor what draws."""

import subprocess
import sys
from pathlib import Path

import pytest

from lts_nb.searches.report import gains, table
from lts_nb.searches.result import SearchResult

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RUNS = ("gpt2_cpu", "gpt2_lts", "lfm2_cpu", "llama_cpu", "frontier_quality/lts")


@pytest.mark.parametrize("name", RUNS)
def test_stored_runs_open(name):
    result = SearchResult.load(BENCHMARKS / name)
    assert len(table(result, 6)[0]) <= 6 and len(gains(result))
    assert result.pick(latency_s=float(result.frontier.latency_s.median()))
    assert (result.full_frontier is None) == (result.run["method"] == "lts")


@pytest.mark.parametrize("name", ["gpt2_cpu", "gpt2_lts"])
def test_what_opening_imports(name):
    code = f"""
import sys
from lts_nb.searches.result import SearchResult
SearchResult.load({str(BENCHMARKS / name)!r}).pick(latency_s=0.05)
heavy = {{"torch", "moocore", "matplotlib", "ipywidgets", "lts_nb.frontier.exact", "lts_nb.profiler"}}
print(*sorted(heavy & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (0, ""), run.stdout + run.stderr
