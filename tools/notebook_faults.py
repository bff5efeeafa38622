"""A notebook is sound as a file, seen by nbdev as it looks, fit to be read, and lies where its module does."""

import copy
import functools
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import nbformat
import readme
import yaml
from repository import code_cells, exported_module, notebooks, read_notebook, settings

EXPORTS = {"export", "exporti", "exports"}
NBDEV = EXPORTS | {"default_exp", "exec_doc", "hide", "filter_stream"}
# Quarto's directives; each is followed by a colon
QUARTO = set(
    "eval echo output warning error include label column classes layout layout-ncol layout-nrow "
    "code-fold code-summary fig-cap fig-subcap fig-alt fig-align fig-width fig-height tbl-cap".split()
)
CONFLICT = re.compile(r'^[\s"`]*(<{7}|>{7}) ', re.M)
MACHINE_PATH = re.compile(r"(?<![\w.~}])/(home|root|Users|tmp|private|var/folders)/|\b[A-Z]:\\+Users\b")
PROMISE = 114  # characters; three quotes before it and three after it make a line of 120
PICTURE = re.compile(r"""!\[\s*\]\(|<img\b(?![^>]*\balt\s*=\s*["'][^"'])""")  # in Markdown, without alternative text
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")  # to a place in the repository
HEADING = re.compile(r"^#+ (.+)$", re.M)
BAR = re.compile(r"\[\d\d:\d\d(:\d\d)?[<,]")  # of a progress bar drawn as text


def file_faults(notebook: dict) -> Iterator[str]:
    "What is wrong with the file: its format, a kernel that nbdev would skip, what executing left, ids of cells."
    version = notebook["nbformat"], notebook["nbformat_minor"]
    kernel = notebook["metadata"].get("kernelspec", {})
    if version < (4, 5):
        yield "is nbformat {}.{}, which has no cell ids; 4.5 is the least".format(*version)
    if kernel.get("name") != "python3" or kernel.get("language", "python") != "python":
        yield f"has kernelspec {kernel.get('name')!r}, not 'python3': nbdev would pass it without running it"
    if "widgets" in notebook["metadata"] or any(cell.get("execution_count") for cell in notebook["cells"]):
        yield "keeps numbers of executions or states of widgets: run nbdev_clean, and delete metadata.widgets"
    seen = set()
    for number, cell in enumerate(notebook["cells"]):
        if "id" not in cell:
            yield f"cell {number} has no id"
        elif cell["id"] in seen:
            yield f"cell id {cell['id']} occurs twice"
        seen.add(cell.get("id"))


def directive_faults(notebook: dict, flags: set[str], tutorial: bool) -> Iterator[str]:
    "Directives that nbdev would misread or silently ignore."
    module = exported_module(notebook)
    for cell, directives, lines in code_cells(notebook):
        at = f"cell {cell.get('id')}"
        for match in directives:
            if match[1] not in (QUARTO if match[2] and match[3] else NBDEV | flags):
                yield f"{at}: unknown directive `{match[0].strip()}`"
        names = {match[1] for match in directives}
        if names & EXPORTS and not module:
            yield f"{at}: exports, but the notebook has no default_exp"
        if tutorial and names & (EXPORTS | {"default_exp"}):
            yield f"{at}: a tutorial exports nothing"
        for line in lines:
            if readme.DIRECTIVE.match(line):
                yield f"{at}: `{line.strip()}` stands below code or a comment, where nbdev ignores it"
            if line.startswith("# %%"):
                yield f"{at}: `{line.strip()}` is left over from a conversion"


def page_faults(notebook: dict) -> Iterator[str]:
    "What a reader would stumble over: no title, no outputs, errors, warnings, paths of one machine."
    first = notebook["cells"][0] if notebook["cells"] else {"cell_type": "none", "source": ""}
    if first["cell_type"] != "markdown" or not re.match(r"# .+\n+> .+", "".join(first["source"])):
        yield "does not begin with a `# Title` and a `> promise` line"
    elif promise := re.search(rf"^> (.{{{PROMISE + 1},}})$", "".join(first["source"]), re.M):
        yield f"has a promise of {len(promise[1])} characters: {PROMISE} fit into the module's first line"
    cells = [cell for cell, _, _ in code_cells(notebook)]
    if cells and not any(cell["outputs"] for cell in cells):
        yield "has no stored outputs: execute it"
    for cell in notebook["cells"]:
        yield from cell_faults(cell)


