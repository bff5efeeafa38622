"""Figures that notebooks quote from published results, recomputed where those results are at hand."""

import os
from pathlib import Path

import numpy as np
import pytest

from lts_nb.study.published import ENV, disagreements, published
from lts_nb.study.published_figures import published_table

ARCHIVE = Path(
    os.environ.get(ENV) or Path(__file__).parents[2] / "shared" / "data" / "archai-neurips-lts-saved-logs.zip"
)
pytestmark = pytest.mark.skipif(
    not (os.environ.get(ENV) or ARCHIVE.exists()), reason="the published results are not here"
)


@pytest.fixture(scope="module")
def frame():
    return published(ARCHIVE)


def test_law_of_the_tutorial(frame):
    "ln perplexity of 200 random GPT-2s against attention and feed-forward parameters."
    c = frame[frame.experiment == "random_GPT2_wt103"]
    d, L, S = np.array([(a.d_model, a.n_layer, sum(a.d_inner)) for a in c.architecture], float).T
    assert len(c) == 200
    law, *_ = np.linalg.lstsq(np.c_[np.ones(200), np.log(4 * L * d**2), np.log(2 * d * S)], np.log(c.perplexity))
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

    from lts_nb.models.transformer_xl import LtsTransformerXLConfig, LtsTransformerXLForCausalLM

    for r in frame[frame.backbone == "transformer-xl"][::60].itertuples():
        a = r.architecture
        with torch.device("meta"):
            m = LtsTransformerXLForCausalLM(
                LtsTransformerXLConfig(
                    vocab_size=a.vocab_size,
                    d_model=a.d_model,
                    n_layer=a.n_layer,
                    n_head=a.n_head[0],
                    layer_n_head=list(a.n_head),
                    layer_n_inner=list(a.d_inner),
                    d_embed=a.d_embed,
                    div_val=a.div_val,
                    cutoffs=list(a.cutoffs),
                )
            )
        assert (sum(p.numel() for p in m.transformer.h.parameters()), m.num_parameters()) == (
            r.stored_decoder_params,
            r.total_params,
        )


def test_table(frame):
    "Correlations that were recomputed from the archive independently of this code."
    known = {
        "random_GPT2_lm1b": (200, 0.986, 0.913, 0.925, 0.95, 0.944),
        "random_GPT2_wt103": (200, 0.967, 0.847, 0.574, 0.70, 0.737),
        "random_TransXL_lm1b": (183, 0.999, 0.976, 0.922, 0.89, 0.999),
        "random_TransXL_wt103": (200, 0.974, 0.861, 0.713, 0.60, 0.261),
        "random_TransXL_wt103_homogeneous": (98, 0.950, 0.817, 0.667, 0.78, 0.332),
    }
    table = published_table(
        frame[frame.kind == "random"], "stored_decoder_params", "stored_total_params", resamples=1
    ).set_index("experiment")
    assert {
        e: (r.n, round(r.rho, 3), round(r.tau, 3), round(r.rho_top10, 3), round(r.cr10, 2), round(r.rho_total, 3))
        for e, r in table.iterrows()
    } == known
