"""What the checks read of a repository: its settings, its notebooks and their cells."""

import configparser
import json
from collections.abc import Iterator
from pathlib import Path

import readme

ROOT = Path(__file__).resolve().parents[1]
LIB = "lts_nb"


def settings(root: Path) -> configparser.SectionProxy:
    "The metadata of settings.ini."
    parser = configparser.ConfigParser()
    parser.read(root / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


def notebooks(root: Path) -> list[Path]:
    "The notebooks that nbdev sees."
    paths = sorted((root / "nbs").rglob("*.ipynb"))
    return [path for path in paths if not any(part[0] in "._" for part in path.relative_to(root).parts)]


def read_notebook(path: Path) -> dict:
    "A notebook as the JSON that it is."
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(notebook: dict) -> Iterator[tuple[dict, list, list[str]]]:
    "Every code cell with its leading directives, as matches of `readme.DIRECTIVE`, and the lines below them."
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            directives, lines = readme.split("".join(cell["source"]))
            yield cell, [readme.DIRECTIVE.match(line) for line in directives], lines


def exported_module(notebook: dict) -> str | None:
    "The module that a notebook exports to, without the package; None if it exports nothing."
    directives = (match for _, matches, _ in code_cells(notebook) for match in matches)
    return next((match[3].strip() for match in directives if match[1] == "default_exp"), None)
