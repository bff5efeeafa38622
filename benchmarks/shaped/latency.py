"""Shapes and their parent timed side by side in every engine; call it again to continue where it stopped.

    python benchmarks/shaped/latency.py --rounds 8              # all that rivals.jsonl knows: latency.json
    python benchmarks/shaped/latency.py --models FOLDER FOLDER  # and folders of models, as `lts build` writes them

One thread, one request: 128 tokens read, 64 written. In each round every engine in turn visits all models in random
order. What is timed has the sizes of a shape and any weights, since these take as long as its own. Every visit is kept
in latency.sqlite. Do it on a machine that does nothing else.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import HERE

from lts_nb.core.errors import InputError
from lts_nb.core.files import read_text, replace_text
from lts_nb.core.workload import Workload
from lts_nb.models.shape import Kept, Shape
from lts_nb.profiler.machine import describe_machine
from lts_nb.profiler.store import Store
from lts_nb.profiler.targets.registry import get_target
from lts_nb.profiler.visits import Panel
from lts_nb.space.architecture import Architecture
from lts_nb.space.config_files import architecture_from_config, parse

REQUEST = Workload(prompt_len=128, new_tokens=64)
ENGINES = {
    "torch-cpu": dict(name="torch-cpu"),
    "onnx-cpu-int8": dict(name="onnx-cpu-int8"),
    "llama-cpp-q8_0": dict(name="llama-cpp", dtype="q8_0"),
    "llama-cpp-q4_0": dict(name="llama-cpp", dtype="q4_0"),
}
TIMES = ("prefill_s", "decode_s", "latency_s")
RULES = ("exact", "alone", "uniform", "influence", "loss", "greedy", "flap")


def name_of(row: dict) -> str:
    "A shape in words."
    which = row["id"][:8] if row.get("id") else f"{row['goal']:.0%}"
    return f"{row['rule']} {which}"


def shapes_judged(out: Path, rules: list[str]) -> dict:  # name -> `Architecture`
    "The parent, and what was judged of these rules."
    about = json.loads(read_text("out", out / "about.json"))
    parent = Architecture.from_json(json.dumps(about["architecture"]))
    found = {"parent": parent}
    for line in read_text("out", out / "rivals.jsonl").splitlines():
        row = json.loads(line)
        if row["rule"] in rules and not row.get("bits"):
            shape = Shape(tuple(Kept(range(groups), range(neurons)) for groups, neurons in row["layers"]))
            found[name_of(row)] = shape.architecture(parent)
    return found


def model_in(folder: Path) -> Architecture:
    "What a folder's model is. Raises `InputError`."
    return architecture_from_config(parse(read_text("model", folder / "config.json"), "config.json"))


def panel_of(name: str, models: dict, store: Store) -> Panel:
    "One engine and all models that it is to visit."
    target = get_target(threads=1, **ENGINES[name])
    panel = Panel(target, store, target.environment(), name)
    for architecture in models.values():
        panel.add(replace(architecture, max_len=REQUEST.context), REQUEST)
    return panel


def times_of(panel: Panel, models: dict) -> dict:  # name of a model -> what it took
    "What visits say: times, how many times as fast as the parent, and how sure that is."
    estimates = {time: panel.estimates(time) for time in TIMES}
    numbers = {name: panel.add(replace(a, max_len=REQUEST.context), REQUEST) for name, a in models.items()}
    found = {name: {} for name in models}
    for time, estimate in estimates.items():
        parent, log_seconds = numbers["parent"], np.log(panel.seconds(time))
        for name, i in numbers.items():
            error = float(np.hypot(estimate.standard_error[i], estimate.standard_error[parent])) if i != parent else 0.0
            found[name][time] = dict(
                seconds=float(estimate.seconds[i]),
                faster=float(estimate.seconds[parent] / estimate.seconds[i]),
                error=error,  # of the logarithm of `faster`
                rounds=np.exp(log_seconds[:, parent] - log_seconds[:, i]).round(4).tolist(),
            )
    return found


def visit(panels: dict, rounds: int):
    "Visit all models in all engines, round by round."
    try:
        for number in range(rounds):
            for name, panel in panels.items():
                spent = panel.visit()
                print(f"round {number + 1} of {rounds}, {name}: {spent:.0f} s", flush=True)
    finally:
        for panel in panels.values():
            panel.target.close()


def measure(models: dict, engines: list[str], rounds: int, out: Path):
    "Measure, and write what was found."
    with Store(out / "latency.sqlite") as store:
        panels = {name: panel_of(name, models, store) for name in engines}
        visit(panels, rounds)
    content = dict(
        machine=describe_machine(),
        environments={name: panel.environment for name, panel in panels.items()},
        request=REQUEST.as_dict(),
        rounds=rounds,
        resolution={name: {t: panel.estimates(t).resolution for t in TIMES} for name, panel in panels.items()},
        architectures={name: json.loads(architecture.to_json()) for name, architecture in models.items()},
        engines={name: times_of(panel, models) for name, panel in panels.items()},
    )
    replace_text(out / "latency.json", json.dumps(content, indent=1))
    for name, times in content["engines"].items():
        for model, each in times.items():
            said = ", ".join(f"{time} × {each[time]['faster']:.3f} ± {each[time]['error']:.3f}" for time in TIMES)
            print(f"{name}: {model}: {said}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of results")
    parser.add_argument("--rules", nargs="*", choices=RULES, default=list(RULES), help="of the shapes in rivals.jsonl")
    parser.add_argument("--only", nargs="+", help="names of shapes, such as 'flap 80%%'; the parent is always timed")
    parser.add_argument("--models", nargs="*", type=Path, default=[], help="folders of models")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    models = shapes_judged(options.out, options.rules)
    if options.only:
        if unknown := set(options.only) - models.keys():
            raise InputError(f"only={min(unknown)!r}: was not judged; there are {', '.join(models)}")
        models = {name: models[name] for name in ("parent", *options.only)}
    models |= {folder.name: model_in(folder) for folder in options.models}
    measure(models, options.engines, options.rounds, options.out)


if __name__ == "__main__":
    main()
