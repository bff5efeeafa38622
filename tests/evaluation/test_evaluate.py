"""Results in a model's folder: measured again, on its own training text, and where nothing can be written."""

import json

import pytest
from evaluation_samples import corpus, tokenizer, trained, write_task

from lts_nb.evaluation.evaluate import evaluate
from lts_nb.evaluation.examples import save_example
from lts_nb.evaluation.record import finite, read_evaluations, report, weights_digest
from lts_nb.training.corpus import get_corpus


@pytest.fixture
def folder(tmp_path):
    return save_example(tmp_path / "model", trained(), tokenizer())


@pytest.fixture
def text(tmp_path):
    (tmp_path / "own.txt").write_text("\n".join(corpus().valid[:12]), encoding="utf-8")
    return tmp_path / "own.txt"


def test_both(folder, text, tmp_path):
    pytest.importorskip("lm_eval")
    (own := tmp_path / "tasks").mkdir()
    write_task(own)
    said = []
    found = evaluate(folder, text, "goes_on", shots=(0, 1), limit=4, include=own, say=said.append)
    assert found["filed"] and said[0].startswith("own.txt: 1 document, ") and "nats a token" in said[1]
    evaluate(folder, text, stride=64, line_ends=True)
    evaluate(folder, text, stride=64, line_ends=True)  # the same again
    evaluate(folder, tasks="goes_on", shots=0, limit=3, seed=3, include=own)
    kept = read_evaluations(folder)
    first, second = kept["perplexity"]
    assert first.startswith("own.txt ") and first.endswith(" window 64 stride 32")
    assert second.endswith(" window 64 stride 64 line ends")
    assert list(kept["accuracy"])[:2] == [f"goes_on 0-shot {metric} first 4 seed 0" for metric in ("acc", "acc_norm")]
    assert len(kept["accuracy"]) == 6
    entries = [entry for kind in kept.values() for entry in kind.values()]
    assert {entry["weights"] for entry in entries} == {weights_digest(folder, trained())}
    assert kept["perplexity"][first] == finite(found["perplexity"]) | dict(weights=entries[0]["weights"])
    assert "goes_on" in report(found["perplexity"], found["accuracy"])


def test_too_short_for_an_error(folder, tmp_path):
    (tmp_path / "some.txt").write_text("naïve\n", encoding="utf-8")
    evaluate(folder, tmp_path / "some.txt", window=8, stride=2)
    (entry,) = read_evaluations(folder)["perplexity"].values()
    assert entry["nats_per_token_stderr"] is None  # null, not NaN
    json.loads((folder / "evaluation.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_own_training_text(folder, text):
    "Trained on this very text, under whatever name, or on another one."
    own, said = get_corpus(str(text)), []
    for sha256, documents in ((own.sha256, len(own.valid)), ("another", 1)):
        (folder / "training.json").write_text(json.dumps(dict(corpus_sha256=sha256)), encoding="utf-8")
        assert evaluate(folder, text, say=said.append)["perplexity"]["documents"] == documents
    assert sum("own.txt, held out: " in line and ", since the model was trained on it" in line for line in said) == 1


def test_nothing_can_be_written(folder, text):
    (folder / "evaluation.part.json").mkdir()  # stands in the way
    said = []
    found = evaluate(folder, text, say=said.append)
    assert found["perplexity"]["tokens"] > 1 and not found["filed"]
    assert "evaluation.json: cannot be written (" in said[-1]
