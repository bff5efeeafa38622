"""The exact frontier's fastest, the fastest of a real LTS run and the scaled baseline, of equal size, side by side.

    python benchmarks/equal_parameters/run.py benchmarks/gpt2_cpu/device.json benchmarks/gpt2_lts

For the size of each baseline model, the fastest architecture with at least as many decoder parameters: computed under
the tables as the parts gave them ("table"), under the tables that whole models corrected ("exact"), and among
everything that LTS measured. All are visited in eight rounds, each in a process of its own; every sample is kept in
visits.sqlite, and results.json has the seconds of each round.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from lts_nb.core.files import replace_text
from lts_nb.frontier.exact import exact_frontier
from lts_nb.profiler.machine import describe_machine
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.store import Store
from lts_nb.profiler.targets.registry import get_target
from lts_nb.profiler.visits import Panel
from lts_nb.searches.result import SearchResult
from lts_nb.space.counts import count

RESULTS = Path(__file__).with_name("results.json")
ROUNDS = 8


def choose_models(profile: DeviceProfile, lts: SearchResult) -> list[dict]:
    "The scaled baseline, and for the size of each of its models the fastest of either search, where there is one."
    chosen, profiles = [], dict(table=replace(profile, correction=None), exact=profile)
    candidates = lts.candidates[lts.candidates.role == "candidate"]
    for baseline in profile.space.baseline():
        size, fastest = count(baseline).decoder, dict(baseline=baseline)
        for name, tables in profiles.items():
            front = exact_frontier(
                profile.space, tables, ("decoder_params", "latency_s"), dict(min_decoder_params=size)
            )
            fastest[name] = front.population[int(front.F[:, 1].argmin())]
        found = candidates[candidates.decoder_params >= size]
        if len(found):
            fastest["lts"] = lts.architecture(found.loc[found.latency_s.idxmin()].id)
        chosen += [dict(decoder_params=size, method=method, architecture=a) for method, a in fastest.items()]
    return chosen


def measure_models(models: list[dict], profile: DeviceProfile) -> float:  # the resolution
    "Add to each model its seconds, one a round, and what all rounds say."
    target = get_target(**profile.target)
    panel = Panel(target, Store(Path(__file__).with_name("visits.sqlite")), target.environment())
    numbers = [panel.add(model["architecture"], profile.workload) for model in models]
    for i in range(ROUNDS):
        panel.visit()
        print(f"round {i + 1} of {ROUNDS}", flush=True)
    target.close()
    seconds, found = panel.seconds(), panel.estimates()
    for number, model in zip(numbers, models, strict=True):
        model["seconds"] = seconds[:, number].tolist()
        model["estimate_s"] = float(found.seconds[number])
        model["standard_error"] = float(found.standard_error[number])
    return found.resolution


def main(profile_file: str, run_folder: str):
    profile = DeviceProfile.load(profile_file)
    models = choose_models(profile, SearchResult.load(run_folder))
    resolution, plain = measure_models(models, profile), replace(profile, correction=None)
    for model in models:
        model["predicted_s"] = float(profile.predict([model["architecture"]]).latency_s[0])
        model["table_s"] = float(plain.predict([model["architecture"]]).latency_s[0])
        model["architecture"] = json.loads(model["architecture"].to_json())
    replace_text(
        RESULTS, json.dumps(dict(machine=describe_machine(), resolution=resolution, rows=models), indent=0) + "\n"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
