"""Choose what will be trained, before anything is: the scaled baseline, and what three searches offer at its latencies.

    python benchmarks/frontier_quality/plan.py     # on a quiet machine, ten minutes; writes plan.json, which run.py trains

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

from lts_nb.core.workload import Workload
from lts_nb.frontier.exact import exact_frontier
from lts_nb.profiler.machine import describe_machine
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.store import Store
from lts_nb.profiler.targets.registry import get_target
from lts_nb.searches.search import search
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace

HERE, DEPTHS, GPT2_DEPTHS, SEEDS, EVALUATIONS = Path(__file__).parent, (2, 3, 4, 5, 7), (2, 3, 4, 6), (0, 1, 2), 600
SPACE, WORKLOAD = SearchSpace.preset("gpt2-study", d_model=[48, 64, 80, 96]), Workload(prompt_len=128)


def chosen(profile: DeviceProfile, lts) -> list:
    "`(baseline's depth, method, architecture)` of all that is trained."
    drawn = SPACE.sample(20_000, seed=0)
    latency, out = profile.predict(drawn).latency_s.to_numpy(), []
    for b in SPACE.baseline():
        if b.n_layer not in DEPTHS:
            continue
        limit = float(profile.predict([b]).latency_s[0])
        front = exact_frontier(SPACE, profile, ("decoder_params", "latency_s"), dict(max_latency_s=limit))
        seen, of_b = lts.candidates[lts.candidates.role == "candidate"], lts.baseline[lts.baseline.n_layer == b.n_layer]
        within = seen[seen.latency_s <= float(of_b.latency_s.iloc[0])]
        out += [
            (b.n_layer, "baseline", b),
            (b.n_layer, "exact", front.population[int(front.F[:, 0].argmin())]),
            (b.n_layer, "random", drawn[int(np.flatnonzero(np.abs(latency / limit - 1) < 0.03)[0])]),
        ]
        if len(within):
            out.append((b.n_layer, "lts", lts.architecture(within.loc[within.decoder_params.idxmax()].id)))
    one = SPACE.baseline()[0]
    return out + [
        (n, "gpt2", replace(one, n_head=one.n_head[:1] * n, d_inner=(4 * one.d_model,) * n)) for n in GPT2_DEPTHS
    ]


if __name__ == "__main__":
    target = get_target("torch-cpu")
    if (HERE / "device.json").exists():
        profile = DeviceProfile.load(HERE / "device.json")
    else:
        with Store(HERE / "device.sqlite") as store:
            profile = DeviceProfile.measure(SPACE, target, WORKLOAD, store, held_out=40)
        profile.save(HERE / "device.json")
    lts = search(
        SPACE, target, "lts", WORKLOAD, HERE / "lts", seed=0, evaluations=EVALUATIONS, resume=(HERE / "lts").exists()
    )
    rows = [
        dict(
            depth=depth,
            method=method,
            id=a.id,
            decoder_params=count(a).decoder,
            predicted_s=float(profile.predict([a]).latency_s[0]),
            architecture=json.loads(a.to_json()),
        )
        for depth, method, a in chosen(profile, lts)
    ]
    (HERE / "plan.json").write_text(
        json.dumps(dict(machine=describe_machine(), seeds=SEEDS, rows=rows), indent=0) + "\n", encoding="utf-8"
    )
    for r in rows:
        print(r["depth"], f"{r['method']:8}", r["id"], f"{r['decoder_params']:,}", f"{1e3 * r['predicted_s']:.2f} ms")
