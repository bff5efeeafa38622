"""Every check of tools/check.py finds the fault it is for, and passes a sound repository."""

import itertools
import json
import shutil
from pathlib import Path

import check
import pytest
import readme

ROOT = Path(__file__).resolve().parents[1]
IDS = map("c{}".format, itertools.count())


def cell(source: str, *outputs: dict) -> dict:  # Markdown if it begins with a heading
    code = {"execution_count": None, "outputs": list(outputs)}
    kind = {"cell_type": "markdown"} if source.startswith("# ") else {"cell_type": "code", **code}
    return {**kind, "id": next(IDS), "metadata": {}, "source": source.splitlines(keepends=True)}


def printed(text: str, name: str = "stdout") -> dict:
    return {"output_type": "stream", "name": name, "text": [text]}


def result(**data: str) -> dict:  # text_plain="..." stands for text/plain
    data = {kind.replace("_", "/"): text for kind, text in data.items()}
    return {"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": data}


def save(path: Path, *cells: dict) -> None:
    kernel = {"kernelspec": {"display_name": "python3", "language": "python", "name": "python3"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}, indent=1), encoding="utf-8"
    )


def room(path: Path, module: str, code: str) -> None:
    title, exp = cell(f"# {module}\n\n> What {module} is for."), cell(f"#| default_exp {module}")
    save(path, title, exp, cell(f"#| export\n{code}"), cell("print(1)", printed("1\n")))


@pytest.fixture(scope="session")
def sound(tmp_path_factory) -> Path:
    "A small repository without a fault, exported."
    root = tmp_path_factory.mktemp("sound")
    shutil.copy(ROOT / "settings.ini", root)
    room(root / "nbs/00_ground.ipynb", "ground", "from functools import cache\nimport numpy as np")
    room(root / "nbs/01_first.ipynb", "first", "from lts_nb.ground import cache, np")
    room(
        root / "nbs/06_backbones.ipynb",
        "backbones.__init__",
        "from lts_nb.models import gpt2\nfrom lts_nb.ground import np",
    )
    room(root / "nbs/06a_gpt2.ipynb", "backbones.gpt2", "import torch\nfrom torch import nn")
    room(
        root / "nbs/07_top.ipynb",
        "top",
        "import lts_nb.first\ndef build():\n    import torch, lts_nb.models.build\n    return torch",
    )
    save(
        root / "nbs/tutorials/start.ipynb",
        cell("# Start\n\n> How to start."),
        cell("#| network\nprint(1)", printed("1\n")),
    )
    save(
        root / "nbs/index.ipynb",
        cell("# lts_nb\n\n> A promise.\n\n[start](tutorials/start.ipynb) and [settings](../settings.ini)"),
    )
    (root / "lts_nb").mkdir()
    (root / "lts_nb/__main__.py").write_text(
        "from lts_nb.top import build\n"
    )  # by hand: stays, and may import any room
    assert [f for f in check.check_export(root) if "was not exported" not in f] == []
    (root / "README.md").write_text(readme.render(root), encoding="utf-8")
    return root


@pytest.fixture
def repo(sound, tmp_path) -> Path:
    return shutil.copytree(sound, tmp_path / "repo")


def test_a_sound_repository_passes(repo, capsys):
    assert check.main(list(check.CHECKS), repo) == 0
    assert capsys.readouterr().out == "notebooks: ok\nexport: ok\nreadme: ok\nfloors: ok\n"
    assert (repo / "lts_nb/__main__.py").exists()


def test_a_finding_ends_the_run(repo, capsys):
    (repo / "nbs/07_top.ipynb").write_text("{")
    assert check.main([], repo) == 1
    assert capsys.readouterr().out.startswith("notebooks: nbs/07_top.ipynb: is no valid notebook")
    assert check.main(["spelling"], repo) == 2


TOP, EXP, DEF, RUN = range(4)  # the cells of a room


def source(n: int, text: str):
    return lambda nb: nb["cells"][n].update(source=text.splitlines(keepends=True))


def output(*outputs: dict):
    return lambda nb: nb["cells"][RUN].update(outputs=list(outputs))


def kernel(**spec: str):
    return lambda nb: nb["metadata"].update(kernelspec=spec)


