"Published models on the command line: built, and searched around."

import json

import pytest
from kit import lts, slow_but
from published_configs import GPT2, QWEN, SMOLLM2

from lts_nb.space.architecture import Architecture
from lts_nb.space.space import SearchSpace

SMALL = GPT2 | dict(n_layer=2, n_embd=128, n_head=2, vocab_size=300, n_positions=64, attn_pdrop=0.0)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SMALL), encoding="utf-8")
    return path


def test_a_configuration_is_built(config, tmp_path):
    expected = Architecture.from_config(SMALL)
    code, out, err = lts("build", config, "--out", tmp_path / "model", "--json")
    assert (code, json.loads(out)["id"]) == (0, expected.id)
    assert err == "not carried over, since it changes no size: attn_pdrop=0.0\n"
    for i, source in enumerate((tmp_path / "model", tmp_path / "model" / "config.json", expected.to_json())):
        code, out, err = lts("build", source, "--out", tmp_path / str(i), "--json")
        assert (code, json.loads(out)["id"], err) == (0, expected.id, "")


def test_what_cannot_be_built_is_one_line(config, tmp_path):
    run, other = tmp_path / "run", tmp_path / "other.json"
    run.mkdir()
    (run / "run.json").write_text("{}", encoding="utf-8")
    other.write_text(json.dumps(SMOLLM2 | dict(mlp_bias=True)), encoding="utf-8")
    for args, said in {
        (run,): "error: id: is missing; a run folder holds many architectures",
        (config, "abc"): f"error: run={str(config)!r}: is not a run folder",
        (other,): "error: mlp_bias=True: must be False",
        ("nothing.json",): "error: source='nothing.json': no such file or folder",
    }.items():
        code, out, err = lts("build", *args, "--out", tmp_path / "model")
        assert (code, out) == (2, "") and err.startswith(said) and err.count("\n") == 1
        assert not (tmp_path / "model").exists()


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize("as_text", slow_but([False, True], True))
def test_a_search_around_a_model(config, as_text, tmp_path):
    space = config.read_text(encoding="utf-8") if as_text else config.parent
    options = ("--method", "random", "--evaluations", 2, "--prompt-len", 8, "--json")
    code, out, err = lts("search", "--space", space, "--out", tmp_path / "run", *options)
    expected = SearchSpace.around(SMALL)
    assert code == 0 and err.startswith(repr(expected) + "; not carried over, since it changes no size: attn_pdrop=0.0")
    assert json.loads(out)["run"]["space"] == json.loads(expected.to_json())


def test_a_space_given_as_text_is_not_blamed_on_another_field(tmp_path):
    for text, said in {
        json.dumps(QWEN)[:-1]: "error: space='{",
        "no json at all " * 300: "error: space='no json",
        json.dumps(QWEN | dict(model_type="bert")): "error: model_type='bert'",
    }.items():
        code, out, err = lts("search", "--space", text, "--out", tmp_path / "run")
        assert (code, out) == (2, "") and err.startswith(said) and err.count("\n") == 1 and len(err) < 500
