"""Locks of the operating system: within one process too, and where nothing can be written."""

import contextlib
import os

import pytest
from repository import ROOT, settings

from lts_nb.core.errors import InputError
from lts_nb.core.files import LOCK, only_one


def refused(path):
    with pytest.raises(InputError) as error, only_one(path, "out='here'", "search"):
        raise AssertionError("held twice")
    return str(error.value)


def test_a_lock_is_held_once_and_given_back_whatever_happens(tmp_path):
    path = tmp_path / "run" / LOCK
    with pytest.raises(KeyboardInterrupt), only_one(path, "out='here'", "search"):
        assert refused(path) == (
            "out='here': another search is running there; wait until it ends, or choose another place"
        )
        assert "another search" in refused(path)  # being refused takes nothing from whoever holds it
        raise KeyboardInterrupt
    with only_one(path, "out='here'", "search"):
        pass


def test_a_file_that_a_killed_process_left_locks_nothing(tmp_path):
    (tmp_path / LOCK).touch()
    with only_one(tmp_path / LOCK, "out='here'", "search"):
        pass
    assert not (tmp_path / LOCK).exists()


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert refused(tmp_path / "file" / LOCK).startswith("out='here': cannot be written (")


@pytest.mark.skipif(os.name != "posix" or not os.geteuid(), reason="a superuser may write everywhere")
def test_a_folder_that_is_read_only(tmp_path):
    tmp_path.chmod(0o500)
    assert refused(tmp_path / LOCK).startswith("out='here': cannot be written (")


@pytest.mark.skipif(os.name != "posix", reason="elsewhere, a file that somebody has opened stays")
def test_a_file_that_is_removed_after_somebody_opened_it(tmp_path, monkeypatch):
    "One process ends when the second one has opened its file, which is then locked, and gone: the third makes another."
    fcntl = pytest.importorskip("fcntl")
    asked, lock, inside = (tmp_path / LOCK, "out='here'", "search"), fcntl.flock, []
    first = contextlib.ExitStack()
    first.enter_context(only_one(*asked))

    def leave_before(file, how):
        first.close()
        return lock(file, how)

    monkeypatch.setattr(fcntl, "flock", leave_before)
    with contextlib.ExitStack() as others:
        for name in ("second", "third"):
            with contextlib.suppress(InputError):
                others.enter_context(only_one(*asked))
                inside.append(name)
    assert len(inside) == 1


def test_the_least_filelock_that_keeps_this():
    assert "filelock>=3.21.2" in settings(ROOT)["requirements"].split()
