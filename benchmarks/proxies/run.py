"""Score the architectures of the study, and some of the published ones, with every proxy.

    LTS_NB_PUBLISHED=path/to.zip python benchmarks/proxies/run.py    # into scores.json; nothing is scored twice
    python benchmarks/proxies/run.py --batches                       # into batches.json: the same by size of the batch

The study's are scored twice: as the backbone begins ("study"), and as the study's training does ("study, as trained"),
on eight sequences; what compares sequences with each other once more on sixteen, and what follows gradients on 32, from
where orders are settled (", wide batch"). Published architectures are rebuilt with the study's vocabulary of 512
tokens, so that they can read the study's text; their own have up to 267,735. Forty of each random set, evenly over
their decoder parameters, on two sequences; then wide: sixteen, four tokens for each width of the widest where tokens
are compared, and eight for all else.
"""

import argparse
import json
import math
import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lts_nb.core.files import replace_text
from lts_nb.frontier.proxies import PROXIES, find_proxies
from lts_nb.models.build import build
from lts_nb.profiler.machine import describe_machine
from lts_nb.space.architecture import Architecture
from lts_nb.study.proxies.scores import scores
from lts_nb.study.published import published
from lts_nb.study.published_archive import find_archive
from lts_nb.study.short_training import short_training
from lts_nb.study.tables import WIDE
from lts_nb.training.scaling import initialise_matrices
from lts_nb.training.tokens import tokenize

HERE = Path(__file__).parent
SCORES = HERE / "scores.json"
EACH = 40  # architectures of a published set
LENGTH = 128  # tokens of a sequence
OF_SEQUENCES = ("jacobian_covariance", "naswot")  # from a matrix of sequences by sequences
OF_TOKENS = ("hidden_covariance", "w_pca")  # from a matrix of tokens by widths
CONFIDENCES = ("head_confidence", "softmax_confidence")  # of one forward pass, settled on eight sequences
DERIVED = ("grasp_negated", "w_pca_summed")  # follow from another reading


def readers(proxies: list | None = None) -> list[str]:
    "Proxies that read a batch, of as many sequences as it holds; without other readings, if none are named."
    return [proxy.name for proxy in find_proxies(proxies) if proxy.takes == "model" and not proxy.one_sequence]


def gradients() -> list[str]:
    "Proxies that follow gradients through a batch, other readings among them."
    return [name for name in readers(list(PROXIES)) if name not in OF_SEQUENCES + OF_TOKENS + CONFIDENCES + DERIVED]


def wide_batches(architectures: list[tuple[str, Architecture]]) -> list[tuple[list[str], int]]:
    "Proxies, and of how many sequences each of a set needs a batch."
    widest = max(architecture.d_model for _, architecture in architectures)
    tokens = max(16, math.ceil(4 * widest / LENGTH))
    return [(list(OF_SEQUENCES), 16), (list(OF_TOKENS), tokens), ([*gradients(), *CONFIDENCES], 8)]


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


def as_trained(architecture: Architecture, seed: int):
    "A model with the weights that the study's training begins with."
    model = build(architecture, seed)
    initialise_matrices(model, seed)
    return model


def as_rows(table: pd.DataFrame, **columns) -> list[dict]:
    "Rows for a file, with every digit."
    records = table.assign(**columns).to_dict("records")
    return [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in records]


def score_set(name: str, architectures: list, proxies: list | None, batch: torch.Tensor, file: Path, start=build):
    "Score the architectures of a set that the file does not have yet, and write each when it is done."
    found = dict(machines={}, rows=[])
    if file.exists():
        found = json.loads(file.read_text(encoding="utf-8"))
    found["machines"].setdefault(name, describe_machine())
    done = {(row["id"], row["proxy"]) for row in found["rows"] if row["set"] == name}
    for id, architecture in architectures:
        if missing := [proxy for proxy in find_proxies(proxies) if (id, proxy.name) not in done]:
            rows = scores([architecture], missing, batch, start=start)
            found["rows"] += as_rows(rows, set=name, id=id)
            replace_text(file, json.dumps(found))
            print(name, id, f"{rows.seconds.sum():.1f} s", rows.error.notna().sum(), "errors", flush=True)


def score_batches(valid: torch.Tensor):
    "The study's architectures, every third of them and as trained, by batches of 2 to 64 sequences."
    for size in (2, 8, 16, 32, 64):
        batch = valid[: size * LENGTH].reshape(size, LENGTH)
        score_set(f"{size} sequences", read_study()[::3], readers(), batch, HERE / "batches.json", as_trained)


def derive(file: Path):
    "Readings that follow from another of the same architecture, wide: a sign, or a sum over layers from their mean."
    found = json.loads(file.read_text(encoding="utf-8"))
    values = {(row["set"], row["id"], row["proxy"]): row["value"] for row in found["rows"]}
    known = [row for row in found["rows"] if row["set"].endswith(WIDE) and row["proxy"] in ("grasp", "w_pca")]
    for row in (row for row in known if row["value"] is not None):
        depth = values[row["set"].removesuffix(WIDE), row["id"], "depth"]
        name, times = ("grasp_negated", -1) if row["proxy"] == "grasp" else ("w_pca_summed", depth)
        if (row["set"], row["id"], name) not in values:
            found["rows"].append(row | dict(proxy=name, value=times * row["value"]))
    replace_text(file, json.dumps(found))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", action="store_true", help="by size of the batch, into batches.json")
    torch.set_num_threads(1)
    valid = torch.from_numpy(tokenize("stdlib", 512).valid.astype(np.int64))
    if parser.parse_args().batches:
        return score_batches(valid)
    batch = valid[: 8 * LENGTH].reshape(8, LENGTH)
    score_set("study", read_study(), list(PROXIES), batch, SCORES)
    score_set("study, as trained", read_study(), list(PROXIES), batch, SCORES, as_trained)
    for name, start in (("study", build), ("study, as trained", as_trained)):
        for proxies, sequences in ((list(OF_SEQUENCES), 16), (gradients(), 32)):
            wide = valid[: sequences * LENGTH].reshape(sequences, LENGTH)
            score_set(name + WIDE, read_study(), proxies, wide, SCORES, start)
    score_set("study, trained for a moment", read_study(), [short_training(200_000)], batch, SCORES)
    if find_archive():
        for name, architectures in read_published():
            score_set(name, architectures, None, batch[:2], SCORES)
        for name, architectures in read_published():
            for proxies, sequences in wide_batches(architectures):
                wide = valid[: sequences * LENGTH].reshape(sequences, LENGTH)
                score_set(name + WIDE, architectures, proxies, wide, SCORES)
    derive(SCORES)


if __name__ == "__main__":
    main()
