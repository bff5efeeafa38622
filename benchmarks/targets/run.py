"""One space and one request on several engines of one machine: profiles, frontiers, and what the wrong device costs.

    python benchmarks/targets/run.py profile torch-cpu       # and every other name of ENGINES: NAME.json
    python benchmarks/targets/run.py whole                   # whole.json: how many whole models a profile takes
    python benchmarks/targets/run.py matrix                  # picks of all profiles, measured on all engines
    python benchmarks/targets/run.py report                  # results.json

Every measurement is kept in NAME.sqlite, and what is there is not measured again: any step can be stopped and begun
again. Do it on a machine that does nothing else.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lts_nb.core.files import replace_text
from lts_nb.core.workload import Workload
from lts_nb.frontier.exact import exact_frontier
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.profile.validation import prediction_errors
from lts_nb.profiler.profile.whole_fit import fit_whole_models
from lts_nb.profiler.store import Store
from lts_nb.profiler.targets.contract import Target
from lts_nb.profiler.targets.registry import get_target
from lts_nb.profiler.targets.torch_cpu import TorchCPU
from lts_nb.profiler.visits import Panel
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace

HERE = Path(__file__).parent
SPACE = SearchSpace.preset(
    "llama", n_layer=range(2, 13), d_model=range(256, 769, 128), d_inner=range(256, 2049, 256), vocab_size=[16384]
)
REQUEST = Workload(prompt_len=128, new_tokens=64)
HELD_OUT, ROUNDS = 40, 5
SIZES = (3e6, 6e6, 12e6, 24e6, 40e6)  # least decoder parameters
ENGINES = {
    "torch-cpu": dict(name="torch-cpu"),
    "onnx-cpu": dict(name="onnx-cpu"),
    "onnx-cpu-int8": dict(name="onnx-cpu-int8"),
    "llama-cpp-f32": dict(name="llama-cpp", dtype="float32"),
    "llama-cpp-q8_0": dict(name="llama-cpp", dtype="q8_0"),
    "llama-cpp-q4_0": dict(name="llama-cpp", dtype="q4_0"),
}


class Opaque(TorchCPU):
    "PyTorch, as if it could not tell parts apart."

    measure_parts = Target.measure_parts


def measure_profile(
    name: str, target=None, space: SearchSpace = SPACE, request: Workload = REQUEST, held_out: int = HELD_OUT
) -> DeviceProfile:
    "Measure the profile of an engine, or go on with it, and write it."
    target, store = target or get_target(**ENGINES[name]), Store(HERE / f"{name}.sqlite")
    total = DeviceProfile.n_measurements(space, request, held_out, target.times_parts)
    with tqdm(total=total, desc=name) as bar:
        profile = DeviceProfile.measure(space, target, request, store, held_out, done=bar.update)
    target.close()
    profile.save(HERE / f"{name}.json")
    print(profile, "\n", profile.summary().to_string(index=False), flush=True)
    return profile


def errors_with(profile: DeviceProfile, n_models: int, rounds: int) -> dict:  # phase -> mean absolute relative error
    "How well the first whole models predict what was held out, in fewer rounds, and how many requests that takes."
    first = list(dict.fromkeys(s.architecture for s in profile.samples if s.workload.logits == "last"))[:n_models]
    some = [s for s in profile.samples if s.workload.logits == "all" or s.architecture in first and s.round < rounds]
    fit = fit_whole_models(some, SPACE, profile.lengths, profile.memory.weight)
    fewer = replace(profile, fit=fit)
    request = Workload(prompt_len=profile.lengths[-1], new_tokens=8)
    visits = {}
    for found in (found for found in profile.held_out if not found.request):
        visits.setdefault(found.architecture, []).append((found.prefill_s, found.decode_s))
    measured = np.array([np.median(each, 0) for each in visits.values()])
    predicted = fewer.predict(list(visits), request)[["prefill_s", "decode_s"]].to_numpy()
    errors = {
        phase: prediction_errors(predicted[:, i], measured[:, i]).mape for i, phase in enumerate(("prefill", "decode"))
    }
    return dict(requests=len(some)) | errors


def compare_whole():
    "How many whole models give the error that parts give."
    parts, whole = DeviceProfile.load(HERE / "torch-cpu.json"), measure_profile("whole", Opaque())
    rows = [
        dict(models=n, rounds=rounds, **errors_with(whole, n, rounds)) for rounds in (1, 2, 3) for n in (10, 20, 30, 40)
    ]
    found = dict(
        parts={phase: parts.errors[phase].mape for phase in ("prefill", "decode")},
        requests_in_parts=len(parts.samples),
        whole=rows,
        requests_as_wholes=len(whole.samples),
        machine=whole.machine,
    )
    replace_text(HERE / "whole.json", json.dumps(found, indent=1))
    print(json.dumps(found, indent=1))


def picks(profile: DeviceProfile) -> list[Architecture]:
    "The fastest architecture of each size by a profile, with as many positions as the request takes."
    front = exact_frontier(SPACE, profile, ("decoder_params", "latency_s"), workload=REQUEST)
    found = []
    for size in SIZES:
        large = np.flatnonzero(-front.F[:, 0] >= size)
        chosen = front.population[int(large[front.F[large, 1].argmin()])]
        found.append(replace(chosen, max_len=REQUEST.context))
    return found


def measured_profiles() -> dict:  # name -> `DeviceProfile`
    "The profiles that were measured."
    return {name: DeviceProfile.load(HERE / f"{name}.json") for name in ENGINES if (HERE / f"{name}.json").exists()}


def measure_matrix():
    "Visit the picks of all profiles on all engines: in each round every engine in turn, the picks in random order."
    profiles, panels = measured_profiles(), {}
    everybody = list(dict.fromkeys(pick for profile in profiles.values() for pick in picks(profile)))
    for name in profiles:
        target = get_target(**ENGINES[name])
        panels[name] = Panel(target, Store(HERE / f"{name}.sqlite"), target.environment(), "matrix")
        for architecture in everybody:
            panels[name].add(architecture, REQUEST)
    for number in range(ROUNDS):
        for name, panel in panels.items():
            panel.visit(memory=range(len(everybody)) if number == 0 else ())
            print(f"{name}: round {number + 1} of {ROUNDS}", flush=True)
    rows = {name: row_of(panel) for name, panel in panels.items()}
    for panel in panels.values():
        panel.target.close()
    found = dict(architectures=[json.loads(a.to_json()) for a in everybody], engines=rows)
    replace_text(HERE / "matrix.json", json.dumps(found, indent=1))


def row_of(panel: Panel) -> dict:
    "What an engine took for every architecture."
    estimates = {name: panel.estimates(name) for name in ("latency_s", "prefill_s", "decode_s")}
    measured = [panel.measurement(i) for i in range(len(panel.requests))]
    return dict(
        {name: found.seconds.tolist() for name, found in estimates.items()},
        standard_error=estimates["latency_s"].standard_error.tolist(),
        resolution=estimates["latency_s"].resolution,
        peak_bytes=[m and m.peak_bytes for m in measured],
        file_bytes=[m and m.extra.get("file_bytes") for m in measured],
    )


def cost_of(name: str) -> dict:
    "What a profile took, graphs and files included: requests for its tables, all requests, seconds."
    with Store(HERE / f"{name}.sqlite") as store:
        seconds = {part: store.seconds(f"{part}%") for part in ("profile", "held out")}
        requests = store.execute("select count(*) from measurement where occasion not like 'matrix%'")[0][0]
    return dict(requests=requests, seconds=sum(seconds.values()), for_tables_s=seconds["profile"])


def report():
    "What it all comes to: frontiers, errors and the regret matrix, in results.json."
    profiles, matrix = measured_profiles(), json.loads((HERE / "matrix.json").read_text(encoding="utf-8"))
    everybody = [Architecture.from_json(json.dumps(fields)) for fields in matrix["architectures"]]
    number = {architecture: i for i, architecture in enumerate(everybody)}
    chosen = {name: [number[pick] for pick in picks(profile)] for name, profile in profiles.items()}
    regret = {}
    for i in profiles:
        for j in profiles:
            taken = np.array(matrix["engines"][j]["latency_s"])
            regret[f"{i} on {j}"] = (taken[chosen[i]] / taken[chosen[j]]).round(4).tolist()
    found = dict(
        machine=next(iter(profiles.values())).machine,
        request=REQUEST.as_dict(),
        sizes=SIZES,
        picks=chosen,
        decoder_params=[count(architecture).decoder for architecture in everybody],
        regret=regret,
        cost={name: cost_of(name) for name in profiles},
        errors={name: profile.validation for name, profile in profiles.items()},
        memory_error={name: profile.memory_error for name, profile in profiles.items()},
    )
    replace_text(HERE / "results.json", json.dumps(found, indent=1))
    for pair, ratios in regret.items():
        print(f"{pair}: {ratios}")


def main(step: str, name: str = ""):
    steps = dict(profile=lambda: measure_profile(name), whole=compare_whole, matrix=measure_matrix, report=report)
    steps[step]()


if __name__ == "__main__":
    main(*sys.argv[1:])
