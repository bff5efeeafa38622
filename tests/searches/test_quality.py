"""What may stand for quality: names, laws, files of laws, and what is refused."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from searches.kit import FEW, LAW

from lts_nb.core.errors import InputError
from lts_nb.core.metrics import METRICS
from lts_nb.frontier.proxies import PROXIES, register_proxy, state_proxies
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.searches.quality import Quality, check_quality, homogeneous_ends, quality_of, remarks_on_quality
from lts_nb.searches.search import search
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace

SPACE = SearchSpace.preset("gpt2")
P = SPACE.sample(500, 0)
COUNTS = count(P)


@pytest.mark.parametrize(
    "name, column, values",
    [
        ("decoder_params", "decoder_params", COUNTS.decoder),
        ("total_params", "total_params", COUNTS.total),
        ("depth", "n_layer", P.n_layer),
        ("width", "d_model", P.d_model),
    ],
)
def test_proxies_of_the_package(name, column, values):
    quality = quality_of(name)
    assert quality.column == column and quality.columns(list(P[:3])) == {} and quality.proxy == name
    assert (quality.of(P) == -values).all()
    assert quality.objective == ("decoder_params" if name == "decoder_params" else "quality")


def test_a_proxy_of_ones_own_has_a_column():
    @register_proxy("compactness", takes="state")
    def compactness(n_layer, d_model, decoder_params, total_params):
        return decoder_params / total_params

    try:
        quality = quality_of("compactness")
        assert quality.column == "compactness" and quality.objective == "quality"
        assert np.allclose(quality.columns(list(P[:5]))["compactness"], (COUNTS.decoder / COUNTS.total)[:5])
        assert "compactness" in state_proxies()
    finally:
        del PROXIES["compactness"]
        METRICS.pop("compactness", None)


def test_a_law_predicts_the_same_for_one_and_for_many():
    quality = quality_of(LAW)
    assert quality.objective == "quality" and quality.column == "predicted_loss"
    assert np.allclose(quality.of(P), LAW.predict(P.n_layer, P.d_model, COUNTS.decoder), atol=1e-9, rtol=0)
    assert [quality.of(P[i : i + 1])[0] for i in range(500)] == quality.of(P).tolist()


def test_a_law_however_it_is_given(tmp_path):
    (path := tmp_path / "law.json").write_text(LAW.to_json(), encoding="utf-8")
    fields = json.loads(LAW.to_json())
    assert all(quality_of(given) == quality_of(LAW) for given in (path, str(path), LAW, fields))
    assert quality_of(path).proxy == fields and quality_of(fields).proxy == fields


@pytest.mark.parametrize(
    "name, range_, told",
    [
        ("D", (2, 3), "layers 2 to 4, fitted on 2 to 3"),
        ("W", (192, 512), "width 128 to 256, fitted on 192 to 512"),
        ("N", (5e5, 2e8), "decoder parameters 3"),
    ],
)
def test_a_search_beyond_what_a_law_was_fitted_on_says_so(name, range_, told):
    law, said = replace(LAW, ranges=LAW.ranges | {name: range_}), []
    search(FEW, FakeTarget(), "lts", evaluations=20, proxy=law, progress=False, say=said.append)
    assert [told in text and "guesses" in text for text in said if text.startswith("proxy")] == [True]
    assert remarks_on_quality(quality_of(LAW), FEW) == []


@pytest.mark.parametrize("given", ["dpeth", "{}/no.json", "{}", 5])
def test_neither_a_name_nor_a_file(tmp_path, given):
    given = given.format(tmp_path) if isinstance(given, str) else given
    allowed = "must be one of decoder_params, total_params, depth, width, or the path of a loss law ("
    with pytest.raises(InputError) as e:
        quality_of(given)
    assert str(e.value).startswith(f"proxy={str(given)!r}: {allowed}")


CHANGES = (
    dict(middle={}),
    dict(exponents=3),
    dict(coefficients=[1]),
    dict(coefficients=["a", 1, 2]),
    dict(coefficients=[math.nan] * 3),
    dict(error="x"),
)
FIELDS = json.loads(LAW.to_json())


@pytest.mark.parametrize(
    "content, finding",
    [
        (b"\xff\xfe", "or the path of a loss law (this is no text file)"),
        (LAW.to_json()[:80].encode(), "not JSON, or cut short"),
        (SPACE.to_json().encode(), "format='lts_nb.space': must be 'lts_nb.loss_law'"),
        (json.dumps({k: v for k, v in FIELDS.items() if k != "middle"}).encode(), "must be exponents"),
        *((json.dumps(FIELDS | change).encode(), "damaged, it predicts no loss") for change in CHANGES),
    ],
)
def test_files_that_hold_no_law(tmp_path, content, finding):
    (path := tmp_path / "law.json").write_bytes(content)
    with pytest.raises(InputError) as e:
        quality_of(path)
    assert str(e.value).startswith(f"proxy={str(path)!r}: ") and finding in str(e.value)


def test_a_law_that_predicts_nonsense_is_refused():
    check_quality(quality_of(LAW), SPACE)
    check_quality(Quality(), SPACE)
    with pytest.raises(InputError, match="proxy: the law predicts -1"):
        check_quality(Quality(law=replace(LAW, coefficients=(-2.5, 0.6, 0.6))), SPACE)


@pytest.mark.parametrize("name", ["gpt2", "transformer-xl", "opt", "llama", "lfm2"])
def test_ends_are_members(name):
    space = SearchSpace.preset(name)
    ends = homogeneous_ends(space)
    assert space.contains(ends).all() and ends.homogeneous.all()
    assert {*ends.n_layer} == {space.n_layer[0], space.n_layer[-1]} and {*ends.d_model} == {*space.d_model}
