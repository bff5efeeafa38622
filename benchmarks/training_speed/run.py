"""How long a step of training takes with attention in the form that training gives it, and with others.

    python benchmarks/training_speed/run.py [ROUNDS]    # 12 rounds by default, a quarter of an hour on one core

All forms of one model, from the same weights, take turns on one thread: steps in a round follow one another, and the
figure is the median of their ratios with its quartiles: other forms over training's. Compiled, as the study trains, and
as Python runs it; products in float32, and in bfloat16 where the processor multiplies in it. Writes this processor's
part of results.json, by its name and the vector instructions that torch found in it.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import torch

from lts_nb.core.files import replace_text
from lts_nb.profiler.machine import cpu_name
from lts_nb.space.architecture import Architecture
from lts_nb.training.recipe import Recipe
from lts_nb.training.scaling import FUSED, build_for_training
from lts_nb.training.trainer import computes_in_bfloat16, make_optimizer

RESULTS = Path(__file__).with_name("results.json")
FORMS = {"written out": "eager", "fused in bfloat16": "sdpa", "ours": FUSED}  # as transformers names them
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


def make_step(
    architecture: Architecture, form: str, batch: torch.Tensor, dtype: torch.dtype, compiled: bool
) -> Callable[[], None]:
    "A function that does one step: forward, backward, optimizer."
    model = build_for_training(architecture, seed=0)
    model.set_attn_implementation(form)
    optimizer, called = make_optimizer(model, Recipe()), torch.compile(model) if compiled else model

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = called(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def seconds_of(step: Callable[[], None]) -> float:
    "Seconds of one call."
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def run_case(case: tuple, dtype: torch.dtype, compiled: bool, rounds: int) -> dict:
    "Milliseconds of every form, and how many times as long as ours the others take."
    torch._dynamo.reset()
    *shape, sequences, seq_len = case
    forms = [form for form in FORMS if dtype == torch.bfloat16 or form != "fused in bfloat16"]
    batch = torch.randint(512, (sequences, seq_len), generator=torch.Generator().manual_seed(0))
    architecture = homogeneous(*shape, seq_len)
    steps = [make_step(architecture, FORMS[form], batch, dtype, compiled) for form in forms]
    for step in steps * 3:
        step()
    times = np.array([[seconds_of(step) for step in steps] for _ in range(rounds)])
    quartiles = np.quantile(times[:, :-1] / times[:, -1:], (0.25, 0.5, 0.75), axis=0).T.round(3)
    about = dict(zip(("backbone", "d_model", "n_layer", "n_head", "d_inner", "sequences", "seq_len"), case))
    about |= dict(dtype=str(dtype).removeprefix("torch."), compiled=compiled)
    about["ms"] = dict(zip(forms, np.median(1e3 * times, axis=0).round(1).tolist()))
    return about | dict(ratio=dict(zip(forms, quartiles.tolist())))


def main(rounds: int = 12):
    found, dtypes = [], (torch.float32, torch.bfloat16) if computes_in_bfloat16() else (torch.float32,)
    for compiled, dtype, case in product((True, False), dtypes, CASES):
        found.append(run_case(case, dtype, compiled, rounds))
        print(found[-1], flush=True)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    about = dict(threads=torch.get_num_threads(), torch=torch.__version__, rounds=rounds, cases=found)
    known[f"{cpu_name()}, {torch.backends.cpu.get_cpu_capability()}"] = about
    replace_text(RESULTS, json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
