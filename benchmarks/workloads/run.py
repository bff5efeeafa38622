"""Which architecture is best for which workload, computed from device profiles, then measured on the same machine.

    python benchmarks/workloads/run.py        # reads the profiles, writes results.json

Each question compares the fastest architectures of two spaces or two objectives with at least so many decoder
parameters. All that are to serve the same request are visited in the same rounds, each in a process of its own; every
sample is kept in visits.sqlite, and what is there is not measured again.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lts_nb.core.files import replace_text
from lts_nb.core.workload import Workload
from lts_nb.frontier.exact import exact_frontier
from lts_nb.profiler.machine import describe_machine
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.store import Store
from lts_nb.profiler.targets.registry import get_target
from lts_nb.profiler.visits import Panel
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
ROUNDS = 6
SIZES = (10e6, 20e6, 40e6, 80e6)  # least decoder parameters
WRITE, LONG_WRITE = Workload(prompt_len=160, new_tokens=32), Workload(prompt_len=2032, new_tokens=16)
PROFILES = dict(
    gpt2="../gpt2_profile/device.json",
    llama="../llama_cpu/device.json",
    lfm2="../lfm2_cpu/device.json",
    lfm2_2048="lfm2_2048.json",
    embedding="embedding.json",
)


@dataclass(frozen=True)
class Question:
    "Two spaces or two objectives, of whose fastest architectures one is asked which is faster."

    name: str
    profile_name: str  # as results.json has it
    profile: DeviceProfile
    size: float  # least decoder parameters
    workload: Workload
    metric: str | None  # what is compared; None where each of the two was chosen for another
    spaces: tuple[SearchSpace, SearchSpace]
    metrics: tuple[str, str]  # for which each is the fastest

    def pair(self) -> list[Architecture]:
        "The two architectures, with as many positions as the request takes."
        chosen = [fastest(*of, self.profile, self.workload, self.size) for of in zip(self.spaces, self.metrics)]
        return [replace(architecture, max_len=self.workload.context) for architecture in chosen]


def fastest(space, metric: str, profile: DeviceProfile, workload: Workload, size: float) -> Architecture:
    "The architecture with the least of a metric among those with at least so many decoder parameters."
    limits = dict(min_decoder_params=size)
    front = exact_frontier(space, profile, ("decoder_params", metric), limits, workload)
    return front.population[int(front.F[:, 1].argmin())]


def reading_or_writing(profiles: dict) -> Iterator[Question]:
    "The fastest reader and the fastest writer of the same space."
    for name in ("gpt2", "llama", "lfm2"):
        profile, metrics = profiles[name], ("prefill_s", "decode_s")
        for size in SIZES:
            yield Question("reading or writing", name, profile, size, WRITE, None, (profile.space,) * 2, metrics)


def embedding(profiles: dict) -> Iterator[Question]:
    "The ordinary embedding and any."
    profile = profiles["embedding"]
    spaces = replace(profile.space, d_embed=(0,), div_val=(1,)), profile.space
    for workload, metric in ((WRITE, "prefill_s"), (WRITE, "decode_s")):
        for size in SIZES:
            yield Question("embedding", "gpt2", profile, size, workload, metric, spaces, (metric, metric))


def attention_or_convolution(profiles: dict) -> Iterator[Question]:
    "Attention in every layer, and convolutions allowed."
    requests = [("lfm2", WRITE, "prefill_s"), ("lfm2", WRITE, "decode_s")]
    requests += [("lfm2_2048", LONG_WRITE, "prefill_s"), ("lfm2_2048", LONG_WRITE, "decode_s")]
    for name, workload, metric in requests:
        profile, metrics = profiles[name], (metric, metric)
        spaces = replace(profile.space, layer_kind=("attention",)), profile.space
        for size in SIZES[1:]:
            yield Question("attention or convolution", name, profile, size, workload, metric, spaces, metrics)


def measure(questions: list[Question], target) -> list:
    "Visit the pairs of questions; for each, `[prefill_s, decode_s]` of both, a list of rounds each, and resolutions."
    panels, numbers = {}, []
    store, environment = Store(HERE / "visits.sqlite"), target.environment()
    for question in questions:
        panel = panels.setdefault(question.workload, Panel(target, store, environment))
        numbers.append([panel.add(architecture, question.workload) for architecture in question.pair()])
    for workload, panel in panels.items():
        for i in range(ROUNDS):
            panel.visit()
            print(f"{workload}: round {i + 1} of {ROUNDS}", flush=True)
    found = []
    for question, pair in zip(questions, numbers, strict=True):
        panel = panels[question.workload]
        phases = np.stack([panel.seconds("prefill_s"), panel.seconds("decode_s")], -1)[:, pair]
        resolutions = [panel.estimates(name).resolution for name in ("prefill_s", "decode_s")]
        found.append((phases.transpose(1, 0, 2).tolist(), resolutions))
    return found


def answer(question: Question, measured: list, resolutions: list) -> dict:
    "A row of results.json: both architectures, predicted and measured."
    pair, workload = question.pair(), question.workload
    predicted = question.profile.predict(pair, workload)
    counts = [count(architecture) for architecture in pair]
    return dict(
        question=question.name,
        profile=question.profile_name,
        parameters=question.size,
        goal=question.metric,
        prompt_len=workload.prompt_len,
        new_tokens=workload.new_tokens,
        architectures=[json.loads(architecture.to_json()) for architecture in pair],
        decoder_params=[c.decoder for c in counts],
        total_params=[c.total for c in counts],
        predicted=predicted[["prefill_s", "decode_s"]].astype(float).values.tolist(),
        measured=measured,
        resolution=resolutions,
    )


def describe(row: dict) -> str:
    "A row in words, in milliseconds."
    measured = np.median(np.array(row["measured"], float), 1) * 1e3
    predicted = np.array(row["predicted"]) * 1e3
    what = f"{row['question']} {row['profile']} {row['parameters'] / 1e6:.0f} M {row['goal']}"
    return f"{what}: predicted {predicted.round(1).tolist()}, measured {measured.round(1).tolist()} ms"


def main():
    profiles = {name: DeviceProfile.load(HERE / file) for name, file in PROFILES.items()}
    questions = [*reading_or_writing(profiles), *embedding(profiles), *attention_or_convolution(profiles)]
    target = get_target("torch-cpu")
    measured = measure(questions, target)
    target.close()
    rows = [answer(question, *found) for question, found in zip(questions, measured, strict=True)]
    results = dict(machine=describe_machine(), rounds=ROUNDS, rows=rows)
    replace_text(RESULTS, json.dumps(results, indent=1))
    for row in rows:
        print(describe(row))


if __name__ == "__main__":
    main()
