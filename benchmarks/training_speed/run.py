"""How long a step of training takes with torch's fused attention and with attention written out. Writes results.json.

    python benchmarks/training_speed/run.py [ROUNDS]    # 12 rounds by default, minutes on one core

Both forms of one model, from the same weights, take turns on one thread: steps in a round follow one another, and the
figure is the median of their ratios with its quartiles. Compiled, as the study trains, and as Python runs it.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import torch

from lts_nb.core.files import replace_text
from lts_nb.profiler.machine import cpu_name
from lts_nb.space.architecture import Architecture
from lts_nb.training.recipe import Recipe
from lts_nb.training.scaling import build_for_training
from lts_nb.training.trainer import make_optimizer

RESULTS = Path(__file__).with_name("results.json")
FORMS = ("eager", "sdpa")  # as transformers names them: written out, fused
GROUPED = ("llama", "lfm2")  # whose heads have a width, and groups of keys and values
CASES = [  # backbone, d_model, layers, heads, d_inner, sequences, tokens a sequence
    (backbone, 64, 3, 4, 256, 16, 128) for backbone in ("gpt2", "opt", "llama", "lfm2")
] + [("gpt2", 256, 2, 8, 1024, 4, 512), ("llama", 256, 2, 8, 704, 4, 512), ("llama", 256, 2, 4, 704, 2, 1024)]


def homogeneous(backbone: str, d_model: int, n_layer: int, heads: int, d_inner: int, max_len: int) -> Architecture:
    "The architecture of a case, of attention alone."
    more = dict(n_kv_head=(heads,) * n_layer, d_head=d_model // heads) if backbone in GROUPED else {}
    if backbone == "lfm2":
        more["layer_kind"] = ("attention",) * n_layer
    shape = (d_model, (heads,) * n_layer, (d_inner,) * n_layer)
    return Architecture(backbone, *shape, vocab_size=512, max_len=max_len, **more)


def make_step(architecture: Architecture, form: str, batch: torch.Tensor, compiled: bool) -> Callable[[], None]:
    "A function that does one step: forward, backward, optimizer."
    model = build_for_training(architecture, seed=0)
    model.set_attn_implementation(form)
    optimizer, called = make_optimizer(model, Recipe()), torch.compile(model) if compiled else model

    def step():
        called(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def seconds_of(step: Callable[[], None]) -> float:
    "Seconds of one call."
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def run_case(case: tuple, compiled: bool, rounds: int) -> dict:
    "Milliseconds of both forms, and how many times as long attention written out takes."
    torch._dynamo.reset()
    *shape, sequences, seq_len = case
    batch = torch.randint(512, (sequences, seq_len), generator=torch.Generator().manual_seed(0))
    steps = [make_step(homogeneous(*shape, seq_len), form, batch, compiled) for form in FORMS]
    for step in steps * 3:
        step()
    times = np.array([[seconds_of(step) for step in steps] for _ in range(rounds)])
    ratio = [round(float(q), 3) for q in np.quantile(times[:, 0] / times[:, 1], (0.25, 0.5, 0.75))]
    written_out_ms, fused_ms = (round(1e3 * float(middle), 1) for middle in np.median(times, axis=0))
    found = dict(backbone=case[0], d_model=case[1], sequences=sequences, seq_len=seq_len, compiled=compiled)
    return found | dict(written_out_ms=written_out_ms, fused_ms=fused_ms, ratio=ratio)


def main(rounds: int = 12):
    found = []
    for compiled in (True, False):
        for case in CASES:
            found.append(run_case(case, compiled, rounds))
            print(found[-1], flush=True)
    about = dict(machine=cpu_name(), threads=torch.get_num_threads(), torch=torch.__version__, rounds=rounds)
    replace_text(RESULTS, json.dumps(about | dict(cases=found), indent=1) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
