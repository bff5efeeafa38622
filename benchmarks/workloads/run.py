"""Which architecture is best for which workload, computed from device profiles, then measured on the same machine.

    python benchmarks/workloads/run.py        # reads the profiles, appends to results.json pair by pair

Each question compares the fastest architectures of two spaces or two objectives with at least so many decoder
parameters, in three interleaved rounds. What is already in results.json is not measured again.
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
from lts_nb.profiler.targets.registry import get_target
from lts_nb.profiler.timing import Effort
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
ROUNDS = 3
EFFORT = Effort(warmup=2, repetitions=3, seconds=0.1)
SIZES = (10e6, 20e6, 40e6, 80e6)  # least decoder parameters
READ, WRITE = Workload(prompt_len=160), Workload(prompt_len=160, new_tokens=32)
LONG_READ, LONG_WRITE = Workload(prompt_len=2048), Workload(prompt_len=2032, new_tokens=16)
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

    @property
    def key(self) -> tuple:
        "What tells it from others in results.json."
        return self.name, self.profile_name, self.size, self.metric

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
    for workload, metric in ((READ, "prefill_s"), (WRITE, "decode_s")):
        for size in SIZES:
            yield Question("embedding", "gpt2", profile, size, workload, metric, spaces, (metric, metric))


def attention_or_convolution(profiles: dict) -> Iterator[Question]:
    "Attention in every layer, and convolutions allowed."
    requests = [("lfm2", READ, "prefill_s"), ("lfm2", WRITE, "decode_s")]
    requests += [("lfm2_2048", LONG_READ, "prefill_s"), ("lfm2_2048", LONG_WRITE, "decode_s")]
    for name, workload, metric in requests:
        profile, metrics = profiles[name], (metric, metric)
        spaces = replace(profile.space, layer_kind=("attention",)), profile.space
        for size in SIZES[1:]:
            yield Question("attention or convolution", name, profile, size, workload, metric, spaces, metrics)


def measure(target, pair: list[Architecture], workload: Workload) -> list:
    "`[prefill_s, decode_s]` of both, a list of rounds each."
    target.reserve(pair)
    found = [[], []]
    for _ in range(ROUNDS):
        for rounds, architecture in zip(found, pair):
            measured = target.measure(architecture, workload, EFFORT, memory=False)
            rounds.append([measured.prefill_s, measured.decode_s])
    return found


def answer(question: Question, target) -> dict:
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
        measured=measure(target, pair, workload),
    )


def describe(row: dict) -> str:
    "A row in words, in milliseconds."
    measured = np.median(np.array(row["measured"], float), 1) * 1e3
    predicted = np.array(row["predicted"]) * 1e3
    what = f"{row['question']} {row['profile']} {row['parameters'] / 1e6:.0f} M {row['goal']}"
    return f"{what}: predicted {predicted.round(1).tolist()}, measured {measured.round(1).tolist()} ms"


def main():
    profiles = {name: DeviceProfile.load(HERE / file) for name, file in PROFILES.items()}
    results = dict(machine=describe_machine(), rounds=ROUNDS, rows=[])
    if RESULTS.exists():
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    done = {(row["question"], row["profile"], row["parameters"], row["goal"]) for row in results["rows"]}
    target = get_target("torch-cpu")
    questions = [*reading_or_writing(profiles), *embedding(profiles), *attention_or_convolution(profiles)]
    for question in questions:
        if question.key not in done:
            results["rows"].append(answer(question, target))
            replace_text(RESULTS, json.dumps(results, indent=1))
            print(describe(results["rows"][-1]), flush=True)


if __name__ == "__main__":
    main()
