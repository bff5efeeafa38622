"""A search writes its page while it runs, and after it; a page never costs the work."""

import json
import re

import pytest
from kit import SMALL, lts, quick_searches

from lts_nb.core.errors import Remark
from lts_nb.searches import explored
from lts_nb.show import page as module


def head_in(text: str) -> dict:
    return json.loads(re.search(r'openPage\(document.getElementById\("explorer"\), (\{.*\}), "', text)[1])


def test_the_page_is_written_at_every_turn(tmp_path, monkeypatch):
    written, write = [], module.write_page

    def note(view, path):
        write(view, path)
        written.append(head_in(path.read_text(encoding="utf-8")))

    monkeypatch.setattr(module, "write_page", note)
    (tmp_path / "small.json").write_text(SMALL.to_json(), encoding="utf-8")
    with quick_searches():
        code, said, wrong = lts(
            "search", "--space", tmp_path / "small.json", "--prompt-len", 16, "--out", tmp_path / "run"
        )
    assert code == 0, wrong
    *running, last = written
    assert len(running) >= 2 and {head["live"] for head in running} == {explored.LOOK_AGAIN_S}
    assert not any(mark["measured"] for mark in running[0]["marks"])
    assert any(mark["measured"] for mark in running[-1]["marks"])
    assert last["live"] is None and {mark["role"] for mark in last["marks"]} >= {"frontier", "baseline"}
    assert str(tmp_path / "run" / "frontier.html") in said


def test_a_page_that_cannot_be_written_is_a_warning(tmp_path):
    def make():
        raise RuntimeError("no page today")

    (tmp_path / module.PAGE).write_text("old")
    with pytest.warns(Remark, match="could not be written .RuntimeError: no page today.; everything else is"):
        assert not module.save_page(tmp_path, make)
    assert not (tmp_path / module.PAGE).exists()
