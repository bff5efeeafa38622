"""Modules import what users have installed, and folders import only folders below them."""

import ast
import importlib.util
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from repository import LIB, settings

SCRIPTS = Path(sysconfig.get_path("scripts"))  # the commands of this very Python
# what only these ask for may be imported inside functions
EXTRAS = ("eval", "parquet", "onnx", "gguf", "llama", "dask", "nvml", "discovery", "benchmarks")
IMPORTED_AS = {"ipython": "IPython", "pyyaml": "yaml", "llama_cpp_python": "llama_cpp", "nvidia_ml_py": "pynvml"}
NOTEBOOK_ONLY = {"nbdev", "fastcore", "execnb"}  # settings.ini promises none of them to users


def imports(node: ast.AST, package: str, top: bool = True) -> Iterator[tuple[str, bool, int]]:
    "Absolute name, does importing the module import it, line: of every import below `node`."
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, top, child.lineno) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = importlib.util.resolve_name("." * child.level + (child.module or ""), package)
            yield base, top, child.lineno
        else:
            typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from imports(child, package, top and not typing and not inside)


def importable(root: Path, *names: str) -> set[str]:
    "What these entries of settings.ini bring, and the standard library."
    wanted = [requirement for name in names for requirement in settings(root).get(name, "").split()]
    packages = [re.match(r"[\w-]+", requirement)[0].replace("-", "_") for requirement in wanted]
    return sys.stdlib_module_names | {IMPORTED_AS.get(package, package) for package in packages} | {LIB}


def check_requirements(root: Path) -> Iterator[str]:
    "Imports of the package that settings.ini does not promise to its users."
    required = importable(root, "requirements")
    extra = importable(root, "requirements", *(f"{name}_requirements" for name in EXTRAS))
    for path in sorted((root / LIB).rglob("*.py")):
        name, package = path.relative_to(root).as_posix(), ".".join(path.relative_to(root).parent.parts)
        for target, top, line in imports(ast.parse(path.read_text(encoding="utf-8")), package):
            outer = target.partition(".")[0]
            if outer in NOTEBOOK_ONLY:
                yield f"{name}:{line}: imports {outer}, which is for notebooks only"
            elif top and outer not in required:
                yield f"{name}:{line}: imports {outer}, which settings.ini does not require"
            elif outer not in extra:
                yield f"{name}:{line}: imports {outer}, which settings.ini neither requires nor names as an extra"


def check_layers(root: Path) -> Iterator[str]:
    "Imports between folders that pyproject.toml forbids, as import-linter finds them."
    run = subprocess.run(
        [SCRIPTS / "lint-imports", "--no-cache"], cwd=root, capture_output=True, text=True, encoding="utf-8"
    )
    if run.returncode:
        lines = (run.stdout + run.stderr).splitlines()
        found = [line.strip() for line in lines if re.search(r" -> |BROKEN|Could not|[Mm]issing|[Ee]rror", line)]
        yield from found or lines[-3:]
