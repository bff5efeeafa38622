"""Folders that cannot be taken away, files whose place is tried first, and names that somebody gave."""

import os
from pathlib import Path

import pytest

from lts_nb.core import files
from lts_nb.core.errors import InputError
from lts_nb.core.files import LOCK, check_file, is_held, new_folder, only_one, replace_text


def fill(folder: Path):
    "Make a folder of two files."
    with new_folder(folder) as made:
        for name in ("a.txt", "b.txt"):
            (made / name).write_text(name, encoding="utf-8")
    return made.name


@pytest.mark.parametrize("name", [".", "", "{here}", "../here"])
def test_the_current_folder_is_filled(here, name):
    before = here.stat().st_ino
    assert fill(Path(name.format(here=here))) == "here"
    assert sorted(os.listdir()) == ["a.txt", "b.txt"] and here.stat().st_ino == before
    assert os.listdir(here.parent) == ["here"]
    with pytest.raises(InputError, match="exists; must be a new name or an empty folder"):
        fill(Path(name.format(here=here)))


def test_a_mounted_folder_is_filled(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(files.os.path, "ismount", lambda path: Path(path).name == "disk")
    monkeypatch.setattr(Path, "rmdir", lambda folder: pytest.fail("it cannot be removed"))
    assert fill(tmp_path / "disk") == "disk" and sorted(os.listdir(tmp_path / "disk")) == ["a.txt", "b.txt"]


@pytest.mark.skipif(os.name != "posix", reason="Windows lets few make links")
def test_a_folder_behind_a_link_is_filled(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    fill(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and sorted(os.listdir(tmp_path / "disk")) == ["a.txt", "b.txt"]


def test_an_interruption_leaves_the_current_folder_empty(here, monkeypatch):
    replace, moved = os.replace, []

    def interrupted(source, target):
        if len(moved) == 1:
            moved.append(None)
            raise KeyboardInterrupt
        moved.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fill(Path("."))
    assert moved[0] in ("a.txt", "b.txt") and os.listdir() == []


def test_what_somebody_puts_there_meanwhile_is_kept(here):
    with pytest.raises(OSError, match="not empty"), new_folder(Path(".")) as made:
        (made / "a.txt").write_text("ours", encoding="utf-8")
        Path("a.txt").write_text("theirs", encoding="utf-8")
    assert os.listdir() == ["a.txt"] and Path("a.txt").read_text(encoding="utf-8") == "theirs"


@pytest.mark.parametrize("place", ["missing/law.json", "file/law.json", "folder"])
def test_an_error_names_the_file_that_was_asked_for(here, place):
    Path("file").write_text("x", encoding="utf-8")
    Path("folder").mkdir()
    with pytest.raises(OSError) as error:
        replace_text(Path(place), "{}")
    assert error.value.filename == str(Path(place))
    assert sorted(os.listdir()) == ["file", "folder"]


@pytest.mark.parametrize(
    "place, reason",
    [
        ("file/law.json", "cannot be written ("),
        ("folder", "is a folder; must be a file, or a new name"),
        ("study.sqlite", "must not end in .sqlite, which trainings have"),
        ("study.SQLite", "must not end in .sqlite, which trainings have"),
    ],
)
def test_a_place_that_cannot_be_written(here, place, reason):
    Path("file").write_text("x", encoding="utf-8")
    Path("folder").mkdir()
    with pytest.raises(InputError) as error:
        check_file("law", Path(place), "trainings")
    assert str(error.value).startswith(f"law={str(Path(place))!r}: {reason}")


def test_a_place_that_can_be_written(here):
    for place in (Path("law.json"), Path("new/deep/law.json")):
        check_file("law", place, "trainings")
        assert place.parent.is_dir() and not place.exists()


def test_who_holds_a_lock(here):
    assert not is_held(Path(LOCK)) and os.listdir() == []  # asking makes nothing
    with only_one(Path(LOCK), "out='here'", "search"):
        assert is_held(Path(LOCK)) and is_held(here / LOCK)
    Path(LOCK).touch()  # as a killed process leaves it
    assert not is_held(Path(LOCK))
    with only_one(Path(LOCK), "out='here'", "search"):
        pass
