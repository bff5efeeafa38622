"""Where commands write: into the folder in which they are called, and never over what was measured."""

import json
import os
from pathlib import Path

import pytest
from kit import lts

from lts_nb.cli.heal import starts
from lts_nb.core.files import LOCK, only_one
from lts_nb.profiler.store import Store
from lts_nb.show.page import PAGE


def test_a_model_is_built_into_the_current_folder(here):
    code, out, err = lts("build", "sample", "55a416bf", "--out", ".", "--json")
    assert code == 0 and json.loads(out)["out"] == ".", err
    assert {"config.json", "model.safetensors", "architecture.json"} <= set(os.listdir())
    assert not any(name.startswith(".") for name in os.listdir()) and os.listdir(here.parent) == ["here"]
    code, out, err = lts("build", "sample", "55a416bf", "--out", ".")
    assert (code, out, err) == (2, "", "error: out='.': exists; must be a new name or an empty folder\n")


@pytest.mark.parametrize("source, named", [(".", "here"), ("..", ""), ("../here", None)])
def test_the_current_folder_is_healed_beside_itself(here, source, named):
    ((model, healed),) = starts(Path(source), None, None)
    assert model == Path(source)
    if named is None:
        assert healed == Path("../here-healed")
    else:
        beside = here if named else here.parent
        assert healed == beside.resolve().with_name(f"{beside.name}-healed")


@pytest.mark.parametrize("name", ["dev.sqlite", "dev.SQLite"])
@pytest.mark.parametrize("there", [True, False])
def test_a_profile_is_never_written_over_its_measurements(here, monkeypatch, name, there):
    monkeypatch.setattr("lts_nb.cli.profile.measure", lambda *_: pytest.fail("something was measured"))
    if there:
        Store(name).close()
    before = os.listdir()
    code, out, err = lts("profile", "--out", name)
    said = f"error: out='{name}': must not end in .sqlite, which its measurements have\n"
    assert (code, out, err) == (2, "", said)
    assert os.listdir() == before


def test_the_page_of_a_search_that_was_killed_is_written_anew(here):
    assert lts("explore", "sample", "--no-open")[0] == 0
    page, lock = Path("sample", PAGE), Path("sample", LOCK)
    new = page.read_text(encoding="utf-8")
    page.write_text("old", encoding="utf-8")
    with only_one(lock, "out='sample'", "search"):
        assert lts("explore", "sample", "--no-open")[0] == 0
    assert page.read_text(encoding="utf-8") == "old"  # whoever runs there writes it
    lock.touch()
    assert lts("explore", "sample", "--no-open")[0] == 0
    assert page.read_text(encoding="utf-8") == new
