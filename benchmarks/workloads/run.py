"""Which architecture is best for which workload, computed from device profiles, then measured on the same machine.

    python benchmarks/workloads/run.py        # reads the profiles, appends to results.json pair by pair

Each question compares the fastest architectures of two spaces or two objectives with at least so many decoder parameters,
in three interleaved rounds. What is already in results.json is not measured again.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from lts_nb.core.workload import Workload
from lts_nb.frontier.exact import exact_frontier
from lts_nb.profiler.machine import describe_machine
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.targets.registry import get_target
from lts_nb.profiler.timing import Effort
from lts_nb.space.counts import count

HERE, ROUNDS, SIZES = Path(__file__).parent, 3, (10e6, 20e6, 40e6, 80e6)
READ, WRITE = Workload(prompt_len=160), Workload(prompt_len=160, new_tokens=32)
LONG = Workload(prompt_len=2048)
PROFILES = {
    k: HERE / v
    for k, v in dict(
        gpt2="../gpt2_profile/device.json",
        llama="../llama_cpu/device.json",
        lfm2="../lfm2_cpu/device.json",
        lfm2_2048="lfm2_2048.json",
        embedding="embedding.json",
    ).items()
}


def fastest(space, profile, goal, workload, n):
    "The architecture with the least `goal` among those with at least `n` decoder parameters."
    front = exact_frontier(space, profile, ("decoder_params", goal), dict(min_decoder_params=n), workload)
    return front.population[int(front.F[:, 1].argmin())]


def questions():
    "(question, backbone, parameters, workload, what is compared, the two architectures, profile)."
    for name in ("gpt2", "llama", "lfm2"):
        p = DeviceProfile.load(PROFILES[name])
        for n in SIZES:
            yield (
                "reading or writing",
                name,
                n,
                WRITE,
                None,
                *(fastest(p.space, p, goal, WRITE, n) for goal in ("prefill_s", "decode_s")),
                p,
            )
    p = DeviceProfile.load(PROFILES["embedding"])
    for w, goal in ((READ, "prefill_s"), (WRITE, "decode_s")):
        for n in SIZES:
            yield (
                "embedding",
                "gpt2",
                n,
                w,
                goal,
                *(fastest(s, p, goal, w, n) for s in (replace(p.space, d_embed=(0,), div_val=(1,)), p.space)),
                p,
            )
    for name, w, goal in (
        ("lfm2", READ, "prefill_s"),
        ("lfm2", WRITE, "decode_s"),
        ("lfm2_2048", LONG, "prefill_s"),
        ("lfm2_2048", replace(LONG, prompt_len=2032, new_tokens=16), "decode_s"),
    ):
        p = DeviceProfile.load(PROFILES[name])
        for n in SIZES[1:]:
            yield (
                "attention or convolution",
                name,
                n,
                w,
                goal,
                *(fastest(s, p, goal, w, n) for s in (replace(p.space, layer_kind=("attention",)), p.space)),
                p,
            )


def measure(target, pair, workload):
    "`prefill_s` and `decode_s` of both, a list of rounds each."
    target.reserve(pair)
    found = [[], []]
    for _ in range(ROUNDS):
        for i, a in enumerate(pair):
            m = target.measure(a, workload, Effort(warmup=2, repetitions=3, seconds=0.1), memory=False)
            found[i].append([m.prefill_s, m.decode_s])
    return found


if __name__ == "__main__":
    path, target = HERE / "results.json", get_target("torch-cpu")
    done = json.loads(path.read_text()) if path.exists() else dict(machine=describe_machine(), rounds=ROUNDS, rows=[])
    seen = {(r["question"], r["profile"], r["parameters"], r["goal"]) for r in done["rows"]}
    for question, name, n, w, goal, a, b, profile in questions():
        if (question, name, n, goal) in seen:
            continue
        pair = [replace(x, max_len=w.prompt_len + w.new_tokens) for x in (a, b)]
        t = profile.predict(pair, w)
        done["rows"].append(
            dict(
                question=question,
                profile=name,
                parameters=n,
                goal=goal,
                prompt_len=w.prompt_len,
                new_tokens=w.new_tokens,
                architectures=[json.loads(x.to_json()) for x in pair],
                decoder_params=[count(x).decoder for x in pair],
                total_params=[count(x).total for x in pair],
                predicted=[[float(t.prefill_s[i]), float(t.decode_s[i])] for i in (0, 1)],
                measured=measure(target, pair, w),
            )
        )
        path.write_text(json.dumps(done, indent=1))
        m = (
            np.median(done["rows"][-1]["measured"], 1)
            if w.new_tokens
            else np.array([[np.median([r[0] for r in side]), np.nan] for side in done["rows"][-1]["measured"]])
        )
        print(
            question,
            name,
            f"{n / 1e6:.0f} M",
            goal,
            "predicted",
            np.round(t[["prefill_s", "decode_s"]].to_numpy() * 1e3, 1).tolist(),
            "measured [ms]",
            np.round(m * 1e3, 1).tolist(),
            flush=True,
        )
