"""The exact frontier's fastest, the fastest of a real LTS run and the scaled baseline, of equal size, side by side.

    python benchmarks/equal_parameters/run.py benchmarks/gpt2_profile/device.json benchmarks/gpt2_lts

For the size of each baseline model, the fastest architecture with at least as many decoder parameters: computed under
the profile, and among everything that LTS measured. All run in interleaved rounds, in reverse order every other round;
writes results.json. Ratios are what counts: the rounds share the machine's moods.
"""

import json
import sys
from pathlib import Path

from lts_nb.core.files import replace_text
from lts_nb.frontier.exact import exact_frontier
from lts_nb.profiler.machine import describe_machine
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.targets.registry import get_target
from lts_nb.profiler.timing import Effort
from lts_nb.searches.result import SearchResult
from lts_nb.space.counts import count

RESULTS = Path(__file__).with_name("results.json")
ROUNDS = 6
EFFORT = Effort(warmup=1, repetitions=2, seconds=0.1)


def choose_models(profile: DeviceProfile, lts: SearchResult) -> list[dict]:
    "The scaled baseline, and for the size of each of its models the fastest of either search, where there is one."
    chosen = []
    candidates = lts.candidates[lts.candidates.role == "candidate"]
    for baseline in profile.space.baseline():
        size = count(baseline).decoder
        limits = dict(min_decoder_params=size)
        front = exact_frontier(profile.space, profile, ("decoder_params", "latency_s"), limits)
        fastest = dict(baseline=baseline, exact=front.population[int(front.F[:, 1].argmin())])
        found = candidates[candidates.decoder_params >= size]
        if len(found):
            fastest["lts"] = lts.architecture(found.loc[found.latency_s.idxmin()].id)
        chosen += [dict(decoder_params=size, method=method, architecture=a) for method, a in fastest.items()]
    return chosen


def measure_models(models: list[dict], profile: DeviceProfile):
    "Add to each model its seconds, one a round."
    target = get_target(**profile.target)
    target.reserve([model["architecture"] for model in models])
    for i in range(ROUNDS):
        for model in models[:: 1 if i % 2 else -1]:
            measured = target.measure(model["architecture"], profile.workload, EFFORT, memory=False)
            model.setdefault("seconds", []).append(measured.latency_s)
        print(f"round {i + 1} of {ROUNDS}", flush=True)


def main(profile_file: str, run_folder: str):
    profile = DeviceProfile.load(profile_file)
    models = choose_models(profile, SearchResult.load(run_folder))
    measure_models(models, profile)
    for model in models:
        model["predicted_s"] = float(profile.predict([model["architecture"]]).latency_s[0])
        model["architecture"] = json.loads(model["architecture"].to_json())
    replace_text(RESULTS, json.dumps(dict(machine=describe_machine(), rows=models), indent=0) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
