"""A small parent that is trained in four seconds on little stories, so that its layers, heads and neurons matter.

Its loss is about .47 nats a token; the first layer is worth four of them, the last one next to nothing.
"""

import functools
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lts_nb.models.build import build, seeded
from lts_nb.models.parent import Parent, own_model
from lts_nb.space.architecture import Architecture
from lts_nb.training.corpus import Corpus, split_documents
from lts_nb.training.text_files import END_OF_TEXT
from lts_nb.training.tokenizer import train_tokenizer, wrap_tokenizer

TINY = Architecture("llama", 64, (4,) * 4, (192,) * 4, 300, 64, n_kv_head=(2,) * 4, d_head=16)
NAMES = ["Anna", "Boris", "Clara", "David", "Emil", "Frida", "Gustav", "Hanna"]
THINGS = ["apples", "pears", "stones", "books", "candles", "letters"]


def write_story(draw: random.Random) -> str:
    "Two people count what they have; who has more follows from what was said."
    (one, other), (some, more) = draw.sample(NAMES, 2), draw.sample(range(2, 10), 2)
    thing, richer = draw.choice(THINGS), one if some > more else other
    counted = f"{one} has {some} {thing} and {other} has {more} {thing}."
    return f"{counted} So {richer} has more {thing}. {draw.choice([one, other])} goes home."


@functools.cache
def stories(seed: int = 0) -> Corpus:
    "Four hundred documents of five stories, a fifth of them to validate with."
    draw = random.Random(seed)
    return split_documents("stories", [" ".join(write_story(draw) for _ in range(5)) for _ in range(400)], share=0.2)


@functools.cache
def tiny_tokenizer():
    return wrap_tokenizer(train_tokenizer(stories(), TINY.vocab_size), END_OF_TEXT, TINY.max_len)


def token_windows(texts: tuple, n: int | None = None) -> torch.Tensor:  # (n, max_len)
    "The beginning of a text, in windows as long as the tiny parent can read; all of it if `n` is None."
    numbers = torch.tensor(tiny_tokenizer()("\n".join(texts), verbose=False).input_ids)
    return numbers.unfold(0, TINY.max_len, TINY.max_len)[:n]


def tiny_architecture(backbone: str) -> Architecture:
    "Of another family, four heads of width 16 and narrower inside."
    heads = {} if backbone == "llama" else dict(n_kv_head=None, d_head=None, d_inner=(128,) * 4)
    return replace(TINY, backbone=backbone, **heads)


@functools.cache
@torch.enable_grad()
def tiny_parent(steps: int = 150, seed: int = 0, backbone: str = "llama") -> Parent:  # not to be changed
    "A decoder of four layers which can continue such stories; a Llama has two groups of heads in each."
    architecture = tiny_architecture(backbone)
    model, rng = build(architecture, seed).train(), np.random.default_rng(seed)
    numbers = token_windows(stories().train).flatten()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.004, betas=(0.9, 0.95), foreach=False)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.004, steps, pct_start=0.1)
    with seeded(seed):  # some families have dropout
        for _ in range(steps):
            starts = rng.integers(len(numbers) - TINY.max_len, size=8)
            batch = torch.stack([numbers[i : i + TINY.max_len] for i in starts])
            model(batch, labels=batch).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return Parent(architecture, own_model(model), tiny_tokenizer(), "tiny", "apache-2.0")


def save_tiny_parent(folder: Path) -> Path:  # the folder
    "The tiny parent as somebody would publish it: a stock model with tokenizer and card."
    parent = tiny_parent()
    stock = build(TINY)
    stock.load_state_dict(parent.model.state_dict())
    stock.save_pretrained(folder)
    parent.tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# tiny\n", encoding="utf-8")
    return folder


def save_stories(folder: Path) -> Path:  # the folder
    "The stories as somebody would have them: a file each."
    folder.mkdir()
    for number, text in enumerate([*stories().train, *stories().valid]):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    return folder
