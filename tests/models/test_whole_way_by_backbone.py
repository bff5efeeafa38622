"The whole way for every backbone: profile, exact frontier, measurement, folder, choice, model."

import json

import numpy as np
import pytest
import torch

from lts_nb.cli.main import main
from lts_nb.searches.result import SearchResult
from lts_nb.space.counts import count
from lts_nb.space.memory import kv_cache_bytes, peak_bytes
from lts_nb.space.space import SearchSpace

SMALL = dict(n_layer=[2, 4], d_model=[64], d_inner=[128, 256], vocab_size=[1000], max_len=64)
SPACES = {
    "gpt2": dict(n_head=[2, 4]),
    "transformer-xl": dict(n_head=[2, 4], cutoffs=[200, 500], div_val=[1, 4]),
    "opt": dict(n_head=[2, 4], d_embed=[0, 32]),
    "llama": dict(n_head=[2, 4], n_kv_head=[1, 2], d_head=32),
    "lfm2": dict(n_head=[4], n_kv_head=[2], d_head=32),
    "gpt2-edges": dict(n_head=[2], share=[1, 2]),
}


@pytest.mark.parametrize("name", SPACES)
def test_search_and_build(name, tmp_path, capsys):
    space = SearchSpace.preset(name, **SMALL | SPACES[name])
    (tmp_path / "space.json").write_text(space.to_json())
    out = tmp_path / "run"
    assert (
        main(
            [
                "search",
                "--space",
                str(tmp_path / "space.json"),
                "--prompt-len",
                "32",
                "--new-tokens",
                "8",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    assert main(["pick", str(out), "--json"]) == 0
    result = SearchResult.load(out)
    frontier = result.frontier
    archs = [result.architecture(i) for i in frontier.id]
    assert space.contains(result.whole.population).all() and all(space.contains(a) for a in archs)
    assert frontier.decoder_params.tolist() == [count(a).decoder for a in archs]
    assert frontier.kv_cache_bytes.tolist() == [kv_cache_bytes(a, context=40) for a in archs]
    assert np.allclose(frontier.peak_bytes, [peak_bytes(a, prompt_len=32, new_tokens=8) for a in archs], rtol=2e-3)
    model = tmp_path / "model"
    assert main(["build", str(out), frontier.id[0][:8], "--out", str(model)]) == 0
    from transformers import AutoModelForCausalLM

    m = AutoModelForCausalLM.from_pretrained(model).eval()
    assert (
        m.num_parameters() == count(archs[0]).total
        and json.loads((model / "architecture.json").read_text())["backbone"] == space.backbone
    )
    assert m.generate(torch.arange(1, 5)[None], max_new_tokens=3, do_sample=False, pad_token_id=0).shape == (1, 7)


def test_other_objectives(tmp_path, capsys):
    "A frontier of new tokens and KV cache, from a profile; `pick` by both."
    space = SearchSpace.preset("llama", **SMALL | SPACES["llama"])
    (tmp_path / "space.json").write_text(space.to_json())
    assert (
        main(
            [
                "profile",
                "--space",
                str(tmp_path / "space.json"),
                "--prompt-len",
                "48",
                "--new-tokens",
                "8",
                "--held-out",
                "0",
                "--out",
                str(tmp_path / "device.json"),
            ]
        )
        == 0
    )
    out = str(tmp_path / "run")
    assert (
        main(
            [
                "search",
                "--profile",
                str(tmp_path / "device.json"),
                "--objectives",
                "decoder_params,decode_s,kv_cache_bytes",
                "--out",
                out,
            ]
        )
        == 0
    )
    whole = SearchResult.load(out).whole
    assert whole.objectives == ("decoder_params", "decode_s", "kv_cache_bytes")
    assert whole.F[:, 2].tolist() == [kv_cache_bytes(a, context=56) for a in whole.population]
    capsys.readouterr()
    most = float(np.median(whole.F[:, 2]))
    assert main(["pick", out, "--max-kv-cache-mb", str(most / 1e6), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kv_cache_bytes"] <= most
    assert main(["pick", out, "--max-latency-s", "1"]) == 2 and "must be a limit on one of" in capsys.readouterr().err
    assert (
        main(
            ["search", "--profile", str(tmp_path / "device.json"), "--objectives", "speed,decode_s", "--out", out + "2"]
        )
        == 2
    )