def cell_faults(cell: dict) -> Iterator[str]:
    "What is wrong with the source or the stored outputs of one cell."
    at, outputs = f"cell {cell.get('id')}", cell.get("outputs", [])
    for where, texts in ("source", texts_in(cell["source"])), ("output", texts_in(outputs)):
        found = next(filter(None, map(MACHINE_PATH.search, texts)), None)
        if found:
            yield f"{at}: {where} names a path of one machine, {found[0]}"
    if any(output["output_type"] == "error" for output in outputs):
        yield f"{at}: an error is stored as its output"
    bars = (BAR.search("".join(output.get("data", {}).get("text/plain", ""))) for output in outputs)
    if any(output.get("name") == "stderr" for output in outputs) or any(bars):
        yield f"{at}: a warning or progress bar is stored in its output"


def picture_faults(notebook: dict) -> Iterator[str]:
    "Pictures that tell nothing to people who do not see them, and texts that quarto would not read as they stand."
    for cell, directives, _ in code_cells(notebook):
        at, texts = f"cell {cell.get('id')}", [match[3] for match in directives if match[1] == "fig-alt"]
        shown = any(kind.startswith("image/") for output in cell["outputs"] for kind in output.get("data", {}))
        if shown and not any(texts):
            yield f"{at}: its picture has no alternative text; begin with `#| fig-alt: what is to be seen`"
        if texts and not shown:
            yield f"{at}: has a `fig-alt`, but no picture is stored"
        if any(not is_plain_text(text) for text in texts):
            yield f"{at}: its `fig-alt` is no plain text of YAML: it may hold no `: ` or ` #`, and begins with a word"
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and PICTURE.search("".join(cell["source"])):
            yield f"cell {cell.get('id')}: a picture in it has no alternative text"


def link_faults(path: Path, notebook: dict) -> Iterator[str]:
    "Links of its text that lead to no file, or to no heading of one."
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        for link in LINK.findall("".join(cell["source"])):
            place, _, heading = unquote(link).partition("#")
            target = path.parent / place if place else path
            if not target.exists():
                yield f"cell {cell.get('id')}: links to {link}, which is not there"
            elif heading and heading not in anchors(target):
                yield f"cell {cell.get('id')}: links to {link}, but no heading there reads so"


@functools.cache
def anchors(path: Path) -> set[str]:
    "Every heading of a notebook or Markdown file as links name it."
    if path.suffix == ".ipynb":
        cells = [cell for cell in read_notebook(path)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
    else:
        text = path.read_text(encoding="utf-8")
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in HEADING.findall(text)}


def is_plain_text(text: str) -> bool:
    "Does YAML read this text as itself?"
    try:
        return yaml.safe_load(f"text: {text}") == {"text": text}
    except yaml.YAMLError:
        return False


def texts_in(node) -> Iterator[str]:
    "Every text in a source or in stored outputs, save the base64 of images."
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for part in node:
            yield from texts_in(part)
    elif isinstance(node, dict):
        for key, part in node.items():
            if not key.startswith("image/"):
                yield from texts_in(part)


def place_faults(name: str, notebook: dict) -> Iterator[str]:
    "A notebook `nbs/folder/03_pareto.ipynb` exports `folder.pareto`; one without a number exports nothing."
    folder, _, file = name.removeprefix("nbs/").removesuffix(".ipynb").rpartition("/")
    module, numbered = exported_module(notebook), re.match(r"\d\d_(\w+)$", file)
    if module and not numbered:
        yield f"exports {module}, but its name has no reading order (like 03_pareto.ipynb)"
    elif numbered and not module:
        yield "has a reading order but no default_exp"
    elif module:
        expected = f"{folder}/{numbered[1]}".strip("/").replace("/", ".")
        if module not in (expected, f"{folder.replace('/', '.')}.__init__"):
            yield f"exports {module}: its place says {expected}"


def check_notebooks(root: Path) -> Iterator[str]:
    "Every fault of every notebook."
    flags = set(settings(root)["tst_flags"].split())
    for path in notebooks(root):
        name, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
        if CONFLICT.search(text):
            yield f"{name}: a merge conflict was left in it"
        try:
            notebook = read_notebook(path)
            # a copy, for validate mends missing ids, and warns; file_faults finds them in what was written
            with warnings.catch_warnings(action="ignore"):
                nbformat.validate(copy.deepcopy(notebook))
        except (ValueError, KeyError, nbformat.ValidationError) as error:
            yield f"{name}: is no valid notebook: {str(error).strip().splitlines()[0]}"
            continue
        tutorial = path.parent.name == "tutorials"
        faults = *file_faults(notebook), *directive_faults(notebook, flags, tutorial), *page_faults(notebook)
        faults += *picture_faults(notebook), *link_faults(path, notebook), *place_faults(name, notebook)
        for fault in faults:
            yield f"{name}: {fault}"
