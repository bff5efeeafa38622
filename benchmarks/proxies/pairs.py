"""What every score is worth among architectures of nearly one size, in every set that was scored.

    LTS_NB_PUBLISHED=path/to.zip python benchmarks/proxies/pairs.py    # from scores.json; a few minutes

Into pairs.csv how often a score is right about two architectures, by the ratio of their decoder parameters, and into
windows.csv its ρ with the loss within a factor of two; both with 95 % intervals over architectures.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from lts_nb.profiler.store import Store
from lts_nb.study.pairs import pair_accuracy, window_agreement
from lts_nb.study.published import published
from lts_nb.study.published_archive import find_archive
from lts_nb.study.tables import first_seeds, scores_by_set
from lts_nb.training.training_runs import read_training_runs

HERE = Path(__file__).parent


def trained_sets() -> Iterator[tuple[str, pd.DataFrame]]:
    "Name of each set, and `loss` and `decoder_params` of its architectures by id: our own, and the published ones."
    with Store(HERE.parent / "study" / "study.sqlite") as store:
        runs = first_seeds(read_training_runs(store))
    for backbone, group in runs[runs.tokens == runs.tokens.max()].groupby("backbone"):
        yield f"own {backbone}", group.set_index("id")[["loss", "decoder_params"]]
    if find_archive():
        frame = published().rename(columns=dict(perplexity="loss"))
        frame = frame[(frame.kind == "random") & frame.loss.notna()]
        for name, group in frame.groupby("experiment", sort=False):
            yield name, group.drop_duplicates("id").set_index("id")[["loss", "decoder_params"]]


def judged(name: str, trained: pd.DataFrame, scores: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    "Of every score of a set, rows by ratio and rows by window."
    known = trained.join(scores.drop(columns="decoder_params"), how="inner").astype(float)
    for score in known.columns.drop("loss"):
        if known[score].notna().sum() > 2:
            about = dict(set=name, score=score)
            asked = known[score], known.loss, known.decoder_params
            yield pair_accuracy(*asked).assign(**about), window_agreement(*asked).assign(**about)


def main():
    rows = pd.DataFrame(json.loads((HERE / "scores.json").read_text(encoding="utf-8"))["rows"])
    values, found = scores_by_set(rows), []
    as_trained = values["study, as trained"].join(values["study, trained for a moment"])
    for name, trained in trained_sets():
        found += judged(name, trained, as_trained if name.startswith("own ") else values[name])
        print(name, flush=True)
    for file, tables in zip(("pairs.csv", "windows.csv"), zip(*found)):
        table = pd.concat(tables, ignore_index=True)
        table.insert(0, "score", table.pop("score"))
        table.insert(0, "set", table.pop("set"))
        table.round(4).to_csv(HERE / file, index=False)


if __name__ == "__main__":
    main()
