"""What travels in the wheel: the sample run and the profiles, as `benchmarks/` holds them, and little of it."""

import gzip
import subprocess
import sys

import pytest
import ready_made
from repository import LIB, ROOT

PLACE = ROOT / LIB / "ready-made"


def test_it_is_what_benchmarks_hold():
    kept = {path.relative_to(PLACE).as_posix(): path.read_bytes() for path in PLACE.rglob("*") if path.is_file()}
    unpacked = {name: gzip.decompress(content) if name.endswith(".gz") else content for name, content in kept.items()}
    assert unpacked == ready_made.contents(), "run python tools/ready_made.py"
    assert sum(map(len, kept.values())) < 1e6


def test_the_wheel_has_all_of_it(tmp_path):
    "By what setuptools copies into it; nothing is packed."
    pytest.importorskip("setuptools")
    words = ["egg_info", "--egg-base", tmp_path, "build_py", "--build-lib", tmp_path / "built"]
    done = subprocess.run([sys.executable, "setup.py", "-q", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "absent" not in done.stderr, done.stderr
    copied = {path.relative_to(tmp_path / "built") for path in (tmp_path / "built").rglob("*") if path.is_file()}
    there = {path.relative_to(ROOT) for path in (ROOT / LIB).rglob("*") if path.is_file()}
    assert copied == {path for path in there if "__pycache__" not in path.parts}
