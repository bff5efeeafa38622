"""Is the recipe fair? Five shapes at five learning rates, a million tokens each.

python benchmarks/study/sweep.py        # into sweep.json, one training at a time; what is there is not trained again
"""

import itertools
import json
from dataclasses import asdict, replace
from pathlib import Path

import torch

from lts_nb.core.files import replace_text
from lts_nb.profiler.machine import describe_machine
from lts_nb.space.architecture import Architecture
from lts_nb.training.loop import train
from lts_nb.training.recipe import Recipe
from lts_nb.training.tokens import tokenize

FILE = Path(__file__).with_name("sweep.json")
RECIPE = Recipe(tokens=(1_000_000,), dtype="bfloat16")
RATES = (4e-3, 2e-3, 8e-3, 1e-3, 1.6e-2)
SHAPES = ((64, 10, 256), (128, 3, 512), (48, 2, 192), (96, 3, 384), (192, 2, 768))  # d_model, n_layer, d_inner


def main():
    torch.set_num_threads(1)
    data = tokenize("stdlib", 512)
    found = dict(machine=describe_machine(), corpus=data.sha256, recipe=asdict(RECIPE), rows=[])
    if FILE.exists():
        found = json.loads(FILE.read_text(encoding="utf-8"))
    done = {(row["lr"], row["d_model"], row["n_layer"]) for row in found["rows"]}
    for rate, (d_model, n_layer, d_inner) in itertools.product(RATES, SHAPES):
        if (rate, d_model, n_layer) in done:
            continue
        shape = (4,) * n_layer, (d_inner,) * n_layer
        architecture = Architecture("gpt2", d_model, *shape, vocab_size=512, max_len=128)
        trained = train(architecture, data, replace(RECIPE, lr=rate), compiled=True)
        row = dict(lr=rate, d_model=d_model, n_layer=n_layer, d_inner=d_inner)
        found["rows"].append(row | dict(loss=trained["losses"][0], seconds=trained["seconds"]))
        replace_text(FILE, json.dumps(found, indent=1))
        print(found["rows"][-1], flush=True)


if __name__ == "__main__":
    main()
