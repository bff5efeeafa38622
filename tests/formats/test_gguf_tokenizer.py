"""llama.cpp tokenizes as transformers does, for every kind of tokenizer that can be written."""

import json

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

gguf = pytest.importorskip("gguf")

from lts_nb.core.errors import InputError, Remark  # noqa: E402
from lts_nb.evaluation.examples import example_corpus, random_model  # noqa: E402
from lts_nb.formats.gguf_checks import TEXTS, differing_text  # noqa: E402
from lts_nb.formats.gguf_file import to_gguf  # noqa: E402
from lts_nb.formats.gguf_model import tokens_in_llama_cpp  # noqa: E402
from lts_nb.formats.gguf_tokenizer import ONE_DIGIT, THREE_DIGITS, scores_of, tokenizer_keys  # noqa: E402
from lts_nb.space.architecture import Architecture  # noqa: E402

END = "<|endoftext|>"
LEARNED = (*example_corpus().train, *TEXTS)
CUTS = {
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    **{
        name: pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(regex), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        for name, regex in (("smaug-bpe", THREE_DIGITS), ("llama-bpe", THREE_DIGITS), ("qwen2", ONE_DIGIT))
    },
}
"Name in llama.cpp -> how words are cut."


def byte_level(name: str) -> PreTrainedTokenizerFast:
    "A tokenizer trained on code and on the texts that it is tried on."
    parsed = Tokenizer(models.BPE(ignore_merges=name == "llama-bpe"))
    parsed.pre_tokenizer, parsed.decoder = CUTS[name], decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=[END], initial_alphabet=alphabet, show_progress=False)
    parsed.train_from_iterator(LEARNED, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=parsed, eos_token=END, bos_token=END)


def in_the_manner_of_sentencepiece(first: str) -> PreTrainedTokenizerFast:
    "Tokens with scores, as a conversion writes them: all pairs that make a token, by its score."
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    trained.normalizer = normalizers.Replace(" ", "▁")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=special, show_progress=False, limit_alphabet=120)
    trained.train_from_iterator(LEARNED, trainer)
    vocabulary = trained.get_vocab()
    pairs = []
    for token in sorted(vocabulary, key=vocabulary.get):
        splits = [(token[:i], token[i:]) for i in range(1, len(token)) if token not in special]
        pairs += [pair for pair in splits if pair[0] in vocabulary and pair[1] in vocabulary]
    parsed = Tokenizer(models.BPE(vocabulary, pairs, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if first == "normalizer":
        parsed.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        parsed.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=first, split=False)
    return PreTrainedTokenizerFast(tokenizer_object=parsed, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def written(path, tokenizer):
    "A file with a tokenizer."
    architecture = Architecture("llama", 32, (1,), (32,), len(tokenizer), 64, d_head=32)
    to_gguf(random_model(architecture), path, tokenizer=tokenizer)
    return path


@pytest.mark.parametrize("name", CUTS)
def test_byte_level(tmp_path, name):
    tokenizer = byte_level(name)
    assert tokenizer_keys(tokenizer, len(tokenizer)).pre == name
    pytest.importorskip("llama_cpp")
    texts = (*TEXTS, f"a{END}b{END}", *example_corpus().valid[:20])
    assert differing_text(written(tmp_path / "model.gguf", tokenizer), tokenizer, texts) is None


@pytest.mark.parametrize("first", ["normalizer", "never"])
def test_sentencepiece(tmp_path, first):
    tokenizer = in_the_manner_of_sentencepiece(first)
    keys = tokenizer_keys(tokenizer, len(tokenizer))
    assert (keys.model, keys.spaced) == ("llama", first != "never")
    pytest.importorskip("llama_cpp")
    texts = (*TEXTS, *example_corpus().valid[:20])
    assert differing_text(written(tmp_path / "model.gguf", tokenizer), tokenizer, texts) is None


def test_begin_of_text(tmp_path):
    "A token that transformers puts first is put first by llama.cpp."
    from tokenizers.processors import TemplateProcessing

    tokenizer = byte_level("llama-bpe")
    number = tokenizer.convert_tokens_to_ids(END)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(f"{END} $A", special_tokens=[(END, number)])
    assert tokenizer_keys(tokenizer, len(tokenizer)).begins and tokenizer("a").input_ids[0] == number
    pytest.importorskip("llama_cpp")
    assert differing_text(written(tmp_path / "model.gguf", tokenizer), tokenizer) is None


def test_another_tokenizer_is_noticed(tmp_path):
    pytest.importorskip("llama_cpp")
    tokenizer = byte_level("gpt-2")
    path = written(tmp_path / "model.gguf", tokenizer)
    tokenizer.backend_tokenizer.pre_tokenizer = CUTS["smollm"]
    assert differing_text(path, tokenizer) == TEXTS[2]


@pytest.mark.parametrize("first", ["first", "always"])
def test_a_space_unless_there_is_one(tmp_path, first):
    "transformers' way differs for texts that begin with a space, which is remarked."
    tokenizer = in_the_manner_of_sentencepiece(first)
    with pytest.warns(Remark, match="begins a text with a space also where there is one"):
        assert tokenizer_keys(tokenizer, len(tokenizer)).spaced
    pytest.importorskip("llama_cpp")
    path = written(tmp_path / "model.gguf", tokenizer)
    assert differing_text(path, tokenizer) is None
    assert tokens_in_llama_cpp(path, [" a"]) != [tokenizer(" a").input_ids]


WORDPIECE = models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]")


@pytest.mark.parametrize(
    "change, reason",
    [
        (dict(normalizer={"type": "NFKC"}), "its normalizer NFKC"),
        (dict(pre_tokenizer={"type": "Whitespace"}), "it cuts words by Whitespace"),
        (dict(pre_tokenizer=None), "it cuts words by None"),
    ],
)
def test_refused(change, reason):
    parsed = json.loads(byte_level("gpt-2").backend_tokenizer.to_str()) | change
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(parsed)))
    with pytest.raises(InputError) as caught:
        tokenizer_keys(tokenizer, 1000)
    assert str(caught.value).startswith(f"tokenizer: llama.cpp cannot follow it ({reason})")


def test_other_models_are_refused():
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WORDPIECE))
    with pytest.raises(InputError, match="its model is WordPiece, not BPE"):
        tokenizer_keys(tokenizer, 10)


def test_scores_of_merges():
    "All pairs, those of one token together; runs of spaces may be mixed up."
    vocabulary = {token: i for i, token in enumerate(["a", "b", "c", "ab", "bc", "abc", "▁", "▁▁", "▁▁▁"])}
    words = [("a", "b"), ("b", "c"), ("a", "bc"), ("ab", "c")]
    spaces = [("▁▁", "▁"), ("▁", "▁"), ("▁", "▁▁")]

    def scores(pairs):
        return scores_of(dict(model=dict(vocab=vocabulary, merges=pairs)))

    assert scores(words) == dict(ab=0, bc=-1, abc=-2)
    assert scores(words + spaces) == dict(ab=0, bc=-1, abc=-2) | {"▁▁▁": -4, "▁▁": -5}
    assert scores([words[0], words[2], words[1], words[3]]) is None  # the pairs of "abc" have another between them
    assert scores(words[:3]) is None
    assert scores(["a b", "b c", "a bc", "ab c"]) == scores(words)  # as older files write them
