"""Whatever the terminal, the shell and the names: what is printed arrives, can be pasted, and blames what failed."""

import errno
import os
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest
from kit import lts, quick_searches, slow_but

from lts_nb.cli.options import failure_in_words
from lts_nb.core.errors import InputError, remark
from lts_nb.core.files import new_folder, read_json, read_text, replace_file, write_json
from lts_nb.core.screen import PLAIN, pasteable
from lts_nb.searches.run_folder import read_run
from lts_nb.space.space import SearchSpace

POSIX = pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names and devices of Linux")
SMALL = SearchSpace.preset("gpt2", n_layer=[1, 2], d_model=[32, 64], n_head=[2], vocab_size=[300], max_len=32)


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> tuple[Path, str]:
    "A finished run in a folder that no shell takes unquoted, and what its search printed."
    place = tmp_path_factory.mktemp("screens")
    (place / "space.json").write_text(SMALL.to_json(), encoding="utf-8-sig")
    run = place / "my runs" / "it's $1"
    asked = ["--space", place / "space.json", "--method", "lts", "--evaluations", 6, "--prompt-len", 16, "--out", run]
    with quick_searches():
        code, out, err = lts("search", *asked, "--objectives", "decoder_params, latency_s , peak_bytes,")
    assert code == 0, err
    return run, out


# Encodings


@pytest.mark.parametrize(
    "encoding, shown",
    [("ascii", "+-"), ("cp1252", "±"), ("latin-1", "±"), ("cp437", "±"), ("utf-8", "±"), ("utf-16", "±")],
)
def test_output_in_the_encoding_of_the_terminal(searched, encoding, shown):
    code, out, err = lts("show", searched[0], env={"PYTHONIOENCODING": encoding}, encoding=encoding)
    assert (code, err.lstrip("\ufeff")) == (0, "") and f" {shown} " in out


@pytest.mark.parametrize("encoding, shown", [("ascii", "<="), ("cp1252", "<="), ("utf-8", "≤")])
def test_errors_in_the_encoding_of_the_terminal(searched, encoding, shown):
    asked = ("pick", searched[0], "--max-latency-s", "1e-9")
    code, out, err = lts(*asked, env={"PYTHONIOENCODING": encoding}, encoding=encoding)
    assert (code, out, err.count("\n")) == (2, "", 1) and f"budget latency [ms] {shown} 1e-06" in err


@pytest.mark.parametrize(
    "text, plain",
    [
        ("ρ = 0.97, τ, σ ≥ 2·3 – 4 … 5×6±7 → 8", "rho = 0.97, tau, sigma >= 2*3 - 4 ... 5x6+-7 -> 8"),
        ("Überprüfung für ½ ﬁne", "Uberprufung fur 1/2 fine"),
        ("e\u0301te\u0301", "ete"),
        ("中文 😀", "?? ?"),
        ("µs μs 90 °C − 1", "us us 90  degC - 1"),
        ("\ud800", "?"),
        ("x\u200by", "x?y"),
    ],
)
def test_substitutes(text, plain):
    assert text.encode("ascii", PLAIN) == plain.encode()


def test_bytes_that_are_no_text():
    assert "\udce9\udcff".encode("ascii", PLAIN) == b"\xe9\xff"
    assert "\udce9".encode("utf-16-le", PLAIN) == "?".encode("utf-16-le")
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", PLAIN)


@LINUX
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_a_folder_whose_name_is_no_text(searched, tmp_path, encoding):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/od\xe9d")
    shutil.copytree(searched[0], folder)
    code, out, err = lts("pick", folder, env={"PYTHONIOENCODING": encoding}, encoding="latin-1")
    assert code == 0 and "/od\xe9d'" in out and "Traceback" not in err


@POSIX
@pytest.mark.parametrize("command", ["show", "pick"])
def test_a_closed_output(searched, command):
    code, _, err = lts(command, searched[0], preexec_fn=lambda: os.close(1))
    assert (code, err) == (0, "")


@POSIX
def test_closed_streams_lend_their_numbers_to_no_file(tmp_path):
    "Else what a library prints would go into the run's files."
    script = (
        "from lts_nb.core.screen import prepare_streams as p; p(); f = open('f', 'w'); import os; os._exit(f.fileno())"
    )
    command = f'cd {shlex.quote(str(tmp_path))}; "$0" -c "$1" >&- 2>&- <&-'
    place = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run(["sh", "-c", command, sys.executable, script], env=place, check=False).returncode == 3