@pytest.mark.parametrize(
    "fault, finding",
    [
        (lambda nb: nb.pop("cells"), "is no valid notebook"),
        (lambda nb: nb.update(nbformat_minor=4) or [c.pop("id") for c in nb["cells"]], "is nbformat 4.4"),
        (lambda nb: nb["cells"][DEF].pop("id"), "cell 2 has no id"),
        (lambda nb: nb["cells"][DEF].update(id=nb["cells"][EXP]["id"]), "occurs twice"),
        (kernel(name="ir", display_name="R", language="R"), "has kernelspec 'ir'"),
        (kernel(name="python3", display_name="python3", language="sql"), "has kernelspec"),
        (source(RUN, "<<<<<<< HEAD\nx = 1\n>>>>>>> other"), "a merge conflict was left in it"),
        (source(RUN, "#| exprot\nx = 1"), "unknown directive `#| exprot`"),
        (source(RUN, "#| gpu\nx = 1"), "unknown directive `#| gpu`"),
        (source(RUN, "#| eval false\nx = 1"), "unknown directive `#| eval false`"),
        (source(RUN, "# why\n#| export\nx = 1"), "`#| export` stands below code or a comment"),
        (source(RUN, "x = 1\n#|hide"), "`#|hide` stands below code or a comment"),
        (source(RUN, "# %%\n#| export\nx = 1"), "`# %%` is left over from a conversion"),
        (source(EXP, "x = 1"), "exports, but the notebook has no default_exp"),
        (source(TOP, "# ground"), "does not begin with"),
        (output(), "has no stored outputs"),
        (output({"output_type": "error", "ename": "E", "evalue": "", "traceback": []}), "an error is stored"),
        (output(printed("50%|#####", "stderr")), "a warning or progress bar is stored"),
        (output(result(text_plain="0arch [00:00, ?arch/s]")), "a warning or progress bar is stored"),
        (
            output(result(text_plain=" 50%|#####     | 5/10 [00:01<00:01,  5.0it/s]")),
            "a warning or progress bar is stored",
        ),
        (output(result(text_plain="[00:00] is no bar")), None),
        (output(printed("saved to /home/me/x.png")), "output names a path of one machine, /home/"),
        (output(result(text_plain="'/private/tmp/x'")), "output names a path of one machine"),
        (source(RUN, r"open(r'C:\Users\me')"), "source names a path of one machine"),
        (source(RUN, "open('/tmp/x')"), "source names a path of one machine, /tmp/"),
        (source(RUN, "#| eval: false\n#| slow\nopen('https://x.org/home/y', f'{here}/tmp/x', '../tmp/x')"), None),
        (output(result(image_png="AAAA +/tmp/ AAAA", text_plain="<Figure>")), None),
    ],
)
def test_notebook_faults(repo, fault, finding):
    path = repo / "nbs/00_ground.ipynb"
    nb = json.loads(path.read_text())
    fault(nb)
    path.write_text(json.dumps(nb, indent=1))
    found = list(check.check_notebooks(repo))
    assert any(finding in f for f in found) if finding else found == []
    assert all(f.startswith("nbs/00_ground.ipynb: ") for f in found)


def test_tutorials_export_nothing(repo):
    room(repo / "nbs/tutorials/own.ipynb", "own", "x = 1")
    assert sum("a tutorial exports nothing" in f for f in check.check_notebooks(repo)) == 2


@pytest.mark.parametrize(
    "name, text, finding",
    [
        ("first.py", None, "lts_nb/first.py: was not exported"),
        ("first.py", "edited by hand", "lts_nb/first.py: was not what its notebook exports"),
        (
            "old.py",
            "# AUTOGENERATED! DO NOT EDIT! File to edit: ../nbs/old.ipynb.",
            "lts_nb/old.py: was exported by no notebook, and is gone",
        ),
        ("_modidx.py", "d = {}", "lts_nb/_modidx.py: was not what its notebook exports"),
        ("__init__.py", '__version__ = "9.9"\n', "lts_nb/__init__.py: was not what"),
    ],
)
def test_export_faults(repo, name, text, finding):
    path = repo / "lts_nb" / name
    path.unlink() if text is None else path.write_text(text)
    assert [f for f in check.check_export(repo) if finding in f]
    assert list(check.check_export(repo)) == []


def test_a_failing_export_leaves_the_modules(repo):
    room(repo / "nbs/02_bad.ipynb", "bad", "def (")
    assert "nbdev_export failed" in next(check.check_export(repo))
    assert (repo / "lts_nb/first.py").exists()


