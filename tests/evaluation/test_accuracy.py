"""Nothing but the result remains of an evaluation, it depends on nothing else, and what is refused is one line."""

import copy
import logging
import os
import random
import socket

import numpy as np
import pytest
import torch
from evaluation_samples import add_definition, tokenizer, trained, write_task

pytest.importorskip("lm_eval")

from lts_nb.core.errors import InputError  # noqa: E402
from lts_nb.evaluation.accuracy import accuracy  # noqa: E402
from lts_nb.evaluation.tasks import load_tasks  # noqa: E402
from lts_nb.models.build import build  # noqa: E402
from lts_nb.space.architecture import Architecture  # noqa: E402


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    write_task(folder)
    add_definition(folder, "twin")
    add_definition(folder, "unshown", new="num_fewshot: 0\n")
    add_definition(folder, "lost", "ask.jsonl", "gone.jsonl")
    add_definition(folder, "wrong", "{{begin}}", "{{begin.nothing.at_all}}")
    add_definition(folder, "long", "{{choices}}", "{{[choices[0]*20]*2}}")
    writing = 'output_type: generate_until\ngeneration_kwargs: {until: ["\\n"], max_gen_toks: 64}'
    add_definition(folder, "writes", "output_type: multiple_choice", writing)
    return folder


@pytest.fixture(scope="module")
def result(own):
    return accuracy(trained(), tokenizer(), "goes_on", include=own)


def values(frame, shots=1):
    return frame[frame.shots == shots].value.tolist()


def test_no_trace(own, monkeypatch):
    def no_network(self, address):
        raise AssertionError(f"asked the network: {address}")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    random.random(), np.random.random(), torch.rand(1)  # not where a seed begins
    before, here = (random.getstate(), np.random.get_state()[1:3], torch.get_rng_state()), os.getcwd()
    trained().train()
    try:
        accuracy(trained(), tokenizer(), "goes_on", limit=2, include=own)
        assert trained().training
    finally:
        trained().eval()
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[2])
    np.testing.assert_equal(np.random.get_state()[1:3], before[1])
    assert os.getcwd() == here and not logging.root.manager.disable and "DISABLE_MULTIPROC" not in os.environ
    copied = copy.deepcopy(tokenizer())
    copied.pad_token = None
    accuracy(trained(), copied, "goes_on", limit=2, include=own)
    assert copied.pad_token is None


def test_whatever_else_is_asked(own, result):
    "However many answers at once, and beside whichever tasks."
    np.testing.assert_allclose(values(accuracy(trained(), tokenizer(), "goes_on", 1, None, own, 3)), values(result))
    both = accuracy(trained(), tokenizer(), ("twin", "goes_on"), shots=(1, 0), include=own)
    assert values(both[both.task == "goes_on"]) == values(result)
    assert values(both[both.task == "twin"], 0) == values(result, 0)
    assert both.task.unique().tolist() == ["twin", "goes_on"]


def test_first_questions(own):
    said = []
    few = accuracy(trained(), tokenizer(), "goes_on", shots=0, limit=5, include=own, say=said.append)
    assert few.n.tolist() == [5, 5] and said == ["goes_on, 0 shots"]


def test_seed_draws_the_examples(own):
    items = write_task(own)
    task = load_tasks("goes_on", own)["goes_on"]
    for seed in (0, 5):
        task.set_config("num_fewshot", 1)
        task.set_fewshot_seed(seed)
        task.build_all_requests(limit=3, rank=0, world_size=1)
        draw = random.Random(seed)
        for request in task.instances[::2]:
            (example,) = draw.sample(items[:4], 1)
            shown = f"{example['begin']} {example['choices'][example['right']]}\n\n"
            assert request.args[0].startswith(shown)


@pytest.mark.parametrize(
    "options, says",
    [
        (dict(shots=5), r"tasks='goes_on': cannot be evaluated with shots=5 \(Sample larger"),
        (dict(shots=-1), "shots=-1: must be a whole number from 0"),
        (dict(limit=0), "limit=0"),
        (dict(batch_size=0), "batch_size=0"),
        (dict(seed=-1), "seed=-1"),
        (dict(tasks="unshown"), "shots=1: must be 0 for unshown"),
        (dict(tasks="lost"), r"tasks='lost': its definition or data cannot be read \(FileNotFoundError"),
        (dict(tasks="wrong"), "tasks='wrong': its definition or data cannot be read"),
        (dict(tasks="long"), r"'long': cannot be evaluated with shots=0 \(an answer does not fit the model\)"),
        (dict(tasks="writes"), r"'writes': cannot be evaluated with shots=0 \(Invalid configuration"),
    ],
)
def test_refused(own, options, says):
    here = os.getcwd()
    with pytest.raises(InputError, match=says):
        accuracy(trained(), tokenizer(), **dict(tasks="goes_on", include=own) | options)
    assert os.getcwd() == here


def test_task_without_examples(own):
    assert np.isfinite(accuracy(trained(), tokenizer(), "unshown", 0, limit=2, include=own).value).all()


def test_no_end_of_text(own):
    plain = copy.deepcopy(tokenizer())
    plain.bos_token = plain.eos_token = None
    vocabulary = {token: i for token, i in plain.get_vocab().items() if i != tokenizer().eos_token_id}
    plain.get_vocab = lambda: vocabulary
    with pytest.raises(InputError, match="tokenizer: has no end-of-text token"):
        accuracy(trained(), plain, "goes_on", include=own)


def test_vocabulary_too_small(own):
    small = build(Architecture("gpt2", 16, (2,), (32,), vocab_size=399, max_len=16))
    with pytest.raises(InputError, match="numbers tokens up to 399"):
        accuracy(small, tokenizer(), "goes_on", include=own)


@pytest.mark.parametrize(
    "error, raised, says",
    [
        (torch.OutOfMemoryError("CUDA out of memory"), InputError, "batch_size=8: does not fit in memory"),
        (ValueError("operands could not be broadcast"), ValueError, "^operands could not be broadcast"),
    ],
)
def test_errors_of_the_model(own, error, raised, says):
    "Lack of memory is said; a bug keeps its traceback."

    def fail(*_):
        raise error

    hook = trained().register_forward_pre_hook(fail)
    try:
        with pytest.raises(raised, match=says) as caught:
            accuracy(trained(), tokenizer(), "goes_on", limit=2, include=own)
        assert type(caught.value) is raised
    finally:
        hook.remove()