@LINUX
def test_a_full_disk_behind_the_output(searched):
    with open("/dev/full", "w") as full:
        code, _, err = lts("show", searched[0], stdout=full)
        assert (code, err) == (2, "error: standard output: cannot be written (No space left on device)\n")
        code, out, _ = lts("pick", searched[0], "--max-latency-s", 50, stderr=full)
        assert code == 0 and "next: lts build" in out  # a remark is not worth the answer
        assert lts("pick", searched[0], "--max-latency-s", 1e-9, stderr=full)[0] == 2
        assert lts("--help", stdout=full)[::2] == (2, "error: [Errno 28] No space left on device\n")


def test_help_on_a_redirect(searched):
    for command in ("--help", "train", "eval"):
        asked = [command] + ["--help"] * (command != "--help")
        code, out, err = lts(*asked, env={"PYTHONIOENCODING": "cp1252"}, encoding="cp1252")
        assert (code, err) == (0, "") and out.startswith("Usage: lts")


# Hints


def run_hint(line: str) -> str:
    "Paste a hint; what it prints."
    words = shlex.split(line)
    assert words[0] == "lts"
    code, out, err = lts(*words[1:])
    assert code == 0, err
    return out


@POSIX
def test_the_hint_of_a_search_can_be_pasted(searched):
    hint = searched[1].splitlines()[-1]
    assert hint.startswith("next: lts pick ") and "decoder parameters" in run_hint(hint.removeprefix("next: "))


