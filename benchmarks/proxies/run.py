"""Score the architectures of the study, and some of the published ones, with every proxy.

    LTS_NB_PUBLISHED=path/to.zip python benchmarks/proxies/run.py    # into scores.json; nothing is scored twice

Published architectures are rebuilt with the study's vocabulary of 512 tokens, so that they can read the study's text;
their own have up to 267,735. Forty of each random set, evenly over their decoder parameters.
"""

import json
import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lts_nb.core.files import replace_text
from lts_nb.frontier.proxies import PROXIES
from lts_nb.profiler.machine import describe_machine
from lts_nb.space.architecture import Architecture
from lts_nb.study.proxies.scores import scores
from lts_nb.study.published import published
from lts_nb.study.published_archive import find_archive
from lts_nb.study.short_training import short_training
from lts_nb.training.tokens import tokenize

HERE = Path(__file__).parent
SCORES = HERE / "scores.json"
EACH = 40  # architectures of a published set
LENGTH = 128  # tokens of a sequence


def with_small_vocabulary(architecture: Architecture) -> Architecture:
    "The same layers and embedding width over 512 tokens."
    return replace(architecture, vocab_size=512, max_len=LENGTH, cutoffs=(), div_val=1)


def read_study() -> list[tuple[str, Architecture]]:
    "Id and architecture of all that the study trained."
    jobs = runpy.run_path(str(HERE.parent / "study" / "run.py"))["JOBS"]
    return [(a.id, a) for a in dict.fromkeys(job.architecture for job in jobs)]


def read_published() -> Iterator[tuple[str, list[tuple[str, Architecture]]]]:
    "Name of each random set, and of some of its architectures the id of what was trained and what is scored."
    frame = published()
    frame = frame[(frame.kind == "random") & frame.perplexity.notna()]
    for name, group in frame.groupby("experiment", sort=False):
        group = group.drop_duplicates("id").sort_values("decoder_params")
        some = group.iloc[np.linspace(0, len(group) - 1, EACH).round().astype(int)]
        yield name, [(row.id, with_small_vocabulary(row.architecture)) for row in some.itertuples()]


def score_set(name: str, architectures: list, proxies: list, batch: torch.Tensor, found: dict):
    "Score the architectures of a set that `found` does not have yet, and write each when it is done."
    done = {row["id"] for row in found["rows"] if row["set"] == name}
    for id, architecture in architectures:
        if id not in done:
            rows: pd.DataFrame = scores([architecture], proxies, batch)
            found["rows"] += json.loads(rows.assign(set=name, id=id).to_json(orient="records"))
            replace_text(SCORES, json.dumps(found))
            print(name, id, f"{rows.seconds.sum():.1f} s", rows.error.notna().sum(), "errors", flush=True)


def main():
    torch.set_num_threads(1)
    valid = torch.from_numpy(tokenize("stdlib", 512).valid.astype(np.int64))
    found = dict(machine=describe_machine(), rows=[])
    if SCORES.exists():
        found = json.loads(SCORES.read_text(encoding="utf-8"))
    batch = valid[: 8 * LENGTH].reshape(8, LENGTH)
    score_set("study", read_study(), [*PROXIES, short_training(200_000)], batch, found)
    if find_archive():
        for name, architectures in read_published():
            score_set(name, architectures, list(PROXIES), batch[:2], found)


if __name__ == "__main__":
    main()
