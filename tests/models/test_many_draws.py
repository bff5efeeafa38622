"""Closed forms and twins of many random architectures; the notebooks of the families try fewer."""

import pytest

from lts_nb.models.conformance import check_counts, check_twin
from lts_nb.models.small_models import draw_alike, draw_architectures, draw_narrow, draw_shaped
from lts_nb.space.families import get_family, own_families

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("backbone", [family.name for family in own_families()])]
NO_GRADIENT = dict(opt=("k_proj.bias",))  # a softmax does not see what all keys have in common


def draw(backbone: str, n: int, seed: int) -> list:
    "Architectures with layers that differ, that are alike and that lack halves, some with heads of their own width."
    family = get_family(backbone)
    drawn = draw_architectures(backbone, n, seed) + draw_alike(backbone, n // 4, seed)
    drawn += draw_shaped(backbone, n // 2, seed) if family.optional_halves else []
    return drawn + (draw_narrow(drawn[::4], seed) if backbone in ("gpt2", "opt") else [])


def test_counts(backbone):
    for architecture in draw(backbone, 100, 0):
        check_counts(architecture)


def test_twins(backbone):
    for architecture in draw(backbone, 10, 3):
        check_twin(architecture, without_gradient=NO_GRADIENT.get(backbone, ()))
