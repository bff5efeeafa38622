"""Code that a stranger can read: short functions with few names, modules with one job."""

import ast
from collections.abc import Iterator
from pathlib import Path

from repository import LIB

LINES = 25  # of a function's body; its docstring, comments and blank lines are not counted
NAMES = 12  # that a function binds, parameters and those of comprehensions aside
MODULE = 300  # lines of a module

Function = ast.FunctionDef | ast.AsyncFunctionDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPREHENSIONS = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def body_lines(function: Function, source: list[str]) -> int:
    "Lines of code in the body of a function."
    statements = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    if not statements:
        return 0
    lines = (line.strip() for line in source[statements[0].lineno - 1 : function.end_lineno])
    return sum(bool(line) and not line.startswith("#") for line in lines)


def bound_names(node: ast.AST) -> set[str]:
    "Names that a function binds itself: not those of functions and comprehensions within it."
    names = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, SCOPES):
            names.add(child.name)
        elif not isinstance(child, COMPREHENSIONS):
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                names.add(child.id)
            names |= bound_names(child)
    return names - {"_"}


def size_faults(text: str) -> Iterator[str]:
    "Functions of a module or a cell that are too long, or that have too many names."
    source = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function):
            lines, names = body_lines(node, source), bound_names(node)
            if lines > LINES:
                yield f"{node.lineno}: {node.name} has {lines} lines; {LINES} are the most"
            if len(names) > NAMES:
                yield f"{node.lineno}: {node.name} binds {len(names)} names; {NAMES} are the most"


def check_sizes(root: Path) -> Iterator[str]:
    "Every function and module of the package, the tests and the tools that is too large."
    for folder in (LIB, "tests", "tools"):
        for path in sorted((root / folder).rglob("*.py")):
            name, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
            if path.name == "_modidx.py":
                continue
            if folder == LIB and len(text.splitlines()) > MODULE:
                yield f"{name}: has {len(text.splitlines())} lines; {MODULE} are the most"
            for fault in size_faults(text):
                yield f"{name}:{fault}"
