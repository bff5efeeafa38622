"""Losses of many shapes of the parent, on which scores of shapes can be judged; call it again to continue.

    python benchmarks/shaped/many.py --shapes 1000    # many.jsonl; about a quarter of a minute a shape on one core

Shapes between half of the parent and all of it, from nearly alike in all layers to very unlike, each repaired at once
(every end for itself) and judged on a few windows of English and of Python. The number of a shape is its seed, so that
several machines may add to one file.
"""

import time

import numpy as np
from allocations import STEP, Layers, losses_of, shape_of, share_of, whole_layers
from common import Bench, arguments
from rivals import outputs_of

from lts_nb.models.cut import cut
from lts_nb.models.parent import Parent

FILE = "many.jsonl"
N_WINDOWS = 4  # of each text
SPREADS = (0.1, 0.3, 1.0)  # standard deviation of the logarithm of what a half keeps
SMALLEST, LARGEST = 0.5, 0.97  # share of the parent's decoder parameters


def drawn(parent: Parent, number: int) -> tuple[Layers, float]:  # what stays; the spread
    "A shape of random size: halves keep log-normal shares, scaled until the size is met."
    draw = np.random.default_rng(number)
    goal, spread = draw.uniform(SMALLEST, LARGEST), draw.choice(SPREADS)
    whole = whole_layers(parent)
    wanted = np.exp(spread * draw.normal(size=(len(whole), 2)))

    def scaled(factor: float) -> Layers:
        kept = np.minimum(1, factor * wanted)
        return [(round(g * a), STEP * round(n * b / STEP)) for (g, n), (a, b) in zip(whole, kept.tolist())]

    low, high = 0.0, 100.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if share_of(parent, scaled(middle)) < goal else (low, middle)
    return scaled(high), float(spread)


def judge(bench: Bench, number: int) -> dict:
    "One shape, cut, repaired and judged."
    began = time.perf_counter()
    layers, spread = drawn(bench.parent, number)
    shape = shape_of(bench, layers)
    model = cut(bench.parent, shape, outputs_of(bench, shape))
    losses = {text: losses_of(model, bench.texts.judged[text][:N_WINDOWS]) for text in ("wikitext", "stdlib")}
    about = dict(number=number, spread=spread, share=share_of(bench.parent, layers), layers=layers)
    return about | dict(losses=losses, seconds=round(time.perf_counter() - began, 1))


def main():
    parser = arguments(__doc__)
    parser.add_argument("--shapes", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    options = parser.parse_args()
    bench = Bench.open(options)
    known = {row["number"] for row in bench.rows(FILE)}
    for number in range(options.first, options.shapes):
        if number not in known:
            row = judge(bench, number)
            bench.file(FILE, row)
            means = ", ".join(f"{text} {np.mean(losses):.3f}" for text, losses in row["losses"].items())
            print(f"{number}: {row['share']:.1%}, spread {row['spread']}: {means}, {row['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
