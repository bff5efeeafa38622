"""README.md from nbs/index.ipynb, without quarto: `python tools/readme.py`."""

import json
import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = "<!-- generated from nbs/index.ipynb; edit there -->"
DIRECTIVE = re.compile(r"\s*#\s*\|\s*([\w-]+)(:?)\s*(.*)")
# a relative link in Markdown or HTML; the first group lets code pass untouched
LINK = re.compile(
    r"""(```.*?```|`[^`\n]*`)|(\]\(|^\[[^\]]+\]:\s+|\b(?:src|href)=")(?![a-z]+:|[#/])([^)\s"]+)""", re.S | re.M
)


def split(
    source: str,  # of a code cell
) -> tuple[list[str], list[str]]:  # its leading directives; the lines of code below them
    "Part directives from code where nbdev does: at the first line that is neither directive, magic nor blank."
    lines = source.splitlines()
    n = next(
        (i for i, line in enumerate(lines) if line.strip() and not DIRECTIVE.match(line) and not line.startswith("%%")),
        len(lines),
    )
    return [line for line in lines[:n] if DIRECTIVE.match(line)], [
        line for line in lines[:n] if line.startswith("%%")
    ] + lines[n:]


def links(text: str) -> list[str]:  # relative targets, as written
    return [m[3] for m in LINK.finditer(text) if m[3]]


def rebase(text: str) -> str:  # the same text, its relative links starting one folder higher
    return LINK.sub(lambda m: m[1] or m[2] + posixpath.normpath(posixpath.join("nbs", m[3])), text)


def fence(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def show(output: dict) -> str:
    "One stored output as Markdown."
    if output["output_type"] == "stream":
        return fence("".join(output["text"]), "text")
    data = {kind: "".join(text) for kind, text in output.get("data", {}).items() if isinstance(text, (str, list))}
    if "text/markdown" in data:
        return rebase(data["text/markdown"]).rstrip()
    if any(kind.startswith("image/") for kind in data):
        raise ValueError(
            "an image output has no place in it; commit the image under nbs/images and link it from a markdown cell"
        )
    return fence(data["text/plain"], "text")


def render(
    root: Path = ROOT,  # of the repository
) -> str:  # README.md
    "Markdown stays, code is fenced, text outputs follow it; `#| hide` drops a cell and `#| echo: false` its code."
    blocks = [HEADER]
    for cell in json.loads((root / "nbs/index.ipynb").read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            blocks.append(rebase(source).strip())
        elif cell["cell_type"] == "code":
            directives, code = split(source)
            marks = {m[1]: m[3] for m in map(DIRECTIVE.match, directives)}
            if "hide" in marks:
                continue
            if code and marks.get("echo") != "false":
                blocks.append(fence("\n".join(code), "python"))
            blocks += map(show, cell["outputs"])
    return "\n\n".join(blocks) + "\n"


if __name__ == "__main__":
    (ROOT / "README.md").write_text(render(), encoding="utf-8", newline="\n")
