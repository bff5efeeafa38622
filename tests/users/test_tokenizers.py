"""Tokenizers as people have them: holes in their numbers, ends that nobody named, texts that they do not give back."""

import json
import math
from pathlib import Path, PureWindowsPath

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lts_nb.core.errors import InputError
from lts_nb.evaluation.texts import boundary_tokens, to_tokens
from lts_nb.space.architecture import Architecture
from lts_nb.training.corpus import split_documents
from lts_nb.training.model_folder import train_model
from lts_nb.training.recipe import recipe_for
from lts_nb.training.tokenizer import find_loss, load_tokenizer, numbers_needed, spell_again, train_tokenizer
from lts_nb.training.tokens import tokenize

TEXTS = [f"document number {i} of naïve texts\n\tis  here\n" * 20 for i in range(200)]
CORPUS = split_documents("numbered", TEXTS, share=0.1)
TRAINED = train_tokenizer(CORPUS, 280)
TINY = Architecture("gpt2", 32, (2,), (64,), vocab_size=300, max_len=16)
RECIPE = recipe_for(TINY, tokens=1_500, batch_size=4, dtype="float32")


def renumbered(number: int) -> str:
    "The trained tokenizer with another number for its end."
    content = json.loads(TRAINED)
    content["model"]["vocab"]["<|endoftext|>"] = content["added_tokens"][0]["id"] = number
    return json.dumps(content)


@pytest.mark.parametrize("number", [300, 70_000])
def test_numbers_with_holes(tmp_path, number):
    "Judged by the highest number, not by the entries; before anything is read, tokenized or trained."
    (tmp_path / "t.json").write_text(renumbered(number), encoding="utf-8")
    with pytest.raises(InputError, match=f"numbers tokens up to {number:,}: must be below the model's vocab_size=300"):
        train_model(TINY, tmp_path / "out", "no such corpus", RECIPE, tokenizer=tmp_path / "t.json", say=None)
    assert not (tmp_path / "out").exists()
    tokens = tokenize(CORPUS, 0, tmp_path, tmp_path / "t.json")
    assert tokens.vocab_size == number + 1 and tokens.train.max() == number


def test_an_added_token_beyond_the_rest(tmp_path):
    tokenizer = Tokenizer.from_str(TRAINED)
    tokenizer.add_tokens(["<more>"])
    (tmp_path / "t.json").write_text(tokenizer.to_str(), encoding="utf-8")
    assert numbers_needed(Tokenizer.from_str(load_tokenizer(tmp_path / "t.json").text)) == 281


def saved(folder: Path, tokenizer: Tokenizer, **options) -> Path:
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options).save_pretrained(folder)
    return folder


def with_end(end: str) -> Tokenizer:
    content = json.loads(TRAINED)
    content["model"]["vocab"][end] = content["model"]["vocab"].pop("<|endoftext|>")
    content["added_tokens"][0]["content"] = end
    return Tokenizer.from_str(json.dumps(content))


@pytest.mark.parametrize(
    "end, given, reason",
    [
        ("</s>", None, "does not say which token ends a text; name one with end_of_text, such as '</s>'"),
        ("<over>", None, r"name one with end_of_text, after adding one to it, such as '<\|endoftext\|>'"),
        ("<over>", "</s>", "end_of_text='</s>': must be a token of tokenizer="),
    ],
)
def test_an_end_that_nobody_named(tmp_path, end, given, reason):
    (tmp_path / "t.json").write_text(with_end(end).to_str(), encoding="utf-8")
    with pytest.raises(InputError, match=reason):
        load_tokenizer(tmp_path / "t.json", given)
    assert load_tokenizer(tmp_path / "t.json", end).end == end


def test_the_file_in_a_model_folder_knows_its_end(tmp_path):
    folder = saved(tmp_path, with_end("</s>"), eos_token="</s>")
    assert load_tokenizer(folder / "tokenizer.json") == load_tokenizer(folder)
    assert load_tokenizer(folder).end == "</s>"


def test_another_end_is_another_training(tmp_path):
    "Two ends of one tokenizer: neither the cache nor a folder takes one for the other."
    tokenizer = Tokenizer.from_str(TRAINED)
    tokenizer.add_special_tokens(["<|im_end|>"])
    tokenizer.save(str(tmp_path / "t.json"))
    ends = None, "<|im_end|>"
    first, second = (tokenize(CORPUS, 0, tmp_path, load_tokenizer(tmp_path / "t.json", end)) for end in ends)
    assert (first.train[-1], second.train[-1]) == (0, 280)
    options = dict(tokenizer=tmp_path / "t.json", say=None)
    train_model(TINY, tmp_path / "out", CORPUS, RECIPE, **options)
    with pytest.raises(InputError, match="was begun with tokenizer="):
        train_model(TINY, tmp_path / "out", CORPUS, RECIPE, end_of_text="<|im_end|>", **options)


