"""How well latencies agree between independent runs, and whether a run's resolution and intervals are true.

    python benchmarks/agreement/run.py visit NAME [--busy]    visit forty architectures, as a run of its own
    python benchmarks/agreement/run.py members NAME RUN       visit the members of a run folder again
    python benchmarks/agreement/run.py report                 compare what there is; writes results.json

Every sample is kept in NAME.sqlite; a visit that was made is not made again. `--busy` keeps the other core streaming
through a gigabyte of memory. Runs to be compared are visited in processes of their own, an hour apart.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from lts_nb.core.workload import Workload
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.store import Store
from lts_nb.profiler.targets.registry import get_target
from lts_nb.profiler.visits import Panel
from lts_nb.searches.result import SearchResult
from lts_nb.space.architecture import Architecture
from lts_nb.space.presets import get_space

HERE = Path(__file__).parent
REQUEST = Workload(prompt_len=184, new_tokens=8)  # a prompt and a few tokens, of both of which a profile speaks
ROUNDS = 8
STREAM = "import numpy as np\na = np.ones(2**27)\nwhile True: a += 1.0\n"  # one gigabyte, over and over


def visited(name: str, architectures: list, workload: Workload, rounds: int) -> Panel:
    "A panel of architectures, visited in rounds, or read from its store, wherever that was filled."
    target, store, path = get_target(), Store(HERE / f"{name}.sqlite"), HERE / "runs.json"
    runs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    environment = runs[name]["machine"] if name in runs else target.environment()
    panel = Panel(target, store, environment, seed=sum(map(ord, name)))
    for architecture in architectures:
        panel.add(architecture, workload)
    for _ in range(rounds):
        panel.visit()
    target.close()
    return panel


def visit(name: str, busy: bool):
    "Visit forty random architectures of the paper's space."
    stream = subprocess.Popen([sys.executable, "-c", STREAM]) if busy else None
    try:
        started = time.time()
        visited(name, list(get_space("gpt2").sample(40, 11)), REQUEST, ROUNDS)
        note(name, dict(kind="visits", busy=busy, started=started, seconds=time.time() - started))
    finally:
        if stream:
            stream.kill()


def visit_members(name: str, run: Path):
    "Visit the members of a run again."
    started, result = time.time(), SearchResult.load(run)
    members = [Architecture.from_json(text) for text in result.frontier.architecture]
    visited(name, members, Workload.of(result.run["workload"]), ROUNDS)
    note(name, dict(kind="members", run=run.name, started=started, seconds=time.time() - started))


def note(name: str, facts: dict):
    "Keep what a run was."
    path = HERE / "runs.json"
    runs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    runs[name] = facts | dict(machine=get_target().environment())
    path.write_text(json.dumps(runs, indent=1), encoding="utf-8")


def ratios(one, other) -> np.ndarray:
    "Log ratios after one common factor."
    difference = np.log(one / other)
    return difference - np.median(difference)


def compare(one: str, other: str, metric: str) -> dict:
    "Two runs of visits: is the resolution that each states true?"
    space = get_space("gpt2")
    found = [visited(n, list(space.sample(40, 11)), REQUEST, ROUNDS).estimates(metric) for n in (one, other)]
    difference = np.abs(ratios(found[0].seconds, found[1].seconds))
    stated = float(np.mean([f.resolution for f in found]))
    return dict(
        runs=[one, other],
        metric=metric,
        resolution=[round(f.resolution, 4) for f in found],
        median=round(float(np.median(difference)), 4),
        q90=round(float(np.quantile(difference, 0.9)), 4),
        within=round(float((difference <= stated).mean()), 3),
    )


def against_profile(name: str, folder: str, metric: str) -> dict:
    "A profile's predictions against visits of a run of their own."
    profile, space = DeviceProfile.load(HERE.parent / folder / "device.json"), get_space("gpt2")
    people = list(space.sample(40, 11))
    found = visited(name, people, REQUEST, ROUNDS).estimates(metric)
    error = np.abs(ratios(profile.predict(people, REQUEST)[metric].to_numpy(), found.seconds))
    return dict(
        profile=folder,
        visits=name,
        metric=metric,
        mean_error=round(float(error.mean()), 4),
        q90=round(float(np.quantile(error, 0.9)), 4),
        resolution=round(found.resolution, 4),
    )


def intervals(run: Path, later: str) -> dict:
    "Which share of a run's members lies inside their 90 % intervals, in it and visited again."
    result = SearchResult.load(run)
    frame = result.frontier
    low, high = (frame[f"predicted_{end}_s"] / frame.predicted_latency_s for end in ("low", "high"))

    def inside(seconds):
        ratio = np.exp(ratios(seconds, frame.predicted_latency_s.to_numpy()))
        return round(float(((low <= ratio) & (ratio <= high)).mean()), 3)

    members = [Architecture.from_json(text) for text in frame.architecture]
    again = visited(later, members, Workload.of(result.run["workload"]), ROUNDS).estimates()
    difference = np.abs(ratios(again.seconds, frame.latency_s.to_numpy()))
    return dict(
        run=run.name,
        members=len(frame),
        resolution=round(result.run["resolution"], 4),
        same_run=inside(frame.latency_s),
        again=later,
        later=inside(again.seconds),
        median=round(float(np.median(difference)), 4),
        within_resolution=round(float((difference <= result.run["resolution"]).mean()), 3),
    )


def report():
    "Compare all that was visited."
    runs = json.loads((HERE / "runs.json").read_text(encoding="utf-8"))
    kinds = {busy: [n for n, run in runs.items() if run["kind"] == "visits" and run["busy"] == busy] for busy in (0, 1)}
    found = dict(agreement=[], profile=[], intervals=[])
    for metric in ("prefill_s", "decode_s", "latency_s"):
        for names in (*kinds.values(), [kinds[0][0], kinds[1][0]] if kinds[0] and kinds[1] else []):
            found["agreement"] += [compare(a, b, metric) for a, b in zip(names, names[1:])]
        for profile in ("gpt2_profile", "gpt2_cpu"):
            for names in kinds.values():
                found["profile"] += [against_profile(name, profile, metric) for name in names]
    for name, run in runs.items():
        if run["kind"] == "members":
            found["intervals"].append(intervals(HERE.parent / run["run"], name))
    (HERE / "results.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    for rows in found.values():
        for row in rows:
            print(row)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("visit", "members", "report"))
    parser.add_argument("name", nargs="?")
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--busy", action="store_true")
    asked = parser.parse_args()
    if asked.what == "report":
        report()
    elif asked.what == "visit":
        visit(asked.name, asked.busy)
    else:
        visit_members(asked.name, asked.run)
