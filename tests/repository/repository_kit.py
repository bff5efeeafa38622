"""A small repository without a fault, and the means to put one into it."""

import itertools
import json
from pathlib import Path

TOP, EXP, DEF, RUN = range(4)  # the cells of a notebook that `room` makes
IDS = map("c{}".format, itertools.count())
KERNEL = {"kernelspec": {"display_name": "python3", "language": "python", "name": "python3"}}


def cell(source: str, *outputs: dict) -> dict:
    "A cell, Markdown if it begins with a heading."
    code = {"cell_type": "code", "execution_count": None, "outputs": list(outputs)}
    kind = {"cell_type": "markdown"} if source.startswith("# ") else code
    return {**kind, "id": next(IDS), "metadata": {}, "source": source.splitlines(keepends=True)}


def printed(text: str, name: str = "stdout") -> dict:
    "An output that was printed."
    return {"output_type": "stream", "name": name, "text": [text]}


def result(**data: str) -> dict:
    "An output that a cell returned; `text_plain=` stands for text/plain."
    data = {kind.replace("_", "/"): text for kind, text in data.items()}
    return {"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": data}


def save(path: Path, *cells: dict) -> None:
    "Write a notebook of these cells."
    notebook = {"cells": cells, "metadata": KERNEL, "nbformat": 4, "nbformat_minor": 5}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook, indent=1), encoding="utf-8")


def room(path: Path, module: str, code: str) -> None:
    "Write a notebook that exports `code` to a module."
    title, exp = cell(f"# {module}\n\n> What {module} is for."), cell(f"#| default_exp {module}")
    save(path, title, exp, cell(f"#| export\n{code}"), cell("print(1)", printed("1\n")))


def source(number: int, text: str):
    "A change of a notebook: another source of one cell."
    return lambda notebook: notebook["cells"][number].update(source=text.splitlines(keepends=True))


def output(*outputs: dict):
    "A change of a notebook: other outputs of the cell that runs."
    return lambda notebook: notebook["cells"][RUN].update(outputs=list(outputs))


def kernel(**spec: str):
    "A change of a notebook: another kernel."
    return lambda notebook: notebook["metadata"].update(kernelspec=spec)
