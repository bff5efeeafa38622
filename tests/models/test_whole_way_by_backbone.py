"The whole way for every backbone: profile, exact frontier, measurement, folder, choice, model."

import json

import numpy as np
import pytest
import torch
from kit import lts, slow_but

from lts_nb.core.workload import Workload
from lts_nb.searches.result import SearchResult
from lts_nb.space.counts import count
from lts_nb.space.memory import kv_cache_bytes, peak_bytes
from lts_nb.space.space import SearchSpace

pytestmark = pytest.mark.usefixtures("quickly")
SMALL = dict(n_layer=[2, 4], d_model=[64], d_inner=[128, 256], vocab_size=[1000], max_len=64)
SPACES = {
    "gpt2": dict(n_head=[2, 4]),
    "transformer-xl": dict(n_head=[2, 4], cutoffs=[200, 500], div_val=[1, 4]),
    "opt": dict(n_head=[2, 4], d_embed=[0, 32]),
    "llama": dict(n_head=[2, 4], n_kv_head=[1, 2], d_head=32),
    "lfm2": dict(n_head=[4], n_kv_head=[2], d_head=32),
    "gpt2-edges": dict(n_head=[2], share=[1, 2]),
}


def small_space(name, folder):
    "A preset with few choices, and the path of its file."
    space, path = SearchSpace.preset(name, **SMALL | SPACES[name]), folder / "space.json"
    path.write_text(space.to_json(), encoding="utf-8")
    return space, path


def run(*arguments):
    "What a command prints; it must succeed."
    code, out, err = lts(*arguments)
    assert code == 0, err
    return out


@pytest.mark.parametrize("name", slow_but(SPACES, "lfm2", "gpt2-edges"))
def test_search_and_build(name, tmp_path):
    space, path = small_space(name, tmp_path)
    out, workload = tmp_path / "run", Workload(prompt_len=32, new_tokens=8)
    run("search", "--space", path, "--prompt-len", 32, "--new-tokens", 8, "--out", out)
    run("pick", out, "--json")
    result = SearchResult.load(out)
    frontier, members = result.frontier, [result.architecture(i) for i in result.frontier.id]
    assert space.contains(result.full_frontier.population).all() and all(space.contains(a) for a in members)
    assert frontier.decoder_params.tolist() == [count(a).decoder for a in members]
    assert frontier.kv_cache_bytes.tolist() == [kv_cache_bytes(a, context=40) for a in members]
    assert np.allclose(frontier.peak_bytes, [peak_bytes(a, workload) for a in members], rtol=2e-3)
    run("build", out, frontier.id[0][:8], "--out", tmp_path / "model")
    check_model(tmp_path / "model", members[0])


def check_model(folder, architecture):
    "A folder opens as the model of an architecture, which generates."
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    stored = json.loads((folder / "architecture.json").read_text(encoding="utf-8"))
    assert stored["backbone"] == architecture.backbone and model.num_parameters() == count(architecture).total
    made = model.generate(torch.arange(1, 5)[None], max_new_tokens=3, do_sample=False, pad_token_id=0)
    assert made.shape == (1, 7)


def test_other_objectives(tmp_path):
    "A frontier of new tokens and KV cache, from a profile; `pick` by both."
    _, path = small_space("llama", tmp_path)
    device, out = tmp_path / "device.json", tmp_path / "run"
    objectives = ("decoder_params", "decode_s", "kv_cache_bytes")
    run("profile", "--space", path, "--prompt-len", 48, "--new-tokens", 8, "--held-out", 0, "--out", device)
    run("search", "--profile", device, "--objectives", ",".join(objectives), "--out", out)
    frontier = SearchResult.load(out).full_frontier
    assert frontier.objectives == objectives
    assert frontier.F[:, 2].tolist() == [kv_cache_bytes(a, context=56) for a in frontier.population]
    most = float(np.median(frontier.F[:, 2]))
    assert json.loads(run("pick", out, "--max-kv-cache-mb", most / 1e6, "--json"))["kv_cache_bytes"] <= most
    code, _, err = lts("pick", out, "--max-latency-s", 1)
    assert code == 2 and "latency was no objective of this search; it takes --max-decode-s" in err
    assert lts("search", "--profile", device, "--objectives", "speed,decode_s", "--out", tmp_path / "other")[0] == 2
