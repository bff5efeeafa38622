"""What somebody meets who has just installed this: help, a sample, tables that fit, bars, and no waiting."""

import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer
from kit import SMALL, lts
from tqdm import tqdm

import lts_nb
from lts_nb.cli.options import app, note
from lts_nb.core.ready_made import own_run, profile_names, ready_made, run_place
from lts_nb.core.screen import progress_bar, table_text, width_of
from lts_nb.core.workload import Workload
from lts_nb.evaluation.record import report
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.searches.search import search
from lts_nb.searches.session import SearchTask
from lts_nb.study.report import agreement_lines

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
COMMANDS = typer.main.get_command(app).commands
EXAMPLES = [line.strip() for command in COMMANDS.values() for line in command.epilog.splitlines() if "lts " in line]


# Help


def test_lts_alone():
    code, out, err = lts()
    assert (code, err) == (0, "") and out == lts("--help")[1] and "doctor" in out


def test_the_version_and_the_package_as_a_command():
    assert lts("--version") == (0, f"lts_nb {lts_nb.__version__}\n", "")
    done = subprocess.run([sys.executable, "-m", "lts_nb", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"lts_nb {lts_nb.__version__}\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_examples(name):
    code, out, _ = lts(name, "--help")
    end = out.partition("  Examples:\n")[2].splitlines()
    assert code == 0 and len(end) >= 2 and all(line.startswith(f"    lts {name}") for line in end)
    assert width_of(out.splitlines()) <= 80


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_is_understood(line, tmp_path, monkeypatch):
    "As the parser takes it; nothing is run."
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line.split(" | ")[0].split(" > ")[0], comments=True)
    assert words[0] == "lts"
    assert COMMANDS[words[1]].make_context(words[1], words[2:]).params


# Tables


@pytest.mark.parametrize("most", range(11, 50, 4))
def test_a_table_fits_and_loses_nothing(most):
    frame = pd.DataFrame({"id": ["a", "b"], "of the parent [%]": [1.5, 22], "two-fold": ["x ± y", ""], "n": [1, 2]})
    lines = table_text(frame, most).splitlines()
    assert width_of(lines) <= most
    found = re.sub(r"\W", "", " ".join(lines))
    assert all(re.sub(r"\W", "", word) in found for word in "parent fold 22.0 two x y".split())
    parts = [part.splitlines() for part in table_text(frame, most).split("\n\n")]
    rows = [[line.split() for line in part if line.split()[0] in ("a", "b")] for part in parts]
    assert [row[0] for row in rows[0]] == ["a", "b"] and all(len(row) > 1 for found in rows for row in found)


def test_a_table_that_fits_is_as_pandas_prints_it():
    frame = pd.DataFrame({"a title": [1.25, 3], "b": ["x", "y"]}, index=["one", "other"])
    assert table_text(frame, 20) == frame.to_string(index=False)
    assert table_text(frame, 20, index=True) == frame.to_string()
    assert table_text(frame, 15, index=True).splitlines()[-1].split() == ["other", "3.00", "y"]
    assert table_text(frame[:0], 5) == frame[:0].to_string(index=False)


@pytest.mark.parametrize("run", ["gpt2_cpu", "llama_cpu", "lfm2_cpu", "gpt2_lts", "frontier_quality/lts"])
def test_a_frontier_fits(run):
    code, out, _ = lts("show", BENCHMARKS / run)
    lines = out.splitlines()[1:]
    assert code == 0 and len(lines) > 5 and width_of(lines) <= 80
    assert sum(line.lstrip()[:8].isalnum() and len(line.split()[0]) == 8 for line in lines) <= 20  # no row twice


def test_tables_of_studies_and_tasks_fit():
    "The first columns, which say what a row is about, stand before each part."
    scores = dict(rho=[0.5, 0.25], rho_low=0.1, rho_high=0.9, tau=0.4, tau_low=0.1, tau_high=0.8)
    scores |= dict(cr50=0.5, cr50_low=0.1, cr50_high=0.9, backbone="transformer-xl", tokens=4_000_000, n=24)
    lines = agreement_lines(pd.DataFrame(scores | dict(corpus="0123456789", score=["decoder_params", "depth"])))
    assert width_of(lines.splitlines()) <= 80 and lines.count("0.500 [0.100, 0.900]") == 3
    rows = [
        dict(task=task, metric=metric, shots=shots) for task in ("a", "b") for metric in "xyz" for shots in (0, 5, 25)
    ]
    table = report(accuracy=pd.DataFrame(rows).assign(value=0.5, stderr=0.01, cut=0.0))
    parts = [part.splitlines()[-3:] for part in table.split("\n\n")]
    assert width_of(table.splitlines()) <= 80 and table.count("0.500 ± 0.010") == 18
    assert [[line.split()[0] for line in part] for part in parts] == [["a", "b", "mean"]] * len(parts)


# A sample, and profiles


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_sample_is_shown_picked_and_built(elsewhere):
    assert lts("show", "sample")[1] == lts("show", BENCHMARKS / "gpt2_cpu")[1]
    code, out, _ = lts("pick", "sample", "--max-latency-s", 0.008)
    words = shlex.split(out.splitlines()[-1].removeprefix("next: "))
    assert code == 0 and words[:3] == ["lts", "build", "sample"]
    code, out, err = lts(*words[1:])
    assert code == 0 and (elsewhere / "model" / "config.json").exists(), err
    assert "id: is missing; a run folder holds many" in lts("build", "sample")[2]
    assert [path.name for path in elsewhere.iterdir()] == ["model"]  # nothing is written where the sample lies


def test_the_sample_is_explored_as_a_copy(elsewhere):
    "And is a run like any other from then on."
    code, out, err = lts("explore", "sample", "--json")
    assert (code, json.loads(out)) == (0, dict(page=str(Path("sample", "frontier.html")))), err
    assert [(place / "sample" / "frontier.html").exists() for place in (elsewhere, ready_made())] == [True, False]


def test_a_folder_named_sample_comes_first(elsewhere):
    own_run(Path("sample"))
    (elsewhere / "sample" / "run.json").unlink()
    assert "run='sample': is not a run folder" in lts("show", "sample")[2]
    assert run_place("./sample") == Path("sample") and run_place("other") == Path("other")


def test_profiles_by_name(elsewhere, monkeypatch):
    code, out, _ = lts("profile", "--list")
    rows = out.split("\n\n")[0].splitlines()[-len(profile_names()) :]
    assert code == 0 and width_of(out.splitlines()) <= 80 and [row.split()[0] for row in rows] == profile_names()
    known = json.loads(lts("profile", "--list", "--json")[1])
    assert {found["target"] for found in known} == {"torch-cpu", "onnx-cpu", "onnx-cpu-int8", "llama-cpp"}
    name = known[0]["name"]
    assert DeviceProfile.load(name).machine["cpu"] == known[0]["cpu"]
    Path(name).write_text("{}", encoding="utf-8")
    assert f"profile='{name}': " in lts("search", "--profile", name)[2]  # a file comes first
    assert "ready-made ones: amd-epyc" in lts("search", "--profile", "amd")[2]


def test_a_search_by_the_name_of_a_profile(elsewhere, monkeypatch):
    monkeypatch.setattr("lts_nb.searches.methods.exact.same_machine", lambda *_: False)
    code, out, err = lts("search", "--profile", "intel-xeon-gpt2", "--out", "run")
    assert code == 0 and "nothing was measured" in out, err
    code, out, _ = lts("show", "run")
    assert code == 0 and "(" in out and width_of(out.splitlines()[1:]) <= 80  # with intervals of what is predicted


# Bars


class Terminal(io.StringIO):
    "Standard error, and what a terminal shows of it."

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        "What is left where a carriage return goes back, and what follows writes over what was there."
        shown = []
        for line in self.getvalue().split("\n"):
            screen = ""
            for written in line.split("\r"):
                screen = written + screen[len(written) :]
            shown.append(screen.rstrip())
        return shown


def searched(stderr) -> str:
    "Standard output of a search on a target that takes no time."
    with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()) as out:
        search(
            SMALL, FakeTarget(), "lts", Workload(prompt_len=16), evaluations=6, say=lambda text: note(f"said: {text}")
        )
    return out.getvalue()