@POSIX
@pytest.mark.parametrize(
    "name", ["plain", "two words", "it's", 'say "no"', "$HOME", "-run", "--out", "a;b", "*", "~", "日本"]
)
def test_the_hint_of_pick_can_be_pasted(searched, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(searched[0], Path(tmp_path, name))
    out = run_hint(pasteable("pick", Path(name)))
    hint = out.splitlines()[-1]
    assert hint.startswith("next: lts build ")
    assert run_hint(hint.removeprefix("next: ")).splitlines()[-1].startswith("open it with: ")
    assert (tmp_path / "model" / "config.json").exists()


@POSIX
def test_the_hints_of_what_was_interrupted(searched, tmp_path, monkeypatch):
    def interrupt(*_, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("lts_nb.searches.search.search", interrupt)
    out = tmp_path / "my run"
    code, _, err = lts("search", "--out", out)
    words = ["lts", "search", "--out", str(out), "--resume"]
    assert code == 130 and shlex.split(err.partition("Continue with: ")[2]) == words
    shutil.copytree(searched[0], out)
    (out / "frontier.csv").unlink()
    code, _, err = lts("show", out)
    assert code == 2 and shlex.split(err.split("`")[1]) == words


def test_windows_quotes(monkeypatch):
    monkeypatch.setattr("lts_nb.core.screen.os.name", "nt")
    assert (
        pasteable("pick", "C:\\my runs\\1", "--max-latency-s", 0.02) == 'lts pick "C:\\my runs\\1" --max-latency-s 0.02'
    )


# Lists


@pytest.mark.parametrize(
    "args",
    [
        ["search", "--objectives", ""],
        ["search", "--objectives", " , "],
        ["eval", "{run}", "--tasks", ","],
        ["eval", "{run}", "--shots", ""],
        ["study", "--train", "--tokens", " "],
    ],
    ids=lambda args: " ".join(args),
)
def test_an_empty_list(searched, tmp_path, args):
    out = ["--out", str(tmp_path / "new")] * (args[0] != "eval")
    code, printed, err = lts(*(arg.format(run=searched[0]) for arg in args), *out)
    assert (code, printed, err.count("\n")) == (2, "", 1), err
    assert f"error: {args[-2][2:]}={args[-1]!r}: is an empty list" in err


def test_a_wrong_item_of_a_list(searched, tmp_path):
    asked = ("search", "--method", "lts", "--objectives", "decoder_params, latency", "--out", tmp_path / "new")
    assert "objectives=['decoder_params', 'latency']: must be two or more different ones of" in lts(*asked)[2]
    assert "shots='0.5': must be whole numbers" in lts("eval", searched[0], "--shots", "0.5")[2]


# Blame


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    for name in ("HF_HOME", "MPLCONFIGDIR", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    "number, name, said",
    [
        (errno.ENOSPC, None, "out='{out}': No space left on device"),
        (errno.ENOSPC, "{out}/store.sqlite", "out='{out}': No space left on device"),
        (errno.EACCES, "{out}", "out='{out}': Permission denied"),
        (errno.EACCES, "{out}2/x", "file='{out}2/x': Permission denied"),
        (errno.ENOTDIR, "{home}/.cache/lts_nb", "cache='{home}/.cache/lts_nb': Not a directory; set XDG_CACHE_HOME to"),
        (errno.ENOENT, "{home}/texts/a.txt", "file='{home}/texts/a.txt': No such file or directory"),
        (errno.ECONNREFUSED, None, "Connection refused"),
    ],
)
@POSIX
def test_the_file_that_failed_is_blamed(tmp_path, home, number, name, said):
    out = tmp_path / "run"
    where = [] if name is None else [name.format(out=out, home=home)]
    words = failure_in_words(OSError(number, os.strerror(number), *where), out)
    assert words.startswith(said.format(out=out, home=home)) and "\n" not in words


def test_a_full_disk_behind_another_file(tmp_path, home):
    "The system names no file there; whoever writes it does."

    def write(part):
        raise OSError(errno.ENOSPC, "No space left on device")

    cache = home / ".cache" / "lts_nb" / "tokens" / "a"
    for fill in (lambda: replace_file(cache, write), lambda: fill_folder(cache, write)):
        with pytest.raises(OSError) as caught:
            fill()
        said = failure_in_words(caught.value, tmp_path / "run")
        assert said.startswith(f"cache={str(cache)!r}: No space left on device; set XDG_CACHE_HOME to")


def fill_folder(folder: Path, write):
    with new_folder(folder) as made:
        write(made)


def test_an_error_without_a_number(tmp_path):
    assert failure_in_words(OSError("the hub\nis away"), tmp_path) == "the hub is away"


def test_a_relative_name_and_a_link(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    error = OSError(errno.EROFS, "Read-only file system", str(tmp_path / "run" / "run.json"))
    assert failure_in_words(error, Path("run")) == "out='run': Read-only file system"


@pytest.mark.parametrize(
    "args, said",
    [
        (["search", "--space", SMALL.to_json()[1:]], 'error: space=\'"format": "lts_nb.space"'),
        (["search", "--profile", "{folder}"], "error: profile='{folder}': cannot be read (Is a directory)"),
        (["search", "--profile", "{folder}/none"], "error: profile='{folder}/none': cannot be read (No such file"),
        (["show", "{folder}"], "error: run='{folder}': is not a run folder (it has no run.json)"),
        (["show", "a" * 5000], "error: run='aaa"),
        (["eval", "a" * 5000], "error: model='aaa"),
        (["search", "--proxy", "{folder}"], "error: proxy='{folder}': must be one of"),
    ],
    ids=[
        "a text that is none",
        "folder as profile",
        "no profile",
        "no run",
        "long run",
        "long model",
        "folder as proxy",
    ],
)
@POSIX
def test_the_field_that_is_wrong_is_blamed(tmp_path, monkeypatch, args, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    folder = str(tmp_path / "folder")
    code, out, err = lts(*(arg.replace("{folder}", folder) for arg in args))
    assert (code, out, err.count("\n")) == (2, "", 1) and len(err) < 500
    assert err.startswith(said.replace("{folder}", folder)), err
    assert not (tmp_path / "runs").exists()


@POSIX
@pytest.mark.parametrize("variables", slow_but([["HOME"], ["XDG_CACHE_HOME", "HF_HOME"]], ["HOME"]))
def test_a_home_that_is_none(searched, tmp_path, variables):
    "Caches lie elsewhere then, and nobody is told of them."
    (tmp_path / "texts").mkdir()
    for number in range(40):
        text = f"{number} bottles of milk on the wall. " * 60
        (tmp_path / "texts" / f"{number}.txt").write_text(text, encoding="utf-8")
    small = ("--tokens", 3000, "--batch-size", 8, "--dtype", "float32", "--vocab-size", 270)
    asked = (searched[0], *small, "--corpus", tmp_path / "texts", "--out", tmp_path / "model")
    code, _, err = lts("train", *asked, env=dict.fromkeys(variables, "/dev/null"))
    assert code == 0 and "/dev/null" not in err, err


# Files


@pytest.mark.parametrize("version", ['"1"', "true", "0", "-1", "1.5", "null", "[1]", "{}"])
def test_a_version_that_is_none(version):
    text = f'{{"format": "lts_nb.thing", "version": {version}}}'
    with pytest.raises(InputError, match="thing: version=.*: must be the number 1$"):
        read_json(text, "thing", 1)
    with pytest.raises(InputError, match="thing: version=.*: must be a whole number from 1 to 3$"):
        read_json(text, "thing", 3)


def test_versions():
    with pytest.raises(InputError, match="version=None: must be the number 1"):
        read_json('{"format": "lts_nb.thing"}', "thing", 1)
    with pytest.raises(InputError, match="version=2: this lts_nb reads versions up to 1; a newer one may read"):
        read_json(write_json("thing", 2, {}), "thing", 1)
    assert read_json('{"format": "lts_nb.thing", "version": 1.0, "a": 2}', "thing", 1) == {"a": 2}
    assert read_json(write_json("thing", 1, {"a": 2}), "thing", 3) == {"a": 2}


def test_files_that_an_editor_marked(searched, tmp_path):
    "The space of the run has a mark too."
    run = tmp_path / "run"
    shutil.copytree(searched[0], run)
    for name in ("run.json", "frontier.csv", "candidates.csv"):
        (run / name).write_text((run / name).read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert read_run(run)["method"] == "lts" and lts("show", run)[0] == 0
    (run / "run.json").write_text("{}", encoding="utf-16")
    assert "run.json cannot be read (it is no text in UTF-8)" in lts("show", run)[2]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_file_in_utf_16(tmp_path, encoding):
    (tmp_path / "space.json").write_text("\ufeff" * encoding.endswith("be") + SMALL.to_json(), encoding=encoding)
    code, out, err = lts("search", "--space", tmp_path / "space.json", "--out", tmp_path / "run")
    assert (code, out, err.count("\n")) == (2, "", 1) and err.endswith(
        "cannot be read (it is UTF-16; save it as UTF-8)\n"
    )


def test_a_name_that_no_file_can_have():
    with pytest.raises(InputError, match="cannot be read .embedded null byte"):
        read_text("space", "a\0b")


# Units


@pytest.mark.parametrize("times", [1e3, 1e6])
def test_seconds_meant_in_smaller_units(limit_run, times):
    code, out, err = lts("pick", limit_run, "--max-latency-s", 0.05 * times)
    assert code == 0 and "decoder parameters" in out
    said = f"--max-latency-s {0.05 * times:g}: limits nothing, since everything has latency [ms] from 3 to 30; was "
    assert err == f"{said}--max-latency-s 0.05 meant?\n"


def test_bytes_meant_as_megabytes_and_millions_as_ones(limit_run):
    frontier = pd.read_csv(limit_run / "frontier.csv")
    most, least = frontier.peak_bytes.max(), frontier.decoder_params.min()
    assert f"was --max-memory-mb {most / 1e6:.6g} meant?\n" in lts("pick", limit_run, "--max-memory-mb", most)[2]
    assert f"was --min-params {least:.6g} meant?\n" in lts("pick", limit_run, "--min-params", least / 1e6)[2]


@pytest.fixture
def limit_run(searched, tmp_path) -> Path:
    "The run with latencies of 3 to 30 ms, on whatever machine it was measured."
    run = tmp_path / "run"
    shutil.copytree(searched[0], run)
    frontier = pd.read_csv(run / "frontier.csv")
    assert len(frontier) > 1
    frontier["latency_s"] = [0.003 + 0.027 * i / (len(frontier) - 1) for i in range(len(frontier))]
    frontier.to_csv(run / "frontier.csv", index=False)
    return run


def test_a_generous_limit_and_one_that_limits(limit_run):
    assert lts("pick", limit_run, "--max-latency-s", 0.02)[2] == ""
    err = lts("pick", limit_run, "--max-latency-s", 0.04)[2]
    assert err == "--max-latency-s 0.04: limits nothing, since everything has latency [ms] from 3 to 30\n"


def test_a_limit_that_nobody_keeps(limit_run):
    megabytes = pd.read_csv(limit_run / "frontier.csv").peak_bytes.max() / 1e6
    err = lts("pick", limit_run, "--max-memory-mb", megabytes / 1e6)[2]
    assert err.startswith("error: budget peak memory [MB] ≤ ") and "no member of the frontier meets it" in err
    assert err.endswith(f"; was peak memory [MB] ≤ {megabytes:.4g} meant?\n")


# Ways to call, and remarks


@pytest.mark.parametrize("module", ["lts_nb", "lts_nb.cli"])
def test_python_m(tmp_path, module):
    done = subprocess.run(
        [sys.executable, "-m", module, "show", "nowhere"], capture_output=True, text=True, cwd=tmp_path
    )
    said = "error: run='nowhere': is not a run folder (it has no run.json)\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_a_remark_is_one_line_and_other_warnings_stay(searched, monkeypatch):
    from lts_nb.searches.result import SearchResult

    load = SearchResult.load

    def warned(folder):
        remark("something=1: should be known")
        remark("something=1: should be known")
        warnings.warn("a library says so", FutureWarning, stacklevel=1)
        return load(folder)

    monkeypatch.setattr(SearchResult, "load", warned)
    with pytest.warns(FutureWarning, match="a library says so"):
        code, _, err = lts("show", searched[0])
    assert code == 0 and err.splitlines().count("warning: something=1: should be known") == 2
