"""The list of what was tried names only tests that there are."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_every_test_of_the_list_exists():
    named = set(re.findall(r"`(test_\w+)`", (HERE / "README.md").read_text(encoding="utf-8")))
    files = [file.read_text(encoding="utf-8") for file in HERE.parent.rglob("test_*.py")]
    defined = {name for text in files for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    assert len(named) > 60 and not named - defined, named - defined
