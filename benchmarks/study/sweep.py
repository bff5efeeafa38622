"""Is the recipe fair? Five shapes at five learning rates, a million tokens each.

python benchmarks/study/sweep.py        # into sweep.json, one training at a time; what is there is not trained again
"""

import itertools
import json
from dataclasses import asdict
from pathlib import Path

import torch

from lts_nb.core.files import replace_file
from lts_nb.profiler.machine import describe_machine
from lts_nb.space.architecture import Architecture
from lts_nb.training.loop import train
from lts_nb.training.recipe import Recipe
from lts_nb.training.tokens import tokenize

FILE = Path(__file__).with_name("sweep.json")
RATES = (4e-3, 2e-3, 8e-3, 1e-3, 1.6e-2)
SHAPES = ((64, 10, 256), (128, 3, 512), (48, 2, 192), (96, 3, 384), (192, 2, 768))  # d_model, n_layer, d_inner

if __name__ == "__main__":
    torch.set_num_threads(1)
    data = tokenize("stdlib", 512)
    found = (
        json.loads(FILE.read_text())
        if FILE.exists()
        else dict(machine=describe_machine(), corpus=data.sha256, recipe=asdict(Recipe(tokens=(1_000_000,))), rows=[])
    )
    for lr, (d, L, f) in itertools.product(RATES, SHAPES):
        if any((r["lr"], r["d_model"], r["n_layer"]) == (lr, d, L) for r in found["rows"]):
            continue
        made = train(
            Architecture("gpt2", d, (4,) * L, (f,) * L, vocab_size=512, max_len=128),
            data,
            Recipe(tokens=(1_000_000,), lr=lr),
            compiled=True,
        )
        found["rows"].append(
            dict(lr=lr, d_model=d, n_layer=L, d_inner=f, loss=made["losses"][0], seconds=made["seconds"])
        )
        replace_file(FILE, lambda path: path.write_text(json.dumps(found, indent=1)))
        print(found["rows"][-1], flush=True)
