"""Score the architectures of the study, and some of the published ones, with every proxy.

    LTS_NB_PUBLISHED=path/to.zip python benchmarks/proxies/run.py        # into scores.json; what is there is not scored again

Published architectures are rebuilt with the study's vocabulary of 512 tokens, so that they can read the study's text; their
own have up to 267,735. Forty of each random set, evenly over their decoder parameters.
"""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lts_nb.core.files import replace_file
from lts_nb.frontier.proxies import PROXIES
from lts_nb.profiler.machine import describe_machine
from lts_nb.space.architecture import Architecture
from lts_nb.study.proxies.scores import scores
from lts_nb.study.published import at_hand, published
from lts_nb.study.tables import short_training
from lts_nb.training.tokens import tokenize

HERE, EACH = Path(__file__).parent, 40
FILE = HERE / "scores.json"
spec = importlib.util.spec_from_file_location("study_run", HERE.parent / "study" / "run.py")
study = importlib.util.module_from_spec(spec)
spec.loader.exec_module(study)


def small_vocabulary(a: Architecture) -> Architecture:
    "The same layers and embedding width over 512 tokens."
    return replace(a, vocab_size=512, max_len=128, cutoffs=(), div_val=1)


def sets():
    "(name, architectures with the id of what was trained, sequences in a batch, their length)"
    yield "study", [(a.id, a) for a in dict.fromkeys(j.architecture for j in study.JOBS)], 8, 128
    if not at_hand():
        return
    frame = published()
    frame = frame[(frame.kind == "random") & frame.perplexity.notna()]
    for name, g in frame.groupby("experiment", sort=False):
        g = g.drop_duplicates("id").sort_values("decoder_params")
        yield (
            name,
            [
                (r.id, small_vocabulary(r.architecture))
                for r in g.iloc[np.linspace(0, len(g) - 1, EACH).round().astype(int)].itertuples()
            ],
            2,
            128,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    valid = torch.from_numpy(tokenize("stdlib", 512).valid.astype(np.int64))
    found = json.loads(FILE.read_text()) if FILE.exists() else dict(machine=describe_machine(), rows=[])
    done = {(r["set"], r["id"]) for r in found["rows"]}
    for name, architectures, B, T in sets():
        for id, a in architectures:
            if (name, id) in done:
                continue
            batch = valid[: B * T].reshape(B, T)
            rows = scores([a], [*PROXIES, *([short_training(200_000)] if name == "study" else [])], batch)
            found["rows"] += json.loads(rows.assign(set=name, id=id).to_json(orient="records"))
            replace_file(FILE, lambda path: path.write_text(json.dumps(found)))
            print(name, id, f"{rows.seconds.sum():.1f} s", rows.error.notna().sum(), "errors", flush=True)
