"""A step in parts and in processes, trainings that are killed, damaged, confused with others, or do not fit."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from kit import killed_at, slow_but

from lts_nb.core.errors import InputError
from lts_nb.models.build import seeded, twin_of
from lts_nb.space.architecture import Architecture
from lts_nb.training import loop, scaling
from lts_nb.training.checkpoints import step_of
from lts_nb.training.loop import train
from lts_nb.training.recipe import RECIPES, Recipe
from lts_nb.training.scaling import build_for_training, ends_residual_branch, matrices, parameter_groups

CHILD = str(Path(__file__).with_name("child.py"))
FIELDS = dict(d_model=64, n_head=(2, 4), d_inner=(128, 192), vocab_size=300, max_len=32)
HYBRID = FIELDS | dict(n_head=(2, 0), n_kv_head=(1, 0), layer_kind=("attention", "conv"))
ARCHITECTURES = {
    "gpt2": Architecture("gpt2", **FIELDS),
    "opt": Architecture("opt", **FIELDS),
    "transformer-xl": Architecture("transformer-xl", **FIELDS),
    "llama": Architecture("llama", **FIELDS, d_head=16),
    "lfm2": Architecture("lfm2", **HYBRID, d_head=16),
}
# a rate at which rounding errors do not grow
CALM = Recipe(tokens=(3_000,), batch_size=8, seq_len=32, valid_tokens=8_192, dtype="float32", lr=0.001)
# LAMB, dropout, cosine
SMALL = dict(tokens=(8_000,), batch_size=8, seq_len=32, valid_tokens=8_192, dtype="float32")
PAPER = replace(RECIPES["wikitext-103"], **SMALL)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_matrices_start_and_learn_by_their_inputs(name):
    architecture = ARCHITECTURES[name]
    model = build_for_training(architecture, 0)
    for module_name, (module, inputs) in matrices(model).items():
        shrink = (2 * architecture.n_layer) ** -0.5 if ends_residual_branch(module_name) else 1
        assert module.weight.std().item() == pytest.approx(inputs**-0.5 * shrink, rel=0.1)
    groups = parameter_groups(model, 0.001)
    assert sum(parameter.numel() for group in groups for parameter in group["params"]) == model.num_parameters()
    assert {group["lr"] for group in groups} >= {0.001, 0.002, 0.001 * 128 / 192}


@pytest.mark.parametrize("name", slow_but(["gpt2", "opt", "llama"], "gpt2"))
def test_a_stock_model_trains_as_its_twin(name, data, monkeypatch):
    "To the last digit: stock GPT-2 is not known as a causal language model by its class's name."
    alike = replace(ARCHITECTURES[name], n_head=(2, 2), d_inner=(128, 128))
    twin = twin_of(name)
    stock = train(alike, data, CALM)["losses"]
    assert not isinstance(build_for_training(alike, 0), twin.MODEL)
    monkeypatch.setattr(scaling, "build", lambda architecture, seed: twin_model(twin, architecture, seed))
    assert isinstance(build_for_training(alike, 0), twin.MODEL)
    assert train(alike, data, CALM)["losses"] == stock


def twin_model(twin, architecture, seed):
    with seeded(seed):
        return twin.MODEL(twin.config_of(architecture)).eval()


@pytest.mark.parametrize("name", slow_but(ARCHITECTURES, "gpt2"))
def test_a_step_in_parts_is_the_same_step(name, data):
    short = replace(data, train=data.train[: 43 * 32])  # epochs of five steps, and three stretches that fill none
    for tokens in (data, short) if name == "gpt2" else (data,):
        at_once, in_parts = (train(ARCHITECTURES[name], tokens, CALM, parts=parts)["losses"][0] for parts in (1, 4))
        assert at_once == pytest.approx(in_parts, abs=2e-4)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_with_damaged_checkpoints(tmp_path, tiny, data):
    "Once in each budget."
    folder, recipe = tmp_path / "run", replace(PAPER, tokens=(4_000, 8_000))
    for step in (8, 24):
        assert killed_at(step, train, tiny, data, recipe, folder=folder, saves=7) == -9
    *_, older, newest = sorted((folder / "1").iterdir(), key=step_of)
    (newest / "trainer_state.json").write_text('{"best', encoding="utf-8")
    for i, name in enumerate(("model.safetensors", "optimizer.pt"), step_of(older) + 1):
        shutil.copytree(older, cut := older.with_name(f"checkpoint-{i}"))
        os.truncate(cut / name, 100)
    models = {}
    continued = train(tiny, data, recipe, folder=folder, saves=7, receive=lambda model: models.update(continued=model))
    straight = train(tiny, data, recipe, receive=lambda model: models.update(straight=model))
    assert (continued["losses"], continued["curve"]) == (straight["losses"], straight["curve"])
    weights = models["straight"].state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in models["continued"].state_dict().items())


def test_a_folder_belongs_to_one_training(tmp_path, tiny, data):
    train(tiny, data, CALM, folder=tmp_path / "run")
    for change in dict(lr=0.02), dict(tokens=(6_000,)):
        with pytest.raises(InputError, match="was begun with recipe="):
            train(tiny, data, replace(CALM, **change), folder=tmp_path / "run")
    with pytest.raises(InputError, match="was begun with id="):
        train(replace(tiny, d_model=48), data, CALM, folder=tmp_path / "run")
    with pytest.raises(InputError, match="was begun with seed='0'"):
        train(tiny, data, CALM, seed=1, folder=tmp_path / "run")


def test_all_steps_done_and_nothing_saved(tmp_path, tiny, data):
    def fail(model):
        raise OSError(28, "No space left on device")

    models = []
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            train(tiny, data, CALM, folder=tmp_path / "late", receive=fail)
    late = train(tiny, data, CALM, folder=tmp_path / "late", receive=models.append)
    straight = train(tiny, data, CALM)
    assert (late["losses"], late["curve"]) == (straight["losses"], straight["curve"]) and len(models) == 1


def test_random_states_come_back_after_an_error(tiny, data, monkeypatch):
    def fail(*arguments):
        np.random.seed(7)
        raise RuntimeError("broken")

    monkeypatch.setattr(loop, "build_for_training", fail)
    before = np.random.get_state()[1].copy()
    with pytest.raises(RuntimeError, match="broken"):
        train(tiny, data, CALM)
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="gloo as Linux has it")
def test_two_processes_share_each_step(tmp_path, tiny, data, data_file):
    "As `accelerate launch` starts them, with two budgets."
    recipe = replace(CALM, tokens=(3_000, 6_000))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", CHILD]
    command = [*launch, data_file, tmp_path / "run", tiny.to_json(), json.dumps(asdict(recipe))]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    processes, losses, curve = json.loads(done.stdout.splitlines()[-1])
    single = train(tiny, data, recipe)
    assert processes == 2
    np.testing.assert_allclose(losses, single["losses"], atol=2e-4, rtol=0)
    np.testing.assert_allclose(curve, single["curve"], atol=2e-3, rtol=0)


def test_shared_checkpoints_need_a_folder(tiny, data, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="folder=None: must be a folder that all processes see"):
        train(tiny, data, CALM)


def test_a_step_that_does_not_fit(tiny, data, monkeypatch):
    def build_in_little_memory(*arguments):
        def refuse(module, given, named):
            if len(named.get("input_ids", given[0] if given else None)) > 2:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

        model = build_for_training(*arguments)
        model.register_forward_pre_hook(refuse, with_kwargs=True)
        return model

    monkeypatch.setattr(loop, "build_for_training", build_in_little_memory)
    says = "batch_size=8: a step does not fit in memory; 2 sequences at a time do, which takes parts=4"
    with pytest.raises(InputError, match=says):
        train(tiny, data, CALM)
    assert train(tiny, data, CALM, parts=4)["losses"][0] < 7


def test_parts_must_divide_a_step(tiny, data):
    with pytest.raises(InputError, match="batch_size=8: must be a multiple of 3 parts × 1 processes"):
        train(tiny, data, CALM, parts=3)


def test_no_number_is_a_result(tiny, data, monkeypatch):
    def build_broken(*arguments):
        model = build_for_training(*arguments)
        model.transformer.ln_f.weight.data[0] = np.nan
        return model

    said = []
    monkeypatch.setattr(loop, "build_for_training", build_broken)
    found = train(tiny, data, replace(CALM, tokens=(3_000, 6_000)), say=said.append, receive=pytest.fail)
    assert np.isnan(found["losses"]).all() and len(found["curve"]) == 1
    assert sum(line.startswith("diverged at step 1: ") for line in said) == 2