def test_an_end_that_ordinary_text_has(tmp_path):
    (tmp_path / "t.json").write_text(TRAINED, encoding="utf-8")
    with pytest.raises(InputError, match="end_of_text='e': must not be a token that ordinary text becomes"):
        load_tokenizer(tmp_path / "t.json", "e")


def test_a_tokenizer_with_code_of_its_own(tmp_path):
    saved(tmp_path, Tokenizer.from_str(TRAINED), eos_token="<|endoftext|>")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    config |= dict(tokenizer_class="Own", auto_map={"AutoTokenizer": ["own.Own", None]})
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "own.py").write_text("raise SystemExit('was run')", encoding="utf-8")
    with pytest.raises(InputError, match="needs code of its own, which is not run"):
        load_tokenizer(tmp_path)


def test_a_text_without_numbers(tmp_path):
    words = Tokenizer(models.WordLevel({"<|endoftext|>": 0, "document": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "t.json"))
    with pytest.raises(InputError, match="tokenizer: cannot number the text"):
        tokenize(CORPUS, 0, tmp_path, tmp_path / "t.json")


def test_the_end_that_was_trained_is_the_end_that_is_predicted():
    "A vocabulary with two ends: the one that the tokenizer names counts."
    tokenizer = Tokenizer.from_str(TRAINED)
    tokenizer.add_special_tokens(["<|im_end|>"])
    both = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")
    assert boundary_tokens(both) == (280, 280)
    assert to_tokens(both, ("one", "two")).tokens[-1] == 280


@pytest.mark.parametrize("text", ["the end <|endoftext|> of it", "<|endoftext|>"])
def test_what_stands_in_a_text_ends_nothing(tmp_path, text):
    tokens = tokenize(split_documents("speaks of it", [*TEXTS, text * 5]), 0, tmp_path, _trained_file(tmp_path))
    assert int((tokens.train == 0).sum() + (tokens.valid == 0).sum()) == len(TEXTS) + 1
    wrapped = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(TRAINED), eos_token="<|endoftext|>")
    assert (to_tokens(wrapped, ("one", text)).tokens == 0).sum() == 3 and to_tokens(wrapped, text).lost is None


def _trained_file(folder: Path) -> Path:
    (folder / "t.json").write_text(TRAINED, encoding="utf-8")
    return folder / "t.json"


def test_no_lots_are_drawn(tmp_path):
    "Merges that are left out by lot would give other numbers at every call."
    content = json.loads(TRAINED)
    content["model"]["dropout"] = 0.5
    (tmp_path / "t.json").write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    text, _ = load_tokenizer(tmp_path / "t.json")
    assert json.loads(text)["model"]["dropout"] is None


def trained(model, trainer, **parts) -> Tokenizer:
    tokenizer = Tokenizer(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


ENDS = dict(special_tokens=["[UNK]", "<|endoftext|>"], show_progress=False)
SPACES = dict(pre_tokenizer=pre_tokenizers.Metaspace(), decoder=decoders.Metaspace())
BYTES = dict(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False), decoder=decoders.ByteLevel())
ALPHABET = pre_tokenizers.ByteLevel.alphabet()


def byte_level(**parts) -> Tokenizer:
    trainer = trainers.BpeTrainer(vocab_size=290, initial_alphabet=ALPHABET, **ENDS)
    return trained(models.BPE(), trainer, **BYTES | parts)


LOSSLESS = {
    "bytes": byte_level(),
    "bytes with a space in front": byte_level(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "bytes of composed letters": byte_level(normalizer=normalizers.NFC()),
    "bytes with a greeting": byte_level(
        post_processor=processors.TemplateProcessing(single="[UNK] $A", special_tokens=[("[UNK]", 0)])
    ),
}
LOSSY = {
    "words": trained(
        models.WordLevel(unk_token="[UNK]"),
        trainers.WordLevelTrainer(vocab_size=290, **ENDS),
        pre_tokenizer=pre_tokenizers.Whitespace(),
    ),
    "word pieces": trained(
        models.WordPiece(unk_token="[UNK]"),
        trainers.WordPieceTrainer(vocab_size=290, **ENDS),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        normalizer=normalizers.BertNormalizer(),
        decoder=decoders.WordPiece(),
    ),
    "letters that were seen": trained(models.BPE(), trainers.BpeTrainer(vocab_size=290, **ENDS), **SPACES),
    "letters or unknown": trained(
        models.BPE(unk_token="[UNK]", fuse_unk=True), trainers.BpeTrainer(vocab_size=290, **ENDS), **SPACES
    ),
    "lower case": byte_level(normalizer=normalizers.Lowercase()),
    "no ends of lines": byte_level(normalizer=normalizers.Replace("\n", " ")),
    "no accents": byte_level(normalizer=normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])),
    "no white space around": byte_level(normalizer=normalizers.Strip()),
    "compatible letters": byte_level(normalizer=normalizers.NFKC()),
}
HARD = ["Some naïve Text\n\tis  here\n", "中文, ﬁne and 😀"]


