"""The first picture of the README, from what benchmarks stored: `python tools/first_picture.py`."""

import functools
import json
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lts_nb.profiler.store import Store
from lts_nb.searches import report
from lts_nb.searches.result import SearchResult
from lts_nb.show.gains import Curve, Gain, draw_curves, draw_gains
from lts_nb.show.plots import BLUE, DARK_GREY, ORANGE
from lts_nb.show.ratios import gain_in_words
from lts_nb.study.equal_loss import gain
from lts_nb.training.training_runs import read_training_runs

ROOT = Path(__file__).resolve().parents[1]
COSTS = {"reading a prompt": "torch_prefill_s", "writing a token": "torch_decode_s", "memory": "peak_bytes"}
NAMES = {"baseline": "LTS's scaled baseline", "gpt2": "GPT-2's own proportions"}


def read(path: str) -> dict:
    "What a benchmark wrote."
    return json.loads((ROOT / "benchmarks" / path).read_text(encoding="utf-8"))


class Trained:
    "The small GPT-2 of `benchmarks/frontier_quality`: losses by seed, costs by round."

    def __init__(self):
        with Store(ROOT / "benchmarks/frontier_quality/trained.sqlite") as store:
            runs = read_training_runs(store)
        self.runs = runs[(runs.tokens == runs.tokens.max()) & runs.loss.notna()]
        self.plan = pd.DataFrame(read("frontier_quality/plan.json")["rows"])
        self.costs = pd.DataFrame(read("frontier_quality/measured.json")["rows"]).set_index("id")

    def family(self, method: str, cost: str) -> tuple[list, list]:
        "Of every model that a method chose its losses, one a seed, and its costs, one a round."
        ids = self.plan.id[self.plan.method == method]
        losses = [self.runs.loss[self.runs.id == id].tolist() for id in ids]
        return losses, [np.atleast_1d(self.costs[cost][id]) for id in ids]

    @functools.cache  # noqa: B019 - there is one such object
    def gains(self, base: str, method: str = "exact") -> list[Gain]:
        "How much cheaper a method's models are at equal loss, by parallel lines: seeds, rounds, models redrawn, 95 %."
        found = []
        under = f"trained to the same loss, against {NAMES[base]}"
        for what, cost in COSTS.items():
            how = dict(models=True, parallel=True, resamples=5_000)
            g = gain(*self.family(base, cost), *self.family(method, cost), **how)
            found.append(Gain(what, g["ratio"], g["ratio_low"], g["ratio_high"], under))
        return found

    def curve(self, method: str, name: str, colour: str, marker: str) -> Curve:
        "A method's models, loss against milliseconds of a prompt."
        losses, costs = self.family(method, "torch_prefill_s")
        order = np.argsort([np.median(rounds) for rounds in costs])
        ms = [1e3 * float(np.median(costs[i])) for i in order]
        mean = [float(np.mean(losses[i])) for i in order]
        error = [float(np.std(losses[i], ddof=1) / len(losses[i]) ** 0.5) for i in order]
        return Curve(name, ms, mean, error, colour, marker)


@functools.cache
def small_models() -> Trained:
    "Read once."
    return Trained()


def middle(what: str, ratios, under: str) -> Gain:
    "The median of some ratios, with the least and the most of them."
    return Gain(what, float(np.median(ratios)), float(min(ratios)), float(max(ratios)), under)


def of_workloads() -> list[Gain]:
    "What it is worth to search for the request that will be served, at equal decoder parameters."
    rows = read("workloads/results.json")["rows"]

    def ratios(question: str, phase: int, invert: bool = False, **where) -> list[float]:
        chosen = [r for r in rows if r["question"] == question and all(r.get(k) == v for k, v in where.items())]
        found = [np.array(r["measured"])[:, :, phase] for r in chosen]
        return [float(np.median(b / a if invert else a / b)) for a, b in found]

    under, long = "searched for what is served, as many parameters, not trained", dict(profile="lfm2_2048")
    return [
        middle("reader, not writer, to read", ratios("reading or writing", 0, True), under),
        middle("writer, not reader, to write", ratios("reading or writing", 1), under),
        middle("narrower embedding, to read", ratios("embedding", 0, goal="prefill_s"), under),
        middle("narrower embedding, to write", ratios("embedding", 1, goal="decode_s"), under),
        middle("convolutions, 2,032 tokens", ratios("attention or convolution", 0, goal="prefill_s", **long), under),
    ]


def of_engines() -> list[Gain]:
    "What it is worth to search on the engine that will run, rather than on another one of the same processor."
    found = [
        float(np.exp(np.mean(np.log(ratios))))
        for pair, ratios in read("targets/results.json")["regret"].items()
        if len(set(pair.split(" on "))) == 2
    ]
    under = "searched in the engine that runs, as many parameters"
    return [middle("this engine, not another", found, under)]


def of_formats() -> list[Gain]:
    "What fewer bits save in llama.cpp while a token is written, of one and the same architecture."
    engines = read("targets/matrix.json")["engines"]
    seconds = {name: np.array(found["decode_s"]) for name, found in engines.items() if name.startswith("llama-cpp")}
    under = "fewer bits in llama.cpp, the same architecture"
    return [
        middle(f"{words}, to write", seconds["llama-cpp-f32"] / seconds[f"llama-cpp-{name}"], under)
        for name, words in {"q8_0": "8 bits", "q4_0": "4 bits"}.items()
    ]


def of_gpt2() -> list[Gain]:
    "What a search of the paper's space gains on one CPU, against LTS's scaled baseline."
    rows = pd.DataFrame(read("equal_parameters/results.json")["rows"])
    seconds = rows.pivot(index="decoder_params", columns="method", values="estimate_s")
    under = "full-size GPT-2, to read, as many parameters"
    return [middle("exact picks, not scaled GPT-2s", seconds.baseline / seconds.exact, under)]


