"""Shapes of one size healed on the same tokens by the same teacher; call it again to continue where it stopped.

    python benchmarks/shaped/healing.py --goal 0.7 --tokens 65536 --seeds 0 1 2    # writes healed.jsonl
    python benchmarks/shaped/healing.py --goal 0.7 --tokens 1000000 --seeds 0 --rules uniform --dtype bfloat16

Our shape of that size in rivals.jsonl, and its rivals, all fitted: each learns from its parent's predictions, as
`lts train --teacher parent` does it, and is judged on the texts that judge everything here. What the teacher says of a
sequence is computed once and kept, 50 MB for 512 tokens, since all shapes and all seeds read the same ones; beyond
`MOST_KEPT` tokens it is asked each time. A run that was stopped goes on from the last sixteenth of its tokens. Several
processes may share the work: each takes the next run that no other is at.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from allocations import RULES, Allocation, allocations, share_of
from common import WINDOW, Bench, arguments, corpus_of, digest
from rivals import judge, model_of
from tables import OURS

from lts_nb.core.errors import InputError
from lts_nb.core.files import new_folder, only_one
from lts_nb.evaluation.stored_models import open_backbone_model
from lts_nb.shaping import heal as healing
from lts_nb.shaping.real_parent import find_real_parent
from lts_nb.training.corpus import Corpus
from lts_nb.training.recipe import recipe_for
from lts_nb.training.start import Lesson

FILE = "healed.jsonl"
MOST_KEPT = 200_000  # tokens of which what the teacher says is kept: 20 GB


class Remembering(torch.nn.Module):
    "A teacher that is asked once about a sequence: the logarithms of its probabilities are kept, half precision."

    def __init__(self, teacher, folder: Path):
        super().__init__()
        self.teacher, self.folder = teacher, folder

    def forward(self, input_ids: torch.Tensor, use_cache: bool = False) -> SimpleNamespace:
        "What a model of transformers says, of `(B, T)` tokens."
        return SimpleNamespace(logits=torch.stack([self.said_of(tokens) for tokens in input_ids]))

    def said_of(self, tokens: torch.Tensor) -> torch.Tensor:  # `(T, vocab_size)`
        "Of one sequence."
        path = self.folder / f"{digest(tokens)}.npy"
        if not path.exists():
            said = self.teacher(input_ids=tokens[None], use_cache=False).logits[0].log_softmax(-1)
            path.parent.mkdir(parents=True, exist_ok=True)
            own = path.with_name(f"{path.stem}.{os.getpid()}.npy")  # another process may be at the same sequence
            np.save(own, said.half().numpy())
            os.replace(own, path)
        return torch.from_numpy(np.load(path)).float()


def text_of(bench: Bench, read: str, data: Path, tokens: int) -> Corpus:
    "The beginnings of all pieces of the text that shapes and repairs, a little more than so many tokens."
    corpus = corpus_of(read, data)
    known = sum(len(each) for each in bench.parent.tokenizer(list(corpus.train))["input_ids"])
    share = min(1, 1.02 * tokens / known)
    train = tuple(piece[: int(share * len(piece))] for piece in corpus.train)
    return Corpus(corpus.name, train, corpus.valid, f"{corpus.sha256}-{tokens}")


def own(bench: Bench, goal: float) -> Allocation:
    "Our shape of a size, as it was judged before."
    judged = pd.DataFrame([row for row in bench.rows("rivals.jsonl") if row["rule"] in OURS and not row.get("bits")])
    near = judged[(judged.share - goal).abs() < 0.01]
    if near.empty:
        raise InputError(f"goal={goal}: no shape of ours of that size was judged")
    row = near.iloc[near.rule.map(OURS.index).argmin()]
    return Allocation(row.rule, goal, [tuple(layer) for layer in row.layers])


def place_of(bench: Bench, shape: Allocation) -> Path:
    "Where a model that is to be healed lies: another shape of the same rule and size lies elsewhere."
    known = hashlib.sha256(json.dumps(shape.layers).encode()).hexdigest()[:8]
    return bench.cache / "healing" / f"{shape.rule}-{shape.goal:g}-{known}"


def written(bench: Bench, shape: Allocation) -> Path:
    "The folder of a model that is to be healed, written if it was not."
    folder = place_of(bench, shape)
    if not folder.exists():
        model = model_of(bench, shape, "fitted")[0]
        with contextlib.suppress(InputError), new_folder(folder) as temporary:  # another process was faster
            model.save_pretrained(temporary)
            bench.parent.tokenizer.save_pretrained(temporary)
    return folder


@dataclass(frozen=True)
class Lessons:
    "What all healings have in common."

    bench: Bench
    corpus: Corpus
    teacher: str  # where it lies
    tokens: int
    dtype: str

    def heal(self, shape: Allocation, seed: int):
        "Heal a model, unless it was or another process is at it, and judge it."
        bench, place = self.bench, place_of(self.bench, shape)
        folder = place.with_name(f"{place.name}-{self.tokens}-{seed}")
        about = dict(rule=shape.rule, goal=shape.goal, share=share_of(bench.parent, shape.layers), repair="healed")
        changes = dict(valid_tokens=2 * WINDOW, dtype=self.dtype)
        recipe = recipe_for(bench.parent.architecture, "heal", tokens=self.tokens, **changes)

        def healed():
            record = healing.heal(
                written(bench, shape), folder, self.corpus, recipe, self.teacher, seed=seed, saves=16, parts=4
            )
            told = {name: record[name] for name in ("recipe", "learned_by", "seconds")}
            return open_backbone_model(folder)[0].float().eval(), dict(healing=told)

        try:
            with only_one(folder.with_name(f"{folder.name}.lock"), f"healing={folder.name!r}", "healing"):
                bench.done.pop(FILE, None)  # another process may have added to it
                judge(bench, about | dict(seed=seed, tokens=self.tokens), healed, FILE)
        except InputError as error:
            print(error, flush=True)


def main():
    parser = arguments(__doc__)
    parser.add_argument("--goal", type=float, default=0.7, help="share of the parent's decoder parameters")
    parser.add_argument("--tokens", type=int, default=65_536, help="to heal with")
    parser.add_argument("--rules", nargs="*", choices=RULES, default=["uniform", "flap"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of products")
    options = parser.parse_args()
    bench = Bench.open(options)
    if options.tokens <= MOST_KEPT:
        said = bench.cache / "teacher"
        healing.Lesson = lambda teacher, *more: Lesson(Remembering(teacher, said), *more)
    corpus = text_of(bench, options.read, options.data, options.tokens)
    lessons = Lessons(bench, corpus, options.parent or str(find_real_parent()), options.tokens, options.dtype)
    for row in bench.rows("rivals.jsonl")[:]:
        if row["rule"] == "parent" and row not in bench.rows(FILE):
            bench.file(FILE, row)
    shapes = [own(bench, options.goal), *allocations(bench, options.goal, options.rules)]
    for seed in options.seeds:
        for shape in shapes:
            lessons.heal(shape, seed)


if __name__ == "__main__":
    main()
