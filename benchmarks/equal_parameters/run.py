"""At equal decoder parameters: the exact frontier's fastest, the fastest of a real LTS run, and the scaled baseline, measured side by side.

    python benchmarks/equal_parameters/run.py benchmarks/gpt2_profile/device.json benchmarks/gpt2_lts

For the size of each baseline model, the fastest architecture with at least as many decoder parameters: computed under the
profile, and among everything that LTS measured. All run in interleaved rounds, order reversed every other round; writes
results.json. Ratios are what counts: the rounds share the machine's moods.
"""

import json
import sys
from pathlib import Path

from lts_nb.frontier.exact import exact_frontier
from lts_nb.profiler.machine import describe_machine
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.targets.registry import get_target
from lts_nb.profiler.timing import Effort
from lts_nb.searches.result import SearchResult
from lts_nb.space.counts import count

ROUNDS, EFFORT = 6, Effort(warmup=1, repetitions=2, seconds=0.1)


def main(profile, run):
    profile, lts = DeviceProfile.load(profile), SearchResult.load(run)
    target, space, rows = get_target(**profile.target), profile.space, []
    for b in space.baseline():
        n = count(b).decoder
        front = exact_frontier(space, profile, ("decoder_params", "latency_s"), dict(min_decoder_params=n))
        found = lts.candidates[(lts.candidates.role == "candidate") & (lts.candidates.decoder_params >= n)]
        rows.append(
            dict(baseline=b, exact=front.population[int(front.F[:, 1].argmin())])
            | ({"lts": lts.architecture(found.loc[found.latency_s.idxmin()].id)} if len(found) else {})
        )
    models = [(i, name, a) for i, r in enumerate(rows) for name, a in r.items()]
    seconds = {(i, name): [] for i, name, _ in models}
    target.reserve([a for *_, a in models])
    for k in range(ROUNDS):
        for i, name, a in models[:: 1 if k % 2 else -1]:
            seconds[i, name].append(target.measure(a, profile.workload, EFFORT, memory=False).latency_s)
        print(f"round {k + 1} of {ROUNDS}", flush=True)
    out = [
        dict(
            decoder_params=count(rows[i]["baseline"]).decoder,
            method=name,
            architecture=json.loads(a.to_json()),
            predicted_s=float(profile.predict([a]).latency_s[0]),
            seconds=seconds[i, name],
        )
        for i, name, a in models
    ]
    Path(__file__).with_name("results.json").write_text(
        json.dumps(dict(machine=describe_machine(), rows=out), indent=0) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
