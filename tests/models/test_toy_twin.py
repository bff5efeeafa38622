"A backbone from outside the package, in two small files: built, counted, saved, loaded and scored like its own ones."

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lts_nb.core.errors import InputError
from lts_nb.models.build import architecture_of, build, part_modules, twin_of
from lts_nb.models.conformance import check_counts, check_elsewhere, check_twin
from lts_nb.models.small_models import draw_architectures
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.families import FAMILIES, register_family
from lts_nb.space.families.contract import Family

HERE = Path(__file__).parents[1]
TOY = Family(
    name="toy",
    display_name="Toy",
    year=2026,
    source="https://example.org/toy",
    model="toy_twin",
    fields=frozenset(),
)


@pytest.fixture
def toy(monkeypatch):
    "The family, known for the time of a test."
    monkeypatch.syspath_prepend(HERE)
    yield register_family(TOY)
    del FAMILIES[TOY.name]


def test_counts(toy):
    for architecture in draw_architectures("toy", 20):
        check_counts(architecture)


def test_conforms(toy):
    for architecture in draw_architectures("toy", 2, seed=1):
        check_twin(architecture, without_gradient=("k_proj.bias",))
    check_elsewhere([architecture])


def test_back_again(toy):
    architecture = Architecture("toy", 16, (2, 4), (32, 64), vocab_size=97, max_len=16)
    model = build(architecture, seed=1)
    assert architecture_of(model) == architecture and model.num_parameters() == count(architecture).total
    assert architecture_of(build(Architecture("gpt2", 16, (2,), (32,), vocab_size=97))).backbone == "gpt2"
    assert torch.equal(build(architecture, seed=1).lm_head.weight, model.lm_head.weight)
    assert len(part_modules(model)) == 5


def test_scored(toy):
    "Proxies find their way in a backbone that they were not told about."
    from lts_nb.study.proxies.scores import random_tokens, score

    architecture = draw_architectures("toy", 1, seed=2)[0]
    found = score(architecture, ["snip", "fisher", "head_importance", "naswot", "w_pca"], random_tokens(97, 4, 12))
    assert [name for name, one in found.items() if one.error] == []


def test_family_without_a_model():
    register_family(Family(name="paper", display_name="Paper", year=2026, source="", fields=frozenset()))
    try:
        with pytest.raises(InputError, match="backbone='paper': its family names no model"):
            build(Architecture("paper", 16, (2,), (32,), vocab_size=97))
        assert architecture_of(torch.nn.Linear(2, 2)) is None
    finally:
        del FAMILIES["paper"]


def test_twins_from_outside_wait():
    "A family's twin is imported when its first model is built, not when the family is registered."
    lines = [
        "import sys",
        f"sys.path.insert(0, {str(HERE)!r})",
        "from lts_nb.space.families import register_family",
        "from lts_nb.space.families.contract import Family",
        "register_family(Family(name='toy', display_name='', year=0, source='', model='toy_twin', fields=frozenset()))",
        "from lts_nb.models.build import build",
        "from lts_nb.space.architecture import Architecture",
        "before = 'toy_twin' in sys.modules",
        "build(Architecture('toy', 16, (2,), (32,), vocab_size=97))",
        "print(before, 'toy_twin' in sys.modules)",
    ]
    run = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, encoding="utf-8")
    assert run.stdout.split() == ["False", "True"], run.stderr


def test_unknown_backbone():
    with pytest.raises(InputError, match="backbone='gpt3'"):
        twin_of("gpt3")
