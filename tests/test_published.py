"""Figures that notebooks quote from published results, recomputed where those results are at hand."""
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from lts_nb.architecture import Architecture
from lts_nb.params import count

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


def transformer_xls():
    "`(experiment, architecture, stored counts)` of every published Transformer-XL. Cutoffs end with the vocabulary's size there."
    with zipfile.ZipFile(ARCHIVE) as z:
        read = lambda name: yaml.load(z.read(name), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        stored = {n.rsplit("/", 1)[0]: read(n) for n in z.namelist() if n.endswith("/params_summary.yaml") and "TransXL" in n}
        for name in z.namelist():
            folder = next((f for f in stored if name.startswith(f + "/")), None)
            if not folder or not name.endswith("model_config.yaml"): continue
            place, content = name[len(folder) + 1:].rsplit("/", 1)[0], read(name)
            many = {place: content} if "d_model" in content else {f"{place}/{k}": c for k, c in content.items()}
            for id, c in many.items():
                d, L = c["d_model"], c["n_layer"]
                heads, inner = (v if isinstance(v, list) else [v]*L for v in (c["n_head"], c["d_inner"]))
                yield folder.rsplit("/", 1)[1], Architecture("transformer-xl", d, heads, inner, vocab_size=c["n_token"], d_embed=None if c["d_embed"] < 1 else c["d_embed"],
                                                             div_val=c["div_val"], cutoffs=c["cutoffs"][:-1]), stored[folder][id.replace("/", "_")]


@pytest.mark.skipif(not ARCHIVE.exists(), reason="the published results are not here")
def test_transformer_xl_parameters():
    "Every published count of decoder parameters, to the unit; and real models of some."
    import torch
    from lts_nb.backbones.transformer_xl import LtsTransformerXLConfig, LtsTransformerXLForCausalLM
    seen, differ = 0, []
    for experiment, a, stored in transformer_xls():
        c = count(a)
        if (c.attention, c.ffn, c.decoder) != (stored["Attn"], stored["FFN"], stored["nonembedding"]): differ.append((experiment, a, c, stored))
        if seen % 60 == 0:
            with torch.device("meta"): m = LtsTransformerXLForCausalLM(LtsTransformerXLConfig(
                vocab_size=a.vocab_size, d_model=a.d_model, n_layer=a.n_layer, n_head=a.n_head[0], layer_n_head=list(a.n_head), layer_n_inner=list(a.d_inner), d_embed=a.d_embed, div_val=a.div_val, cutoffs=list(a.cutoffs)))
            assert (sum(p.numel() for p in m.transformer.h.parameters()), m.num_parameters()) == (c.decoder, c.total)
        seen += 1
    assert not differ, f"{len(differ)} differ, first {differ[0]}"
    assert seen == 599
