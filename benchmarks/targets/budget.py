"""More parameters at four bits, or fewer at sixteen? Frontiers over number format and architecture, with both costs.

    python benchmarks/targets/budget.py profile float16   # and q8_0, q4_0: profiles of the study's space
    python benchmarks/targets/budget.py frontier          # budget.json, from these, formats.json and the study

What a format costs in loss is measured on trained models (formats.py), what parameters are worth is the study's law.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from run import HERE, measure_profile

from lts_nb.core.files import replace_text
from lts_nb.core.workload import Workload
from lts_nb.formats.gguf_header import gguf_probe
from lts_nb.frontier.exact import exact_frontier
from lts_nb.frontier.loss_law import LossLaw, fit_law
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.store import Store
from lts_nb.profiler.targets.registry import get_target
from lts_nb.profiler.targets.runner import size_of
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace
from lts_nb.training.training_runs import read_training_runs

STUDIED = replace(SearchSpace.preset("llama-study"), d_model=(64, 96, 128, 192))  # of multiples of 32
REQUEST = Workload(prompt_len=64, new_tokens=32)
DTYPES = ("float16", "q8_0", "q4_0")
TOKENS = 4_000_000
FITTED = {"min_decoder_params": 69e3, "max_decoder_params": 800e3}  # what the law was fitted on
HELD_OUT = 20


def law() -> LossLaw:
    "The loss of a trained model by its shape, from the study's llama models."
    with Store(Path("benchmarks/study/study.sqlite")) as store:
        runs = read_training_runs(store)
    llama = runs[(runs.backbone == "llama") & (runs.tokens == TOKENS) & runs.loss.notna()]
    return fit_law(llama.n_layer, llama.d_model, llama.decoder_params, llama.loss)


def rises() -> dict:  # dtype -> (log of decoder parameters, rise of the loss), each `(n,)`, by ascending size
    "What each format costs the trained models of the study's space."
    rows = json.loads((HERE / "formats.json").read_text(encoding="utf-8"))["rows"]
    rows = sorted((row for row in rows if row["architecture"]["vocab_size"] == 512), key=lambda r: r["decoder_params"])
    sizes = np.log([row["decoder_params"] for row in rows])
    return {dtype: (sizes, [row["formats"][f"llama.cpp {dtype}"]["rise"] for row in rows]) for dtype in DTYPES}


def quality_in(dtype: str):
    "The loss of a model in a format, as the exact search calls a quality."
    trained, (sizes, rise) = law(), rises()[dtype]

    def quality(n_layer, d_model, decoder_params, total_params):
        return trained(n_layer, d_model, decoder_params, total_params) + np.interp(np.log(decoder_params), sizes, rise)

    return quality


def member(architecture, dtype: str, loss: float, latency_s: float | None = None) -> dict:
    "A point of a frontier, with the bytes of its file."
    return dict(
        dtype=dtype,
        architecture=json.loads(architecture.to_json()),
        decoder_params=int(count(architecture).decoder),
        loss=float(loss),
        latency_s=latency_s,
        file_bytes=size_of(gguf_probe(replace(architecture, max_len=REQUEST.context), dtype).pieces),
    )


def by_size(dtype: str, profile: DeviceProfile) -> list:
    "The best loss for every number of parameters."
    asked = dict(constraints=FITTED, workload=REQUEST, quality=quality_in(dtype))
    found = exact_frontier(STUDIED, profile, ("quality", "weight_bytes"), **asked)
    return [member(a, dtype, loss) for a, (loss, _) in zip(found.population, found.F, strict=True)]


def by_latency(dtype: str, profile: DeviceProfile) -> list:
    "The best loss for every latency."
    asked = dict(constraints=FITTED, workload=REQUEST, quality=quality_in(dtype))
    found = exact_frontier(STUDIED, profile, ("quality", "latency_s"), **asked)
    return [member(a, dtype, *point) for a, point in zip(found.population, found.F.tolist(), strict=True)]


def thin(points: list, n: int = 60) -> list:
    "At most so many points of a frontier, evenly, both ends among them."
    return [points[i] for i in np.unique(np.linspace(0, len(points) - 1, n).round().astype(int))]


def write_frontiers():
    "Both frontiers of every format, and the range that the law was fitted on."
    found = {}
    for dtype in DTYPES:
        profile = DeviceProfile.load(HERE / f"budget-{dtype}.json")
        found[dtype] = dict(by_size=thin(by_size(dtype, profile)), by_latency=thin(by_latency(dtype, profile)))
        found[dtype]["errors"], found[dtype]["machine"] = profile.validation, profile.machine
        print(dtype, found[dtype]["by_size"][len(found[dtype]["by_size"]) // 2], flush=True)
    rise = {dtype: [sizes.tolist(), list(values)] for dtype, (sizes, values) in rises().items()}
    replace_text(HERE / "budget.json", json.dumps(dict(law=str(law()), rises=rise, formats=found), indent=1))


if __name__ == "__main__":
    step, *which = sys.argv[1:]
    if step == "profile":
        target = get_target("llama-cpp", dtype=which[0])
        measure_profile(f"budget-{which[0]}", target, STUDIED, REQUEST, HELD_OUT)
    else:
        write_frontiers()
