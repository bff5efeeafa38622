"""Time what plan.json says, reading and writing, in PyTorch and in ONNX Runtime, and its peak memory in PyTorch.

    python benchmarks/frontier_quality/measure.py     # extra `onnx`; a quiet machine, ten minutes; writes measured.json

Every architecture in both runtimes in each of `ROUNDS` rounds, in reverse order every other round: what counts is ratios
within a round, which shares the machine's mood. One thread. Weights are random: their values cost nothing.
"""

import json
import tempfile
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from lts_nb.core.workload import Workload
from lts_nb.evaluation.onnx_export import to_onnx
from lts_nb.evaluation.onnx_model import OnnxModel
from lts_nb.models.build import build
from lts_nb.profiler.machine import describe_machine
from lts_nb.profiler.measurement import summarize
from lts_nb.profiler.targets.registry import get_target
from lts_nb.profiler.timing import Effort, cpu_clock, reference_kernel, timed
from lts_nb.space.architecture import Architecture

HERE, ROUNDS, EFFORT = Path(__file__).parent, 7, Effort(warmup=3, repetitions=3, seconds=0.1)
READ, WRITE = Workload(prompt_len=128), Workload(prompt_len=64, new_tokens=64)  # 128 positions are what was trained


def onnx_request(runner: OnnxModel, w: Workload, clock):
    "The profiler's `request` in ONNX Runtime."
    tokens = (np.arange(w.prompt_len + w.new_tokens) * 7919 % 512)[None]
    start = clock()
    _, past = runner(tokens[:, : w.prompt_len])
    read = clock()
    for i in range(w.prompt_len, w.prompt_len + w.new_tokens):
        _, past = runner(tokens[:, i : i + 1], past)
    return start, read, clock()


def onnx_seconds(runner: OnnxModel, w: Workload) -> dict:
    return summarize(timed(lambda clock: onnx_request(runner, w, clock), reference_kernel(), EFFORT), w, cpu_clock(1))


if __name__ == "__main__":
    plan = json.loads((HERE / "plan.json").read_text(encoding="utf-8"))
    models = {r["id"]: Architecture.from_json(json.dumps(r["architecture"])) for r in plan["rows"]}
    target, rows, runners = get_target("torch-cpu"), {id: defaultdict(list) for id in models}, {}
    target.reserve(models.values())
    with tempfile.TemporaryDirectory() as folder:
        for id, a in models.items():
            to_onnx(build(a), file := Path(folder) / f"{id}.onnx")
            runners[id] = OnnxModel(file)
            m = target.measure(a, READ)
            rows[id] |= dict(peak_bytes=m.peak_bytes, weight_bytes=m.weight_bytes)
        for k in range(ROUNDS):
            for id, a in list(models.items())[:: 1 if k % 2 else -1]:
                for name, found in (
                    ("torch_prefill_s", target.measure(a, READ, EFFORT, memory=False).prefill_s),
                    ("torch_decode_s", target.measure(a, WRITE, EFFORT, memory=False).decode_s),
                    ("onnx_prefill_s", onnx_seconds(runners[id], READ)["prefill_s"]),
                    ("onnx_decode_s", onnx_seconds(runners[id], WRITE)["decode_s"]),
                ):
                    rows[id][name].append(found)
            print(f"round {k + 1} of {ROUNDS}", flush=True)
    out = dict(
        machine=describe_machine() | dict(onnxruntime=version("onnxruntime")),
        rows=[dict(id=id) | r for id, r in rows.items()],
    )
    (HERE / "measured.json").write_text(json.dumps(out, indent=0) + "\n", encoding="utf-8")
