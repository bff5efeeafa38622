"""Models as people bring them to be judged: what is no decoder, or lacks weights, gets one line and no figure."""

import json

import pytest
import torch
import transformers
from kit import lts
from safetensors.torch import load_file, save_file

from lts_nb.core.errors import InputError
from lts_nb.evaluation.evaluate import evaluate
from lts_nb.evaluation.examples import example_corpus, example_tokenizer
from lts_nb.evaluation.perplexity import perplexity
from lts_nb.evaluation.stored_models import open_model
from lts_nb.models.small_models import randomised

TEXT = "".join(example_corpus().valid)[:2_000]
SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)


@pytest.fixture
def llama(tmp_path):
    "A folder with a Llama of two layers."
    config = transformers.LlamaConfig(vocab_size=512, max_position_embeddings=64, **SIZES)
    randomised(transformers.LlamaForCausalLM(config)).save_pretrained(tmp_path)
    example_tokenizer(example_corpus()).save_pretrained(tmp_path)
    open_model(tmp_path)
    return tmp_path


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def change_config(folder, **values):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | values), encoding="utf-8")


def test_a_weight_that_the_file_lacks(llama):
    change_weights(llama, lambda weights: weights.pop("lm_head.weight"))
    with pytest.raises(InputError, match="its files lack 1 weights of its configuration, such as lm_head.weight"):
        open_model(llama)
    code, out, err = lts("eval", llama, "--window", 16)
    assert (code, out) == (2, "") and "its files lack 1 weights" in err and not (llama / "evaluation.json").exists()


def test_more_layers_than_weights(llama):
    change_config(llama, num_hidden_layers=3)
    with pytest.raises(InputError, match=r"its files lack 9 weights of its configuration, such as model\.layers\.2\."):
        open_model(llama)


def test_fewer_layers_than_weights(llama):
    change_config(llama, num_hidden_layers=1)
    with pytest.warns(UserWarning, match=r"9 weights are not part of the model, such as model\.layers\.1\."):
        open_model(llama)


def test_another_width(llama):
    change_config(llama, intermediate_size=48)
    with pytest.raises(InputError, match="model="):
        open_model(llama)


def test_a_classifier(tmp_path):
    config = transformers.LlamaConfig(vocab_size=512, num_labels=2, pad_token_id=0, **SIZES)
    transformers.LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    example_tokenizer(example_corpus()).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="such as lm_head.weight"):
        open_model(tmp_path)


def test_a_model_that_sees_the_future(tmp_path):
    config = transformers.BertConfig(vocab_size=512, max_position_embeddings=64, **SIZES)
    randomised(transformers.BertLMHeadModel(config)).save_pretrained(tmp_path)
    example_tokenizer(example_corpus()).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="a BertLMHeadModel that sees what follows a token"):
        evaluate(tmp_path, example_corpus())


def test_weights_that_are_no_numbers(llama):
    model, tokenizer = open_model(llama)
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nan
    with pytest.raises(InputError, match=r"model: gives no number for [\d,]+ of [\d,]+ tokens"):
        perplexity(model, tokenizer, TEXT, window=16)