@pytest.mark.parametrize("left_open", [False, True])
def test_a_bar_and_messages_meanwhile(left_open):
    "Also where a bar of somebody else was never closed."
    other = tqdm(total=2, file=io.StringIO()) if left_open else None
    with contextlib.redirect_stderr(Terminal()) as screen:
        with progress_bar("visit", 3, "measuring") as bar:
            for number in range(3):
                note(f"message {number}")
                bar.update()
    assert screen.lines() == ["message 0", "message 1", "message 2", ""]
    assert other is None or other.close() is None
    assert re.search(r"measuring: +\d+%.* 3/3 \[.* visit/s\]|measuring: +0%.* 0/3 \[.*\? visit/s\]", screen.getvalue())


def test_a_bar_is_silent_where_there_is_no_terminal():
    log = io.StringIO()
    searched(log)
    assert "\r" not in log.getvalue() and "%" not in log.getvalue()


def test_a_bar_names_what_it_counts():
    screen = Terminal()
    searched(screen)
    drawn = screen.getvalue().split("\r")
    assert all(" visit/s" in line for line in drawn if line.startswith("measuring "))
    assert all(line == "" or line.startswith("said: ") for line in screen.lines())
    with contextlib.redirect_stderr(Terminal()) as screen, progress_bar("visit") as bar:
        SearchTask(None, {}, bar=bar).start_bar(3, "measuring memory", "architecture")
    drawn = screen.getvalue().split("\r")
    assert [line.partition(":")[0] for line in drawn if "architecture" in line] == ["measuring memory"]


# Waiting

LIGHT = """
import sys
from lts_nb.cli.main import main
for words in {calls}:
    assert main(words) == 0
heavy = ("torch", "transformers", "matplotlib", "scipy", "moocore", "ipywidgets", "anywidget", "IPython", "requests")
print("LOADED", *[name for name in heavy if name in sys.modules])
"""
CALLS = [["show", "sample"], ["pick", "sample", "--max-latency-s", "0.05"], ["profile", "--list"], ["doctor"]]


def test_quick_commands_import_nothing_heavy(elsewhere):
    "Which is why they answer in less than a second."
    code = LIGHT.format(calls=CALLS)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "LOADED"