def shape_rises() -> dict:  # (rule, size) -> text -> a rise for each window, nats
    "What was lost by shapes of SmolLM2-135M that were fitted one end after the other."
    lines = (ROOT / "benchmarks/shaped/results_mixture/rivals.jsonl").read_text(encoding="utf-8").splitlines()
    rows, found = [row for row in map(json.loads, lines) if row["text"] in ("wikitext", "stdlib")], {}
    parents = {row["text"]: np.array(row["losses"]) for row in rows if row["rule"] == "parent"}
    for row in rows:
        if row["repair"] == "fitted" and "bits" not in row:
            rise = np.array(row["losses"]) - parents[row["text"]]
            found.setdefault((row["rule"], round(20 * row["share"]) / 20), {})[row["text"]] = rise
    return found


def of_shapes() -> list[Gain]:
    "Rise of the loss of SmolLM2-135M narrowed uniformly over that of its exact shape of the same size; 95 %."
    rises, found, random = shape_rises(), [], np.random.default_rng(0)
    for size in sorted({size for rule, size in rises if rule == "uniform"}, reverse=True):
        pairs = [(rises["uniform", size][text], ours) for text, ours in rises["exact", size].items()]
        drawn = [random.integers(len(ours), size=(2000, len(ours))) for _, ours in pairs]
        theirs, ours = (sum(pair[k][i].mean(1) for pair, i in zip(pairs, drawn)) for k in (0, 1))
        low, high = np.quantile(theirs / ours, [0.025, 0.975])
        ratio = sum(pair[0].mean() for pair in pairs) / sum(pair[1].mean() for pair in pairs)
        found.append(Gain(f"{100 * size:.0f} % of it, rise of the loss", float(ratio), low, high, UNDER_SHAPES))
    return found


UNDER_SHAPES = "a parent's exact shape, against one narrowed alike, no training"


def stored_gains() -> list[Gain]:
    "All that is in the picture, in its order."
    return [*small_models().gains("gpt2"), *of_workloads(), *of_engines(), *of_formats(), *of_shapes(), *of_gpt2()]


def formats_in_words() -> list[str]:
    "What fewer bits save, and what they cost on trained models."
    lines, rows = ["the same architecture in llama.cpp, in place of float32"], read("targets/formats.json")["rows"]
    for g, name in zip(of_formats(), ("q8_0", "q4_0"), strict=True):
        rises = [row["formats"][f"llama.cpp {name}"]["rise"] for row in rows]
        faster = gain_in_words(g.ratio, "latency_s", (g.low, g.high))
        lines.append(f"    {g.what:17} {faster}; {min(rises):.4f} to {max(rises):.4f} nats more")
    return lines


def shapes_in_words() -> list[str]:
    "What a parent loses by its exact shape and by a uniform one."
    lines = ["SmolLM2-135M cut without training; narrowed alike it loses on two texts, beside its exact shape"]
    for g in of_shapes():
        size = g.what.split(" of")[0]
        lines.append(f"    {size} of its size      {g.ratio:.2f} times as much ({g.low:.2f} to {g.high:.2f})")
    return lines


def sentences() -> list[str]:
    "The same in words, for the README."
    trained, lines = small_models(), []
    metrics = dict(zip(COSTS, ("prefill_s", "decode_s", "peak_bytes"), strict=True))
    lines.append(f"{len(trained.runs)} small GPT-2s, trained; at the same loss, what this search chose is")
    for base in ("gpt2", "baseline"):
        lines.append(f"  against {NAMES[base]}")
        for g in trained.gains(base):
            lines.append(f"    {g.what:17} {gain_in_words(g.ratio, metrics[g.what], (g.low, g.high))}")
    *workloads, engine, gpt2 = [*of_workloads(), *of_engines(), *of_gpt2()]
    lines.append("with as many decoder parameters, in the median, least and most")
    for g in (*workloads, engine):
        lines.append(f"    {g.what:29} {gain_in_words(g.ratio, 'latency_s', (g.low, g.high))}")
    lines += [*formats_in_words(), *shapes_in_words()]
    lines.append("the paper's GPT-2 space in full size, as many decoder parameters as LTS's scaled baseline")
    lines.append(f"    {'reading a prompt':17} {gain_in_words(gpt2.ratio, 'latency_s', (gpt2.low, gpt2.high))}")
    saved = report.gains(SearchResult.load(ROOT / "benchmarks/gpt2_cpu")).memory_saving
    leanest = gain_in_words(saved.median(), "peak_bytes", (saved.min(), saved.max()))
    lines.append(f"    {'memory, as fast':17} {leanest}")
    return lines


def draw():  # matplotlib's `Figure`
    "Trained models on the left, gains on the right."
    trained = small_models()
    fig = plt.figure(figsize=(11.5, 5.2), layout="constrained")
    left, right = fig.subplots(1, 2, width_ratios=(1, 1.15))
    curves = (
        trained.curve("baseline", NAMES["baseline"], DARK_GREY, "s--"),
        trained.curve("gpt2", NAMES["gpt2"], ORANGE, "D--"),
        trained.curve("exact", "this search's picks", BLUE, "o-"),
    )
    draw_curves(left, curves, "time to read a prompt [ms]")
    draw_gains(right, stored_gains())
    left.set_title("Small GPT-2s, trained: the same loss in less time", fontsize=11, loc="left")
    right.set_title("What searching gained, measured", fontsize=11, loc="left")
    return fig


if __name__ == "__main__":
    mpl.use("agg")
    draw().savefig(ROOT / "nbs/images/gains.png", dpi=110)
