"""Time what plan.json says, reading and writing, in PyTorch and in ONNX Runtime, and its peak memory in PyTorch.

    python benchmarks/frontier_quality/measure.py     # extra `onnx`; a quiet machine, ten minutes; writes measured.json

Every architecture in both runtimes in each of `ROUNDS` rounds, in reverse order every other round: what counts is
ratios within a round, which shares the machine's mood. One thread. Weights are random: their values cost nothing.
"""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from lts_nb.core.files import replace_text
from lts_nb.core.workload import Workload
from lts_nb.formats.onnx_export import to_onnx
from lts_nb.formats.onnx_model import OnnxModel
from lts_nb.models.build import build
from lts_nb.profiler.machine import describe_machine
from lts_nb.profiler.measurement import summarize
from lts_nb.profiler.targets.registry import get_target
from lts_nb.profiler.timing import Effort, cpu_clock, reference_kernel, timed
from lts_nb.space.architecture import Architecture

HERE = Path(__file__).parent
ROUNDS = 7
EFFORT = Effort(warmup=3, repetitions=3, seconds=0.1)
READ, WRITE = Workload(prompt_len=128), Workload(prompt_len=64, new_tokens=64)  # 128 positions are what was trained


def run_in_onnx(runner: OnnxModel, workload: Workload, clock) -> tuple:  # the clock's three readings
    "Run one request in ONNX Runtime as `lts_nb.profiler.timing.request` does in PyTorch."
    tokens = (np.arange(workload.context) * 7919 % 512)[None]
    start = clock()
    _, past = runner(tokens[:, : workload.prompt_len])
    read = clock()
    for i in range(workload.prompt_len, workload.context):
        _, past = runner(tokens[:, i : i + 1], past)
    return start, read, clock()


def time_in_onnx(runner: OnnxModel, workload: Workload) -> dict:
    "The fields of a `Measurement` that are times."
    samples = timed(lambda clock: run_in_onnx(runner, workload, clock), reference_kernel(), EFFORT)
    return summarize(samples, workload, cpu_clock(1))


def time_in_both(target, architecture: Architecture, runner: OnnxModel) -> dict[str, float]:
    "Seconds of a prompt and of a new token, in either runtime."
    return dict(
        torch_prefill_s=target.measure(architecture, READ, EFFORT, memory=False).prefill_s,
        torch_decode_s=target.measure(architecture, WRITE, EFFORT, memory=False).decode_s,
        onnx_prefill_s=time_in_onnx(runner, READ)["prefill_s"],
        onnx_decode_s=time_in_onnx(runner, WRITE)["decode_s"],
    )


def export_model(architecture: Architecture, file: Path) -> OnnxModel:
    "Write a model with random weights as an ONNX graph, and open it."
    to_onnx(build(architecture), file)
    return OnnxModel(file)


def measure_models(models: dict[str, Architecture], folder: Path) -> list[dict]:
    "Peak memory of every model, and its times, one a round."
    target = get_target("torch-cpu")
    target.reserve(models.values())
    runners = {id: export_model(architecture, folder / f"{id}.onnx") for id, architecture in models.items()}
    rows = {}
    for id, architecture in models.items():
        memory = target.measure(architecture, READ)
        rows[id] = dict(id=id, peak_bytes=memory.peak_bytes, weight_bytes=memory.weight_bytes)
    for i in range(ROUNDS):
        for id, architecture in list(models.items())[:: 1 if i % 2 else -1]:
            for name, seconds in time_in_both(target, architecture, runners[id]).items():
                rows[id].setdefault(name, []).append(seconds)
        print(f"round {i + 1} of {ROUNDS}", flush=True)
    return list(rows.values())


def main():
    plan = json.loads((HERE / "plan.json").read_text(encoding="utf-8"))
    models = {row["id"]: Architecture.from_json(json.dumps(row["architecture"])) for row in plan["rows"]}
    with tempfile.TemporaryDirectory() as folder:
        rows = measure_models(models, Path(folder))
    machine = describe_machine() | dict(onnxruntime=version("onnxruntime"))
    replace_text(HERE / "measured.json", json.dumps(dict(machine=machine, rows=rows), indent=0) + "\n")


if __name__ == "__main__":
    main()