@pytest.mark.parametrize("kind", LOSSLESS)
def test_nothing_is_lost(kind):
    apart = ["nai\u0308ve"]  # the same letters, written as letter and accent
    assert find_loss(spell_again(LOSSLESS[kind].to_str(), HARD + apart + TEXTS[:5])) is None


@pytest.mark.parametrize("kind", LOSSY)
def test_figures_per_byte_are_refused(tmp_path, kind):
    "On training and on evaluation, whatever is lost."
    tokenizer = LOSSY[kind]
    assert find_loss(spell_again(tokenizer.to_str(), HARD))
    (tmp_path / "t.json").write_text(tokenizer.to_str(), encoding="utf-8")
    corpus = split_documents("hard", [text + hard for text in TEXTS for hard in HARD], share=0.1)
    tokens = tokenize(corpus, 0, tmp_path, tmp_path / "t.json")
    assert "becomes" in tokens.lost and tokens.bits_per_byte(1.0) != tokens.bits_per_byte(1.0)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    assert to_tokens(wrapped, corpus.valid).lost


def test_a_training_without_figures_per_byte(tmp_path):
    (tmp_path / "t.json").write_text(LOSSY["words"].to_str(), encoding="utf-8")
    said = []
    record = train_model(TINY, tmp_path / "out", CORPUS, RECIPE, tokenizer=tmp_path / "t.json", say=said.append)
    assert record["loss"] > 0 and record["bits_per_byte"] != record["bits_per_byte"]
    assert said[0].startswith("corpus numbered: 200 documents") and "so there will be no figure per byte" in said[1]


def test_the_bytes_of_what_was_read(tmp_path):
    "Where only the beginning of the validation text is read, its own bytes count."
    tokens = tokenize(CORPUS, 280, tmp_path)
    start = Tokenizer.from_str(TRAINED).decode(tokens.valid[:2000].tolist())  # without ends
    ends = int((tokens.valid[:2000] == 0).sum())
    assert 0 < ends < len(CORPUS.valid)
    assert tokens.bits_per_byte(1.0, 2000) == pytest.approx(2000 / math.log(2) / len(start.encode()))
    assert tokens.bits_per_byte(1.0, 10**9) == tokens.bits_per_byte(1.0)


@pytest.mark.parametrize(
    "files, place, reason",
    [
        ({"tokenizer.model": b"\n\x0b\n\x05<unk>\x15"}, "tokenizer.model", "is a sentencepiece model: give its folder"),
        ({"tokenizer.model": b"\n\x0b\n\x05<unk>\x15"}, ".", "holds a sentencepiece model, which takes pip install"),
        ({"t.json": b"{}"}, "t.json", "cannot be read"),
        ({"t.json": b'{"model": '}, "t.json", "cannot be read"),
        ({}, ".", "cannot be read"),
        ({}, "/no/such/place", "there is no such file or folder"),
        ({}, "", "there is no such file or folder"),
    ],
)
def test_what_is_no_tokenizer(tmp_path, monkeypatch, files, place, reason):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # as where sentencepiece is not installed
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"tokenizer='.*': {reason}"):
        load_tokenizer(tmp_path / place if place and not place.startswith("/") else place)


class WindowsPath(PureWindowsPath):
    "A path as Windows writes it, on a disk that holds nothing."

    def exists(self):
        return False

    is_file = exists

    def glob(self, pattern):
        return iter(())


def test_an_id_of_the_hub_on_windows(monkeypatch):
    "It keeps its slash."
    asked, tokenizer = [], PreTrainedTokenizerFast(tokenizer_object=byte_level(), eos_token="<|endoftext|>")
    monkeypatch.setattr("lts_nb.training.tokenizer.Path", WindowsPath)
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda place, **options: asked.append(place) or tokenizer)
    assert load_tokenizer("owner/name").end == "<|endoftext|>" and asked == ["owner/name"]


def test_vocabulary_and_merges_alone(tmp_path):
    "As GPT-2's was published."
    byte_level().model.save(str(tmp_path))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["merges.txt", "vocab.json"]
    loaded = load_tokenizer(tmp_path)
    assert Tokenizer.from_str(loaded.text).encode(TEXTS[3]).ids == byte_level().encode(TEXTS[3]).ids
    assert find_loss(spell_again(loaded.text, HARD)) is None
