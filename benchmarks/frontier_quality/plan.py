"""Choose what will be trained, before anything is: the scaled baseline, and what three searches offer at its latencies.

    python benchmarks/frontier_quality/plan.py     # a quiet machine, ten minutes; writes plan.json for run.py

The space is the study's without widths above 96, so that its largest baseline has ten tokens for each decoder parameter
in the study's budget. For each of `DEPTHS` baseline models:

    baseline   the model itself: LTS's, with a feed-forward of two widths
    exact      most decoder parameters within its latency, by the exact frontier under this machine's profile
    lts        most decoder parameters within its latency, among what the paper's evolution measured here
    random     the first of random architectures whose predicted latency is within 3 % of it

and, since LTS's baseline is not how GPT-2 is usually scaled,

    gpt2       the baseline's width and heads with GPT-2's feed-forward of four widths, at `GPT2_DEPTHS`

Three seeds of each, by the study's recipe and on its corpus.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from lts_nb.core.files import replace_text
from lts_nb.core.workload import Workload
from lts_nb.frontier.exact import exact_frontier
from lts_nb.profiler.machine import describe_machine
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.store import Store
from lts_nb.profiler.targets.registry import get_target
from lts_nb.searches.result import SearchResult
from lts_nb.searches.search import search
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace

HERE = Path(__file__).parent
DEPTHS, GPT2_DEPTHS = (2, 3, 4, 5, 7), (2, 3, 4, 6)
SEEDS, EVALUATIONS = (0, 1, 2), 600
SPACE = SearchSpace.preset("gpt2-study", d_model=[48, 64, 80, 96])
WORKLOAD = Workload(prompt_len=128)


def predict(profile: DeviceProfile, architecture: Architecture) -> float:
    "Seconds of the prompt, as the profile predicts them."
    return float(profile.predict([architecture]).latency_s[0])


def largest_exact(profile: DeviceProfile, latency_s: float) -> Architecture:
    "Most decoder parameters within a latency, computed under the profile."
    front = exact_frontier(SPACE, profile, ("decoder_params", "latency_s"), dict(max_latency_s=latency_s))
    return front.population[int(front.F[:, 0].argmin())]


def largest_measured(lts: SearchResult, n_layer: int) -> Architecture | None:
    "Most decoder parameters among what evolution measured within the baseline model of this depth, if there is any."
    limit = float(lts.baseline[lts.baseline.n_layer == n_layer].latency_s.iloc[0])
    measured = lts.candidates[lts.candidates.role == "candidate"]
    within = measured[measured.latency_s <= limit]
    return lts.architecture(within.loc[within.decoder_params.idxmax()].id) if len(within) else None


def choose_models(profile: DeviceProfile, lts: SearchResult) -> list:  # (baseline's depth, method, architecture)
    "All that is trained."
    drawn, chosen = SPACE.sample(20_000, seed=0), []
    latencies = profile.predict(drawn).latency_s.to_numpy()
    for baseline in SPACE.baseline():
        depth, latency_s = baseline.n_layer, predict(profile, baseline)
        if depth in DEPTHS:
            alike = np.flatnonzero(np.abs(latencies / latency_s - 1) < 0.03)
            chosen.append((depth, "baseline", baseline))
            chosen.append((depth, "exact", largest_exact(profile, latency_s)))
            chosen.append((depth, "random", drawn[int(alike[0])]))
            if of_lts := largest_measured(lts, depth):
                chosen.append((depth, "lts", of_lts))
    one = SPACE.baseline()[0]
    for depth in GPT2_DEPTHS:
        usual = replace(one, n_head=one.n_head[:1] * depth, d_inner=(4 * one.d_model,) * depth)
        chosen.append((depth, "gpt2", usual))
    return chosen


def load_or_measure_profile(target) -> DeviceProfile:
    "The profile in device.json, or a new one, which is saved there."
    file = HERE / "device.json"
    if file.exists():
        return DeviceProfile.load(file)
    with Store(HERE / "device.sqlite") as store:
        profile = DeviceProfile.measure(SPACE, target, WORKLOAD, store, held_out=40)
    profile.save(file)
    return profile


def main():
    target, run = get_target("torch-cpu"), HERE / "lts"
    profile = load_or_measure_profile(target)
    lts = search(SPACE, target, "lts", WORKLOAD, run, seed=0, evaluations=EVALUATIONS, resume=run.exists())
    rows = [
        dict(
            depth=depth,
            method=method,
            id=architecture.id,
            decoder_params=count(architecture).decoder,
            predicted_s=predict(profile, architecture),
            architecture=json.loads(architecture.to_json()),
        )
        for depth, method, architecture in choose_models(profile, lts)
    ]
    plan = dict(machine=describe_machine(), seeds=SEEDS, rows=rows)
    replace_text(HERE / "plan.json", json.dumps(plan, indent=0) + "\n")
    for row in rows:
        size, milliseconds = f"{row['decoder_params']:,}", f"{1e3 * row['predicted_s']:.2f} ms"
        print(row["depth"], f"{row['method']:8}", row["id"], size, milliseconds)


if __name__ == "__main__":
    main()
