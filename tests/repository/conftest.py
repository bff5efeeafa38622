"""The sound repository, made once, and a copy of it for each test to spoil."""

import shutil
from pathlib import Path

import check
import pytest
import readme
from repository_kit import cell, printed, room, save

ROOT = Path(__file__).resolve().parents[2]
GROUND = "from functools import cache\n\nimport numpy as np\n\n__all__ = [cache, np]"
FIRST = "from lts_nb.core.ground import np\n\nones = np.ones"
TOP = "import lts_nb.space.first\n\n\ndef build():\n    import torch\n\n    return torch, lts_nb"


@pytest.fixture(scope="session")
def sound(tmp_path_factory) -> Path:
    "A small repository without a fault, exported."
    root = tmp_path_factory.mktemp("sound")
    for name in ("settings.ini", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    room(root / "nbs/core/00_ground.ipynb", "core.ground", GROUND)
    room(root / "nbs/space/00_first.ipynb", "space.first", FIRST)
    room(root / "nbs/models/00_twin.ipynb", "models.twin", "import torch\n\nones = torch.ones")
    room(root / "nbs/cli/00_top.ipynb", "cli.top", TOP)
    for folder in "frontier formats profiler show searches training study evaluation shaping".split():
        room(root / f"nbs/{folder}/00_empty.ipynb", f"{folder}.empty", "nothing = None")
    start = cell("# Start\n\n> How to start."), cell("#| network\nprint(1)", printed("1\n"))
    save(root / "nbs/tutorials/start.ipynb", *start)
    index = "# lts_nb\n\n> A promise.\n\n[start](tutorials/start.ipynb) and [settings](../settings.ini)"
    save(root / "nbs/index.ipynb", cell(index))
    (root / "lts_nb").mkdir()
    assert [fault for fault in check.check_export(root) if "was not exported" not in fault] == []
    assert list(check.check_export(root)) == []
    (root / "README.md").write_text(readme.render(root), encoding="utf-8")
    return root


@pytest.fixture
def repo(sound, tmp_path) -> Path:
    "A copy to spoil."
    return shutil.copytree(sound, tmp_path / "repo")
