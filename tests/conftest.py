"""What several tests need: a space small enough to search in seconds, and `lts` as a user runs it."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lts_nb.cli import main
from lts_nb.space.space import SearchSpace

SMALL = SearchSpace.preset(
    "gpt2", n_layer=[1, 2, 3], d_model=[32, 64], d_inner=[64, 128, 192], n_head=[1, 2], vocab_size=[300], max_len=32
)


@pytest.fixture
def space_file(tmp_path) -> Path:
    (path := tmp_path / "space.json").write_text(SMALL.to_json())
    return path


def start(*args, **options) -> subprocess.Popen:
    code = "import sys; from lts_nb.cli import main; sys.exit(main())"
    pipe = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)], **pipe, env=os.environ | {"OMP_NUM_THREADS": "1"}, **options
    )


def lts(*args, **options) -> tuple[int, str, str]:  # exit code, standard output, standard error
    "In this process, which has imported everything already; with options of `Popen`, in one of its own."
    if options:
        process = start(*args, **options)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main([*map(str, args)])
    return code, out.getvalue(), err.getvalue()
