"""Fixtures that tests of several folders use."""

from pathlib import Path

import pytest
from kit import SMALL, lts, start  # noqa: F401  (until every test imports them from kit)


@pytest.fixture
def space_file(tmp_path) -> Path:
    "The JSON file of the small space."
    path = tmp_path / "space.json"
    path.write_text(SMALL.to_json(), encoding="utf-8")
    return path
