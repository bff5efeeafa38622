"""What scores say of the shapes of many.py, by a folder in which `lts shape` filed what choices cost.

    python benchmarks/shaped/scored.py FOLDER      # scored.jsonl: a line a shape, higher is better; some minutes

Every score but the counts is a sum over halves of layers of what is lost there, from tables by the number of units that
stay, straight between the numbers that were computed. Units leave in our order, as they do in the shapes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from allocations import counted, layer_size, loss_dropped, losses_of, measure_influence, whole_layers
from common import N_DROPS, Bench, arguments, corpus_of, settings_of
from many import FILE as SHAPES

from lts_nb.models.cut import HALVES
from lts_nb.shaping.evidence import Evidence, Shaping
from lts_nb.shaping.reduction import lost_share, reduced
from lts_nb.shaping.scores import Scores
from lts_nb.shaping.settings import texts_of

FILE = "scored.jsonl"
N_WIDTHS = 8  # at which ends are computed, beside none


@dataclass(frozen=True)
class Table:
    "What is lost of every end, by how many of its units stay."

    places: dict  # (layer, half) -> numbers of units, ascending, and what is lost; for "layer" what is lost if it goes

    def lost(self, layers: list) -> float:
        "Of a shape: the sum over its halves, or over layers where one is gone and was looked at as a whole."
        total = 0.0
        for i, kept in enumerate(layers):
            if tuple(kept) == (0, 0) and (i, "layer") in self.places:
                total += self.places[i, "layer"]
            else:
                total += sum(np.interp(n, *self.places[i, half]) for half, n in zip(HALVES, kept))
        return float(total)


def of_end(bench: Bench, place: tuple) -> tuple[list, dict]:  # numbers of units; name -> what is lost at each
    "What an end loses: size, energy and fluctuation of columns that go, and the error of its output in shares."
    end, moments, order = bench.ends[place], bench.moments.of(place), bench.moments.order(place)
    size, second = (end.matrix.double() ** 2).sum(0), moments.second.diag()
    columns = dict(magnitude=size, energy=size * second, fluctuation=size * (second - moments.mean**2))
    widths = sorted({round(end.n_units * i / N_WIDTHS) for i in range(N_WIDTHS + 1)})
    found = {name: [] for name in (*columns, "error", "error after repair")}
    for n in widths:
        stays = end.columns(torch.tensor(sorted(order[len(order) - n :]), dtype=torch.long))
        for name, values in columns.items():
            found[name].append(float(values.sum() - values[stays].sum()))
        for name, repairs in (("error", False), ("error after repair", True)):
            other = reduced(end, moments, order, n, repairs)
            found[name].append(lost_share(end.matrix, moments.second, stays, other.matrix))
    return widths, found


def tables_of_ends(bench: Bench) -> dict:  # name -> `Table`
    "What is computed from weights and moments of ends."
    places = {place: of_end(bench, place) for place in bench.ends}
    names = next(iter(places.values()))[1]
    return {name: Table({at: (widths, found[name]) for at, (widths, found) in places.items()}) for name in names}


def tables_of_layers(bench: Bench) -> dict:  # name -> `Table`
    "What a whole layer costs, by influence and by loss; a half of it costs its share of the parameters."
    n_layer = bench.parent.architecture.n_layer
    whole = np.mean([losses_of(bench.parent.model, bench.texts.scored[:N_DROPS])])
    costs = {
        "influence": bench.once("layers.jsonl", dict(what="influence"), lambda: measure_influence(bench)),
        "loss without a layer": [loss_dropped(bench, [i]) - whole for i in range(n_layer)],
    }
    places, all_units = {name: {} for name in costs}, whole_layers(bench.parent)
    for i, (groups, neurons) in enumerate(all_units):
        size = [layer_size(bench.parent.architecture, i, *kept) for kept in ((groups, 0), (0, neurons))]
        for half, n, share in zip(HALVES, (groups, neurons), np.array(size) / sum(size)):
            for name, cost in costs.items():
                places[name][i, half] = [0, n], [cost[i] * share, 0.0]
    return {name: Table(found) for name, found in places.items()}


def table_of_scores(bench: Bench, scores: Scores) -> Table:
    "What our own scores say."
    places = {}
    for place, end in bench.ends.items():
        found = {c.units: scores.of(c) for c in scores.choices if (c.layer, c.half) == place} | {end.n_units: 0.0}
        places[place] = sorted(found), [found[n] for n in sorted(found)]
    return Table(places | {(c.layer, "layer"): scores.of(c) for c in scores.choices if c.half == "layer"})


def beyond_the_sum(bench: Bench, evidence: Evidence, layers: list) -> float:  # nats
    "What choices of a shape cost together beyond their sum, by gradients that are straight between choices."
    small, sums, squares = evidence.small, 0.0, 0.0
    for place, end in bench.ends.items():
        at = [i for i, c in enumerate(small.choices) if (c.layer, c.half) == place]
        widths = [*(small.choices[i].units for i in at), end.n_units]
        changes = np.column_stack([small.drawn[:, at], np.zeros(len(small.drawn))])
        kept = layers[place[0]][HALVES.index(place[1])]
        each = np.array([np.interp(kept, widths, row) for row in changes])
        sums, squares = sums + each, squares + each**2
    return float((sums**2 - squares).mean() / 2 / small.n_tokens)


def evidence_in(bench: Bench, folder: Path, options) -> Evidence:
    "What the folder has filed."
    settings = settings_of(options.read).of(bench.parent)
    texts = texts_of(corpus_of(options.read, options.data), bench.parent, settings)
    return Shaping(bench.parent, texts, settings, folder).evidence(lambda: None)


def all_tables(bench: Bench, evidence: Evidence) -> dict:  # name -> `Table`
    "Every score that is a sum over halves of layers."
    scores = evidence.scores()
    own = {"sum of scores": scores, "sum of scores, drawn together": scores.shrunk(1 / 3)}
    own["sum of scores, drawn further"] = scores.shrunk(2 / 3)
    tables = {name: table_of_scores(bench, found) for name, found in own.items()}
    return tables_of_ends(bench) | tables_of_layers(bench) | tables


def counts_of(bench: Bench, layers: list) -> dict:
    "Scores that only count."
    sizes = [
        [layer_size(bench.parent.architecture, i, *at) for at in ((a, 0), (0, b))] for i, (a, b) in enumerate(layers)
    ]
    attention, feed_forward = np.sum(sizes, 0).tolist()
    return {
        "decoder parameters": counted(bench.parent, layers),
        "attention": attention,
        "attention + half of feed-forward": attention + feed_forward / 2,
    }


def main():
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path, help="that `lts shape` wrote")
    options = parser.parse_args()
    bench = Bench.open(options)
    evidence = evidence_in(bench, options.folder, options)
    tables = all_tables(bench, evidence)
    known = {row["number"] for row in bench.rows(FILE)}
    for row in bench.rows(SHAPES):
        if row["number"] not in known:
            layers = [tuple(kept) for kept in row["layers"]]
            scores = counts_of(bench, layers) | {name: -table.lost(layers) for name, table in tables.items()}
            scores["sum of scores and pairs"] = scores["sum of scores"] - beyond_the_sum(bench, evidence, layers)
            bench.file(FILE, dict(number=row["number"], scores=scores))


if __name__ == "__main__":
    main()
