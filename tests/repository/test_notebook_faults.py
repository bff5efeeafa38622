"""Every check of a notebook finds the fault it is for."""

import json

import pytest
from notebook_faults import check_notebooks
from repository_kit import DEF, EXP, RUN, TOP, kernel, output, printed, result, room, save, source
from repository_kit import cell as make_cell

BAR = " 50%|#####     | 5/10 [00:01<00:01,  5.0it/s]"
TMP = "/" + "tmp"  # this file shall name no place of a machine either
ELSEWHERE = f"#| eval: false\n#| slow\nopen('https://x.org/home/y', f'{{here}}{TMP}/x', '..{TMP}/x')"
PICTURE = result(image_png=f"AAAA +{TMP}/ AAAA", text_plain="<Figure>")
ERROR = {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}


def without_ids(notebook):
    "Write a notebook as format 4.4 did."
    notebook.update(nbformat_minor=4)
    for cell in notebook["cells"]:
        cell.pop("id")


def drawn(directive):
    "A change of a notebook: a cell with a picture."
    return lambda notebook: notebook["cells"][RUN].update(source=[f"{directive}\n", "draw()"], outputs=[PICTURE])


FAULTS = [
    (lambda notebook: notebook.pop("cells"), "is no valid notebook"),
    (without_ids, "is nbformat 4.4"),
    (lambda notebook: notebook["cells"][DEF].pop("id"), "cell 2 has no id"),
    (lambda notebook: notebook["cells"][DEF].update(id=notebook["cells"][EXP]["id"]), "occurs twice"),
    (kernel(name="ir", display_name="R", language="R"), "has kernelspec 'ir'"),
    (kernel(name="python3", display_name="python3", language="sql"), "has kernelspec"),
    (lambda notebook: notebook["cells"][RUN].update(execution_count=3), "keeps numbers of executions"),
    (lambda notebook: notebook["metadata"].update(widgets={}), "or states of widgets"),
    (source(RUN, "<<<<<<< HEAD\nx = 1\n>>>>>>> other"), "a merge conflict was left in it"),
    (source(RUN, "#| exprot\nx = 1"), "unknown directive `#| exprot`"),
    (source(RUN, "#| gpu\nx = 1"), "unknown directive `#| gpu`"),
    (source(RUN, "#| eval false\nx = 1"), "unknown directive `#| eval false`"),
    (source(RUN, "# why\n#| export\nx = 1"), "`#| export` stands below code or a comment"),
    (source(RUN, "x = 1\n#|hide"), "`#|hide` stands below code or a comment"),
    (source(RUN, "# %%\n#| export\nx = 1"), "`# %%` is left over from a conversion"),
    (source(EXP, "x = 1"), "exports, but the notebook has no default_exp"),
    (source(TOP, "# ground"), "does not begin with"),
    (source(TOP, f"# ground\n\n> {'word ' * 23}"), "has a promise of 115 characters"),
    (output(), "has no stored outputs"),
    (output(ERROR), "an error is stored"),
    (output(printed("50%|#####", "stderr")), "a warning or progress bar is stored"),
    (output(result(text_plain="0arch [00:00, ?arch/s]")), "a warning or progress bar is stored"),
    (output(result(text_plain=BAR)), "a warning or progress bar is stored"),
    (output(printed("saved to /home/me/x.png")), "output names a path of one machine, /home/"),
    (output(result(text_plain=f"'/private{TMP}/x'")), "output names a path of one machine"),
    (source(RUN, r"open(r'C:\Users\me')"), "source names a path of one machine"),
    (source(RUN, f"open('{TMP}/x')"), f"source names a path of one machine, {TMP}/"),
    (output(PICTURE), "its picture has no alternative text"),
    (drawn("#| fig-alt:"), "its picture has no alternative text"),
    (drawn("#| fig-alt: a: b"), "is no plain text of YAML"),
    (drawn("#| fig-alt: 'quoted'"), "is no plain text of YAML"),
    (drawn("#| fig-alt: the rise # of it"), "is no plain text of YAML"),
    (source(RUN, "#| fig-alt: a curve\nprint(1)"), "has a `fig-alt`, but no picture is stored"),
    (source(TOP, "# ground\n\n> What for.\n\n![](a.png)"), "a picture in it has no alternative text"),
    (source(TOP, "# ground\n\n> What for.\n\n[here](no_file.ipynb)"), "links to no_file.ipynb, which is not there"),
    (source(TOP, "# ground\n\n> What for.\n\n[here](#sky)"), "links to #sky, but no heading there reads so"),
    (source(TOP, '# ground\n\n> What for.\n\n<img src="a.png" alt="">'), "a picture in it has no alternative text"),
    (source(EXP, "#| default_exp core.sky"), "exports core.sky: its place says core.ground"),
]
SOUND = [
    output(result(text_plain="[00:00] is no bar")),
    source(RUN, ELSEWHERE),
    drawn("#| fig-alt: a curve that rises, and falls; its top is at 3"),
    source(TOP, '# ground\n\n> What for.\n\n![a curve](00_ground.ipynb) <img src="a.png" alt="a curve">'),
    source(TOP, "# On the ground: a *tour*\n\n> What for.\n\n[up](#on-the-ground-a-tour) [web](https://x.org/no)"),
]


def findings(repo, change):
    "What the check says of the first notebook after a change."
    path = repo / "nbs/core/00_ground.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    change(notebook)
    path.write_text(json.dumps(notebook, indent=1), encoding="utf-8")
    found = list(check_notebooks(repo))
    assert all(fault.startswith("nbs/core/00_ground.ipynb: ") for fault in found)
    return found


@pytest.mark.parametrize("change, finding", FAULTS)
def test_a_fault_is_found(repo, change, finding):
    assert any(finding in fault for fault in findings(repo, change))


@pytest.mark.parametrize("change", SOUND)
def test_what_only_looks_like_a_fault_passes(repo, change):
    assert findings(repo, change) == []


def test_tutorials_export_nothing(repo):
    room(repo / "nbs/tutorials/00_own.ipynb", "tutorials.own", "x = 1")
    assert sum("a tutorial exports nothing" in fault for fault in check_notebooks(repo)) == 2


def test_a_module_needs_a_reading_order(repo):
    room(repo / "nbs/core/second.ipynb", "core.second", "x = 1")
    save(repo / "nbs/core/02_third.ipynb", make_cell("# Third\n\n> No module."))
    found = list(check_notebooks(repo))
    assert any("its name has no reading order" in fault for fault in found)
    assert any("has a reading order but no default_exp" in fault for fault in found)
