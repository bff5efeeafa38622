"""Shape the parent; call it again to continue where it stopped.

    python benchmarks/shaped/shape.py runs/shaped --members 5    # then 10, which keeps the five

It is what `lts shape` does, with the settings of this benchmark. On two cores five members take about an hour.
"""

import time
from dataclasses import replace
from pathlib import Path

from common import arguments, corpus_of, keeping_fits, open_parent, settings_of

from lts_nb.shaping import repaired
from lts_nb.shaping.shaped import shape_parent


def main():
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path, help="for the members")
    parser.add_argument("--members", type=int, default=5, help="sizes from half of the parent on")
    options = parser.parse_args()
    repaired.refit = keeping_fits(options.cache)  # so that nothing fits a member again
    began = time.perf_counter()
    settings = replace(settings_of(options.read), n_members=options.members)
    table = shape_parent(
        open_parent(options.parent),
        corpus_of(options.read, options.data),
        options.folder,
        settings,
        place=str(options.parent),
        say=lambda what: print(f"{time.perf_counter() - began:.0f} s: {what}", flush=True),
    )
    print(table.drop(columns="architecture").to_string())


if __name__ == "__main__":
    main()
