"""What people bring, at the command line: from their own tables, names and tokenizers to a model that is judged."""

import json

import pytest
from kit import SMALL, lts
from tokenizers import Tokenizer, models, pre_tokenizers

from lts_nb.training.corpus import split_documents
from lts_nb.training.tokenizer import train_tokenizer

TEXTS = [f"Document {i} of {i % 9} kinds says {i * i}.\n" * 12 for i in range(150)]
QUICK = ["--tokens", 8_000, "--batch-size", 8, "--dtype", "float32", "--json"]


@pytest.fixture(scope="module")
def place(tmp_path_factory, quickly):
    "A folder with a run in it, from a space whose file begins with a mark."
    folder = tmp_path_factory.mktemp("what users bring") / "ca$$h 中文"
    folder.mkdir()
    (folder / "space.json").write_text("\ufeff" + SMALL.to_json(), encoding="utf-8")
    search = ["--prompt-len", 16, "--method", "lts", "--evaluations", 10, "--out", folder / "run"]
    code, _, err = lts("search", "--space", folder / "space.json", *search)
    assert code == 0, err
    rows = [json.dumps(dict(title=f"no. {i}", body=text)) for i, text in enumerate(TEXTS)]
    (folder / "d.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    tokenizer = json.loads(train_tokenizer(split_documents("texts", TEXTS), 280))
    tokenizer["model"]["vocab"]["</s>"] = tokenizer["model"]["vocab"].pop("<|endoftext|>")
    tokenizer["added_tokens"][0]["content"] = "</s>"
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "<|endoftext|>": 1, "Document": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(folder / "words.json"))
    return folder


def test_a_table_and_a_tokenizer(place):
    own = ["--corpus", place / "d.jsonl", "--tokenizer", place / "tokenizer.json", "--end-of-text", "</s>"]
    code, out, err = lts("train", place / "run", *own, *QUICK, "--out", place / "own")
    assert (code, out) == (2, "") and "has several columns with texts (title, body); name one with text_column" in err
    own += ["--text-column", "body"]
    code, out, err = lts("train", place / "run", *own, *QUICK, "--out", place / "own")
    assert code == 0 and "corpus d.jsonl: 1 file (.jsonl 1), column 'body'; 150 documents" in err, err
    assert json.loads(out)[0]["bits_per_byte"] > 0
    rest = ["--corpus", place / "d.jsonl", "--text-column", "body", "--window", 16, "--json"]
    code, out, err = lts("eval", place / "own", *rest)
    assert code == 0 and "since the model was trained on it" in err, err
    assert json.loads(out)["perplexity"]["documents"] < 20


def test_words_that_are_not_known(place):
    words = ["--corpus", place / "d.jsonl", "--text-column", "body", "--tokenizer", place / "words.json"]
    code, out, err = lts("train", place / "run", *words, *QUICK, "--out", place / "words")
    assert code == 0 and json.loads(out)[0]["bits_per_byte"] is None, err
    assert "the tokenizer loses characters ('" in err and "so there will be no figure per byte" in err
    code, out, err = lts("eval", place / "words", *words[:4], "--window", 16)
    assert code == 0, err
    refused = [line.split("  ")[0] for line in out.splitlines() if "none, since the tokenizer loses characters" in line]
    assert refused == ["bits per byte", "byte perplexity"]
    kept = json.loads((place / "words" / "evaluation.json").read_text(encoding="utf-8"))["perplexity"]
    assert all(entry["bits_per_byte"] is None and entry["token_perplexity"] > 0 for entry in kept.values())


@pytest.mark.parametrize(
    "options, reason",
    [
        (["--end-of-text", "</s>"], "end_of_text='</s>': needs tokenizer, whose token it is"),
        (["--tokenizer", ""], "tokenizer='': there is no such file or folder"),
        (["--corpus", ""], "corpus='': must name a folder or a file"),
        (["--tokenizer", "{place}/tokenizer.json"], "name one with end_of_text, such as '</s>'"),
        (["--tokenizer", "{place}/words.json", "--end-of-text", "end"], "end_of_text='end': must be a token of"),
        (["--corpus", "{place}/d.jsonl", "--text-column", "bdoy"], "text_column='bdoy': must be one of title, body"),
    ],
)
def test_wrong_options(place, options, reason):
    options = [option.format(place=place) for option in options]
    code, out, err = lts("train", place / "run", *QUICK, "--out", place / "wrong", *options)
    assert (code, out) == (2, "") and reason in err.splitlines()[-1] and not (place / "wrong").exists()


def test_a_disk_that_is_full_while_a_model_is_built(place, tmp_path, monkeypatch):
    "In safetensors' own words, not as an OSError; nothing is left that would stand in the next call's way."
    from safetensors import SafetensorError
    from transformers import PreTrainedModel

    def fail(*args, **options):
        raise SafetensorError("Error while serializing: I/O error: No space left on device")

    best = json.loads(lts("pick", place / "run", "--json")[1])["id"]
    with monkeypatch.context() as patched:
        patched.setattr(PreTrainedModel, "save_pretrained", fail)
        code, out, err = lts("build", place / "run", best, "--out", tmp_path / "model")
    assert (code, out, err.count("\n")) == (2, "", 1) and "No space left on device); nothing is left of it" in err
    assert not list(tmp_path.iterdir())
    assert lts("build", place / "run", best, "--out", tmp_path / "model")[0] == 0
