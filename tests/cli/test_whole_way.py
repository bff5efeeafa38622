"""From a search to a model, through the command line alone, by both kinds of search and by a loss law."""

import json

import numpy as np
import pytest
from kit import lts

from lts_nb.frontier.loss_law import fit_law
from lts_nb.space.space import SearchSpace

pytestmark = pytest.mark.usefixtures("quickly")
SMALL = dict(n_layer=[1, 2], d_model=[32, 64], d_inner=[64, 128], n_head=[2], vocab_size=[300], max_len=32)
SAMPLED = ["candidates.csv", "frontier.csv", "frontier.html", "frontier.png", "run.json", "store.sqlite"]
DEPTH, WIDTH = (axis.ravel() for axis in np.meshgrid([1, 2, 3, 4], [32, 64, 96]))
PARAMS = 12 * DEPTH * WIDTH**2


def call(*args) -> str:
    "What a command prints that goes well."
    code, out, err = lts(*args)
    assert code == 0, err
    return out


@pytest.fixture
def small_space(tmp_path):
    path = tmp_path / "space.json"
    path.write_text(SearchSpace.preset("gpt2", **SMALL).to_json(), encoding="utf-8")
    return path


def test_sampled_search_to_model(small_space, tmp_path):
    run, options = tmp_path / "run", ["--method", "lts", "--evaluations", 8, "--prompt-len", 16]
    found = json.loads(call("search", *options, "--space", small_space, "--out", run, "--json"))["frontier"]
    assert found and all(row["latency_s"] > 0 for row in found)
    assert sorted(path.name for path in run.iterdir()) == SAMPLED
    assert json.loads(call("show", run, "--json"))["frontier"] == found
    best = json.loads(call("pick", run, "--json"))
    built = json.loads(call("build", run, best["id"], "--out", tmp_path / "model", "--json"))
    assert built["total_params"] == best["total_params"]
    assert json.loads(call("search", "--out", run, "--resume", "--json"))["frontier"] == found


@pytest.fixture
def searched_by_law(tmp_path):
    """A run by a loss law that falls with depth, the law, and what was found; the law's file is gone.

    Without ties, so that nothing is picked for what this machine's noise hides.
    """
    law = fit_law(DEPTH, WIDTH, PARAMS, 2 + DEPTH**-0.5 + (PARAMS / 1e5) ** -0.25)
    law_file, space_file, run = (tmp_path / name for name in ("law.json", "space.json", "run"))
    law_file.write_text(law.to_json(), encoding="utf-8")
    space = SearchSpace.preset("gpt2", **SMALL | dict(n_layer=[1, 2, 3], d_inner=[64, 128, 256]))
    space_file.write_text(space.to_json(), encoding="utf-8")
    options = ("--prompt-len", 16, "--proxy", law_file, "--ties", "none", "--out", run, "--json")
    out = call("search", "--space", space_file, *options)
    law_file.unlink()
    return run, law, json.loads(out)["frontier"]


def test_a_loss_law_as_quality(searched_by_law, tmp_path):
    run, law, found = searched_by_law
    columns = {name: np.array([row[name] for row in found]) for name in ("n_layer", "d_model", "decoder_params")}
    np.testing.assert_allclose([row["predicted_loss"] for row in found], law.predict(**columns), atol=1e-8)
    shown = call("show", run, "--at-most", 5)
    assert "by predicted loss (loss = 2.000 + " in shown and "predicted loss [nats]" in shown
    assert "decoder parameters, predicted loss " in call("pick", run)
    assert json.loads(call("pick", run, "--max-loss", 4, "--json"))["d_inner"] == [256] * 3
    assert "no member of the frontier meets it" in lts("pick", run, "--max-loss", 2)[2]
    assert json.loads(call("search", "--out", run, "--resume", "--json"))["frontier"] == found
    other = tmp_path / "other.json"
    other.write_text(fit_law(DEPTH, WIDTH, PARAMS, 3 - DEPTH / 10).to_json(), encoding="utf-8")
    code, out, err = lts("search", "--out", run, "--resume", "--proxy", other)
    assert (code, out, err.count("\n")) == (2, "", 1) and "was begun with predicted loss (loss = 2.000 + " in err
