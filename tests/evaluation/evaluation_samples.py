"""What several tests of this folder need: text, a tokenizer, a model that was trained for a moment, and a task."""

import functools
import json
import random
from pathlib import Path

import transformers

from lts_nb.evaluation.examples import EXAMPLES, example_corpus, example_tokenizer, random_model, trained_example

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

corpus = functools.cache(example_corpus)
model_of = functools.cache(lambda backbone: random_model(EXAMPLES[backbone]))  # not to be changed


@functools.cache
def tokenizer():
    return example_tokenizer(corpus())


@functools.cache
def trained():
    return trained_example(corpus(), tokenizer(), steps=20)


DEFINITION = """task: goes_on
dataset_path: json
dataset_kwargs: {data_files: {show: show.jsonl, ask: ask.jsonl}, cache_dir: cache}
fewshot_split: show
test_split: ask
output_type: multiple_choice
doc_to_text: "{{begin}}"
doc_to_choice: "{{choices}}"
doc_to_target: right
metric_list: [{metric: acc}, {metric: acc_norm}]
"""


def write_task(folder: Path) -> list[dict]:  # its items, the first four of which are shown
    "A task of one's own: how does a line go on?"
    draw = random.Random(0)
    lines = sorted({line.strip() for text in corpus().valid for line in text.splitlines() if 30 < len(line) < 60})
    halves = [(line[:15].strip(), line[15:].strip()) for line in lines if line[14:16].strip()]
    items = []
    for (begin, answer), (_, other) in zip(halves[:20], halves[20:40], strict=True):
        choices = [answer, other]
        draw.shuffle(choices)
        items.append(dict(begin=begin, choices=choices, right=choices.index(answer)))
    for name, part in (("show", items[:4]), ("ask", items[4:])):
        text = "".join(json.dumps(item) + "\n" for item in part)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    add_definition(folder, "goes_on")
    return items


def add_definition(folder: Path, name: str, old: str = "", new: str = ""):
    text = DEFINITION.replace("goes_on", name)
    (folder / f"{name}.yaml").write_text(text.replace(old, new) if old else text + new, encoding="utf-8")
