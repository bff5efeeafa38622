"""Search a hundred thousand expressions for a score that beats the count among pairs of nearly one size.

    LTS_NB_PUBLISHED=path/to.zip python benchmarks/discovery/run.py              # what is counted: counted.json
    LTS_NB_PUBLISHED=path/to.zip python benchmarks/discovery/run.py measure      # layers of untrained models, filed
    LTS_NB_PUBLISHED=path/to.zip python benchmarks/discovery/run.py --measured   # with these: measured.json

Searched and chosen on the random GPT-2 of WikiText-103, the random Transformer-XL of both data sets, which are the same
architectures, and our own GPT-2. Sealed until one expression is chosen: the random GPT-2 of LM1B, the homogeneous
Transformer-XL, LTS's frontiers of both backbones, and our own Llama. Extra `discovery`.
"""

import argparse
import json
import runpy
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lts_nb.core.files import replace_text
from lts_nb.models.build import build
from lts_nb.profiler.machine import describe_machine
from lts_nb.profiler.store import Store
from lts_nb.study.discovery import Contest, TrainedSet, discover, judge, luck
from lts_nb.study.expressions import counted_statistics
from lts_nb.study.proxies.layer_statistics import measured_statistics
from lts_nb.study.published import published
from lts_nb.training.scaling import initialise_matrices
from lts_nb.training.tokens import tokenize
from lts_nb.training.training_runs import read_training_runs

HERE = Path(__file__).parent
SEARCHED = ("random_GPT2_wt103", "random_TransXL_wt103", "random_TransXL_lm1b", "study gpt2")
N, SEEDS, LUCK = 20_000, range(18), range(3)
FILED = HERE / "layers.jsonl"
BATCH = 8, 128  # sequences, tokens


def published_sets():  # yields name, architectures, losses
    "LTS's experiments; the frontiers of one backbone together, and no architecture of a set twice."
    frame = published()
    frame = frame[frame.perplexity.notna()]
    joined = frame.experiment.where(frame.kind == "random", frame.experiment.str.rsplit("_", n=1).str[0])
    for name, group in frame.groupby(joined, sort=False):
        group = group.drop_duplicates("id")
        yield name, list(group.architecture), np.log(group.perplexity.to_numpy(float))


def own_sets():  # yields name, architectures, losses
    "What the study trained, on its larger budget."
    with Store(HERE.parent / "study" / "study.sqlite") as store:
        runs = read_training_runs(store)
    runs = runs[(runs.tokens == runs.tokens.max()) & (runs.seed == 0) & runs.error.isna()].drop_duplicates("id")
    for backbone, group in runs.groupby("backbone", sort=False):
        yield f"study {backbone}", list(group.architecture), group.loss.to_numpy(float)


def filed() -> dict:  # set and key -> a list of rows, a layer each
    "What was measured of layers."
    lines = FILED.read_text(encoding="utf-8").split("\n")[:-1] if FILED.exists() else []
    return {(name, key): rows for name, key, rows in map(json.loads, lines)}


def measure():
    "What untrained models of all sets show of their layers, on the study's text and with the study's vocabulary."
    torch.set_num_threads(1)
    small = runpy.run_path(str(HERE.parent / "proxies" / "run.py"))["with_small_vocabulary"]
    batch = torch.from_numpy(tokenize("stdlib", 512).valid[: BATCH[0] * BATCH[1]].astype(np.int64)).reshape(BATCH)
    done = filed()
    for name, architectures, losses in (*own_sets(), *published_sets()):
        for key, architecture in zip(TrainedSet.of(name, architectures, losses).keys, architectures):
            if (name, key) not in done:
                model = build(small(architecture))
                if name.startswith("study"):
                    initialise_matrices(model, 0)  # as the study's training begins
                rows = measured_statistics(model, batch).to_dict("records")
                with FILED.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([name, key, rows]) + "\n")
        print(name, flush=True)


def sets_of(measured: bool) -> dict:  # name -> `TrainedSet`
    "All sets, with what is counted of layers, and what was measured of them."
    found, known = {}, filed() if measured else {}
    for name, architectures, losses in (*own_sets(), *published_sets()):
        made = TrainedSet.of(name, architectures, losses)
        if measured:
            rows = pd.DataFrame([row for key in made.keys for row in known[name, key]])
            layers = pd.concat([counted_statistics(architectures), rows], axis=1)
            made = TrainedSet.of(name, architectures, losses, layers)
        found[name] = made
    return found


def without(sealed: TrainedSet, searched: list[TrainedSet]) -> TrainedSet:
    "A sealed set without the architectures that are also searched."
    seen = {key for each in searched for key in each.keys}
    return sealed.only(np.array([key not in seen for key in sealed.keys]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", nargs="?", choices=("search", "measure"), default="search")
    parser.add_argument("--measured", action="store_true", help="search what was measured of layers, too")
    options = parser.parse_args()
    if options.step == "measure":
        return measure()
    search(sets_of(options.measured), HERE / ("measured.json" if options.measured else "counted.json"))


def search(sets: dict, file: Path):
    "Search, choose, judge, and compare with luck; what is found is filed before luck is looked for."
    began = time.perf_counter()
    searched = [sets[name] for name in SEARCHED]
    sealed = [without(each, searched) for name, each in sets.items() if name not in SEARCHED]
    found = discover(searched, n=N, seeds=SEEDS)
    print(found, flush=True)
    judged = judge(found.best, sealed)
    opened = found.tried.assign(sealed=found.tried.expression.map(Contest(sealed).gain))  # only after the judgement
    opened = opened.sort_values("sealed", ascending=False, kind="stable")
    content = dict(
        machine=describe_machine(),
        n=len(found.tried),
        seconds=round(time.perf_counter() - began),
        searched=[dict(set=each.name, n=len(each.loss)) for each in searched],
        best=found.best,
        top=found.tried[:100].to_dict("records"),
        judged=judged.to_dict("records"),
        opened=dict(
            expression=opened.expression.iloc[0],
            gain=opened.sealed.iloc[0],
            above=int((opened.sealed > 0).sum()),
            top=opened[["expression", "searched", "sealed"]][:100].to_dict("records"),
        ),
    )
    replace_text(file, json.dumps(content, indent=1))
    print(judged.round(3).to_string(), flush=True)
    content["luck"] = []
    for exchange in LUCK:
        content["luck"] += luck(searched, sealed, [exchange], n=N, seeds=SEEDS).to_dict("records")
        replace_text(file, json.dumps(content, indent=1))
        print(content["luck"][-1], flush=True)


if __name__ == "__main__":
    main()
