"""Score the shapes of many.py as models: every proxy of an untrained model, on the parent's weights that stay.

    python benchmarks/shaped/proxied.py --shapes 100    # proxied.jsonl; about a minute a shape on one core

The batch is the beginning of some calibration windows. What stays is repaired as it was when it was judged.
"""

import time

from allocations import shape_of
from common import Bench, arguments
from many import FILE as SHAPES
from rivals import outputs_of

from lts_nb.frontier.proxies import find_proxies
from lts_nb.models.cut import cut
from lts_nb.study.proxies.scores import score

FILE = "proxied.jsonl"
SEQUENCES, TOKENS = 4, 128


def proxied(bench: Bench, row: dict, names: list[str]) -> dict:
    "What proxies say of one shape."
    began = time.perf_counter()
    shape = shape_of(bench, [tuple(kept) for kept in row["layers"]])
    model = cut(bench.parent, shape, outputs_of(bench, shape))
    found = score(model, names, bench.texts.calibration[:SEQUENCES, :TOKENS])
    scores = {name: each.value if each.error is None else None for name, each in found.items()}
    seconds = {name: round(each.seconds, 2) for name, each in found.items()}
    about = dict(number=row["number"], scores=scores, errors=[each.error for each in found.values() if each.error])
    return about | dict(each=seconds, seconds=round(time.perf_counter() - began, 1))


def main():
    parser = arguments(__doc__)
    parser.add_argument("--shapes", type=int, default=100)
    parser.add_argument("--proxies", nargs="+", help="names; all that look at a model by default")
    options = parser.parse_args()
    names = [proxy.name for proxy in find_proxies(options.proxies) if proxy.takes == "model"]
    bench = Bench.open(options)
    known = {row["number"] for row in bench.rows(FILE)}
    for row in bench.rows(SHAPES)[: options.shapes]:
        if row["number"] not in known:
            found = proxied(bench, row, names)
            bench.file(FILE, found)
            print(row["number"], found["seconds"], "s", *found["errors"], flush=True)


if __name__ == "__main__":
    main()
