"""Figures that notebooks quote from published results, recomputed where those results are at hand."""

import os

import numpy as np
import pytest

from lts_nb.study.published import published
from lts_nb.study.published_archive import ENV
from lts_nb.study.published_figures import published_table
from lts_nb.study.recounting import disagreements

ARCHIVE = os.environ.get(ENV)
pytestmark = pytest.mark.skipif(not ARCHIVE, reason=f"the published results are not here; {ENV} would name them")


@pytest.fixture(scope="module")
def frame():
    return published(ARCHIVE)


def test_law_of_the_tutorial(frame):
    "ln perplexity of 200 random GPT-2s against attention and feed-forward parameters."
    trained = frame[frame.experiment == "random_GPT2_wt103"]
    shapes = [(a.d_model, a.n_layer, sum(a.d_inner)) for a in trained.architecture]
    width, depth, inner = np.array(shapes, float).T
    assert len(trained) == 200
    features = np.c_[np.ones(200), np.log(4 * depth * width**2), np.log(2 * width * inner)]
    law, *_ = np.linalg.lstsq(features, np.log(trained.perplexity))
    assert np.allclose(law, [6.0431, -0.1616, -0.0094], atol=6e-5)


def test_parameters(frame):
    "Every published count, to the unit, save those of the one experiment that was counted as another backbone."
    assert (len(frame), frame.perplexity.count(), (frame.backbone == "transformer-xl").sum()) == (1121, 1116, 599)
    found = disagreements(frame)
    assert "unexplained" not in set(found.why)
    assert set(found[found.what.isin(("attention", "ffn", "decoder"))].experiment) == {"random_GPT2_lm1b"}


def test_transformer_xl_models(frame):
    "Real models of ten Transformer-XLs have the published numbers of decoder parameters, and our total."
    import torch

    from lts_nb.models.build import config_of
    from lts_nb.models.transformer_xl import LtsTransformerXLForCausalLM

    for row in frame[frame.backbone == "transformer-xl"][::60].itertuples():
        with torch.device("meta"):
            model = LtsTransformerXLForCausalLM(config_of(row.architecture))
        decoder_params = sum(parameter.numel() for parameter in model.transformer.h.parameters())
        assert (decoder_params, model.num_parameters()) == (row.stored_decoder_params, row.total_params)


def test_table(frame):
    "Correlations that were recomputed from the archive independently of this code."
    known = {
        "random_GPT2_lm1b": (200, 0.986, 0.913, 0.925, 0.95, 0.944),
        "random_GPT2_wt103": (200, 0.967, 0.847, 0.574, 0.70, 0.737),
        "random_TransXL_lm1b": (183, 0.999, 0.976, 0.922, 0.89, 0.999),
        "random_TransXL_wt103": (200, 0.974, 0.861, 0.713, 0.60, 0.261),
        "random_TransXL_wt103_homogeneous": (98, 0.950, 0.817, 0.667, 0.78, 0.332),
    }
    random = frame[frame.kind == "random"]
    table = published_table(random, "stored_decoder_params", "stored_total_params", resamples=1).set_index("experiment")
    digits = dict(rho=3, tau=3, rho_top10=3, cr10=2, rho_total=3)
    found = {
        experiment: (row.n, *(round(row[statistic], places) for statistic, places in digits.items()))
        for experiment, row in table.iterrows()
    }
    assert found == known


def test_counts_of_experiments(frame):
    trained = frame.groupby("experiment").perplexity.count().to_dict()
    assert trained == dict(
        random_GPT2_lm1b=200,
        random_GPT2_wt103=200,
        random_TransXL_lm1b=183,
        random_TransXL_wt103=200,
        random_TransXL_wt103_homogeneous=98,
        pareto_GPT2_lm1b_arm=45,
        pareto_GPT2_lm1b_corei7=38,
        pareto_GPT2_lm1b_titanxp=38,
        pareto_TransXL_lm1b_arm=39,
        pareto_TransXL_lm1b_corei7=35,
        pareto_TransXL_lm1b_titanxp=40,
    )


def test_disagreements(frame):
    found = disagreements(frame)
    grouped = found[found.what.str.startswith("logged")].groupby(["what", "why"]).size().to_dict()
    assert grouped == {
        ("logged decoder", "without u and v"): 483,
        ("logged total", "all but the first output projection tied"): 2,
        ("logged total", "u and v once for all layers"): 99,
        ("logged total", "without u and v"): 200,
    }
    missing = found[found.what == "perplexity"].experiment.value_counts().to_dict()
    assert missing == dict(random_TransXL_lm1b=3, random_TransXL_wt103_homogeneous=1, pareto_GPT2_lm1b_titanxp=1)
    counted_right = frame.decoder_params == frame.stored_decoder_params
    assert counted_right[frame.experiment != "random_GPT2_lm1b"].all()
