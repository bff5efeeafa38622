"""Figures that notebooks quote from published results, recomputed where those results are at hand."""
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

ARCHIVE = Path(__file__).parents[2]/"shared"/"data"/"archai-neurips-lts-saved-logs.zip"


@pytest.mark.skipif(not ARCHIVE.exists(), reason="the published results are not here")
def test_law_of_the_tutorial():
    "ln perplexity of 200 random GPT-2s against attention and feed-forward parameters."
    with zipfile.ZipFile(ARCHIVE) as z:
        folder = next(n for n in z.namelist() if n.endswith("random_GPT2_wt103/"))
        read = lambda name: yaml.safe_load(z.read(name))
        ppl, rows = read(folder + "ppl_summary.yaml"), []
        for name in z.namelist():
            if name.startswith(folder) and name.endswith("model_config.yaml"):
                c, id = read(name), name[len(folder):].rsplit("/", 1)[0].replace("/", "_")
                rows.append((4*c["n_layer"]*c["d_model"]**2, 2*c["d_model"]*sum(c["d_inner"]), ppl[id]["valid_ppl"]))
    attention, ffn, y = np.log(np.array(rows, float)).T
    assert len(y) == 200
    law, *_ = np.linalg.lstsq(np.c_[np.ones(200), attention, ffn], y, rcond=None)
    assert np.allclose(law, [6.0431, -.1616, -.0094], atol=6e-5)
