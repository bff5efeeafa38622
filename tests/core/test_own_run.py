"""The copy of the run that comes along: complete or not there, and its owner's."""

import sys
from pathlib import Path

import pytest
from kit import files_up_to, lts

from lts_nb.core import ready_made
from lts_nb.core.ready_made import own_run


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files as Linux does")
def test_half_a_copy_is_none(elsewhere):
    with files_up_to(50_000):
        code, out, err = lts("explore", "sample", "--no-open")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err == f"error: file={str(elsewhere / 'sample')!r}: File too large\n"
    assert list(elsewhere.iterdir()) == []
    assert lts("show", "sample")[0] == 0  # of the one that comes along


def test_a_copy_that_is_interrupted_is_none(elsewhere, monkeypatch):
    write, written = Path.write_bytes, []

    def interrupted(path, content):
        if written:
            raise KeyboardInterrupt
        written.append(write(path, content))

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        own_run(Path("sample"))
    assert len(written) == 1 and list(elsewhere.iterdir()) == []


def test_a_copy_of_what_is_read_only_can_be_written(elsewhere, tmp_path_factory, monkeypatch):
    installed = tmp_path_factory.mktemp("installed") / "sample"
    installed.mkdir()
    for file in (ready_made.ready_made() / "sample").iterdir():
        (installed / file.name).write_bytes(file.read_bytes())
        (installed / file.name).chmod(0o444)
    installed.chmod(0o555)
    monkeypatch.setattr(ready_made, "ready_made", lambda: installed.parent)
    copied = own_run(Path("sample"))
    assert {file.name for file in copied.iterdir()} == {file.name for file in installed.iterdir()}
    assert all(path.stat().st_mode & 0o200 for path in (copied, *copied.iterdir()))
    installed.chmod(0o755)