@pytest.mark.parametrize(
    "name, text, finding",
    [
        ("ground", "from lts_nb.first import np", "ground.py:1: floor 0 imports lts_nb.first of floor 1"),
        ("ground", "def f():\n    from . import first", "ground.py:2: floor 0 imports lts_nb.first of floor 1"),
        ("ground", "import lts_nb.__main__", "floor 0 imports lts_nb.__main__ of floor 99"),
        ("__init__", "from .ground import np", "__init__.py:1: floor -1 imports lts_nb.ground of floor 0"),
        (
            "backbones/gpt2",
            "from ..ground import np",
            "a model file must stand alone or with files beside it, but imports lts_nb.ground",
        ),
        ("backbones/__init__", "from ..top import np", "floor 6 imports lts_nb.top of floor 7"),
        ("first", "import torch", "lts_nb.first: importing it imports torch: lts_nb.first > torch"),
        (
            "top",
            "class A:\n    from transformers import GPT2Config",
            "lts_nb.top: importing it imports torch: lts_nb.top > transformers",
        ),
        (
            "top",
            "from .backbones import np",
            "importing it imports torch: lts_nb.top > lts_nb.models.build > lts_nb.models.gpt2 > torch",
        ),
        ("top", "import jax", "top.py:1: imports jax, which settings.ini does not require"),
        ("top", "def f():\n    from fastcore.all import L", "top.py:2: imports fastcore, which is for notebooks only"),
        ("top", "import lm_eval", "top.py:1: imports lm_eval, which settings.ini does not require"),
        (
            "top",
            "def f():\n    import jax",
            "top.py:2: imports jax, which settings.ini neither requires nor names as an extra",
        ),
        (
            "top",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch, lm_eval\ndef f():\n    import lm_eval, yaml",
            None,
        ),
        ("first", "from lts_nb import __version__", None),
    ],
)
def test_floor_faults(repo, name, text, finding):
    (repo / f"lts_nb/{name}.py").write_text(text)
    found = list(check.check_floors(repo))
    assert any(finding in f for f in found) if finding else found == []


@pytest.mark.parametrize(
    "name, module, finding",
    [
        ("second", "second", "its name gives no floor"),
        ("02_second", "twice", "the names differ"),
        ("02_second", None, "has a floor but no default_exp"),
    ],
)
def test_notebook_names(repo, name, module, finding):
    if module:
        room(repo / f"nbs/{name}.ipynb", module, "x = 1")
    else:
        save(repo / f"nbs/{name}.ipynb", cell("# Second\n\n> No module."))
    assert [f for f in check.check_floors(repo) if finding in f]


def test_readme_faults(repo):
    (repo / "README.md").write_text("edited by hand")
    assert [f for f in check.check_readme(repo) if "is not what nbs/index.ipynb says" in f]
    save(repo / "nbs/index.ipynb", cell("# lts_nb\n\n> A promise.\n\n[gone](04_gone.html)"))
    assert [f for f in check.check_readme(repo) if "links to nbs/04_gone.html" in f]
    save(repo / "nbs/index.ipynb", cell("1", result(image_png="AAAA", text_plain="<Figure>")))
    assert [f for f in check.check_readme(repo) if "makes no README: an image output" in f]


def test_readme_rendering(tmp_path):
    save(
        tmp_path / "nbs/index.ipynb",
        cell(
            "# T\n\n![p](images/p.png) [c](../CHANGELOG.md#x) [w](https://x.org) `a[0](b)`\n"
            '<img src="images/q.png">\n\n[r]: 03_r.ipynb'
        ),
        cell("#| hide\nimport os"),
        cell("#| eval: false\nx = d['k'](1)", printed("one\n")),
        cell("#| echo: false\ntable", result(text_markdown="|a|\n|-|\n|[b](b.ipynb)|", text_plain="plain")),
        cell("frame", result(text_html="<table>", text_plain="  a\n0 1")),
    )
    assert (
        readme.render(tmp_path)
        == """\
<!-- generated from nbs/index.ipynb; edit there -->

# T

![p](nbs/images/p.png) [c](CHANGELOG.md#x) [w](https://x.org) `a[0](b)`
<img src="nbs/images/q.png">

[r]: nbs/03_r.ipynb

```python
x = d['k'](1)
```

```text
one
```

|a|
|-|
|[b](nbs/b.ipynb)|

```python
frame
```

```text
  a
0 1
```
"""
    )
