"""Llamas on a graphics card: prompts and new tokens at batch 1 and 16, in every number format, and a device profile.

    python benchmarks/torch_cuda/measure.py                # needs an NVIDIA card; else it says so in one line
    python benchmarks/torch_cuda/measure.py --seconds 120  # for measuring the profile; 0 leaves it out

All is filed under the card's name as soon as it is measured, and what is there is not measured again.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from lts_nb.core.errors import InputError
from lts_nb.core.files import replace_text
from lts_nb.core.workload import Workload
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.store import Store, measure_once, why_failed
from lts_nb.profiler.targets.contract import Target
from lts_nb.profiler.targets.registry import describe_target, get_target
from lts_nb.profiler.timing import Effort
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace

HERE = Path(__file__).parent
EFFORT = Effort(seconds=1.0)
READ_WRITE = Workload(prompt_len=512, new_tokens=64)
BATCHES = (1, 16)
READINGS = ("prefill_s", "decode_s", "spread", "peak_bytes", "kv_cache_bytes")
WAYS = (
    dict(dtype="float32"),
    dict(dtype="float16"),
    dict(dtype="bfloat16"),
    dict(dtype="bfloat16", compiled=True),
)
SPACE = SearchSpace.preset("llama", max_len=1024)


def llama(d_model: int, n_layer: int, d_inner: int) -> Architecture:
    "A Llama with heads of 64, a quarter as many for keys and values."
    heads = (d_model // 64,) * n_layer
    few = tuple(head // 4 for head in heads)
    sizes = dict(vocab_size=32_000, max_len=1024, d_head=64)
    return Architecture("llama", d_model, heads, (d_inner,) * n_layer, n_kv_head=few, **sizes)


ARCHITECTURES = {
    "narrow and deep": llama(512, 24, 1408),
    "wide and shallow": llama(1024, 6, 2816),
    "a billion": llama(2048, 20, 5632),
}


def card_name(environment: dict) -> str:
    "The card's name as a name of files."
    return re.sub(r"[^a-z0-9]+", "-", environment["gpu"].lower()).strip("-")


def rows(store: Store, target: Target) -> Iterator[dict]:
    "One way of running, every architecture and batch."
    environment = target.environment()
    for name, architecture in ARCHITECTURES.items():
        for batch in BATCHES:
            workload = Workload(batch, READ_WRITE.prompt_len, READ_WRITE.new_tokens)
            asked = store, architecture, workload, target, environment, "benchmark"
            m, _ = measure_once(*asked, retry_failed=True, effort=EFFORT)
            found = {key: getattr(m, key) for key in READINGS} | m.extra if m else dict(failed=why_failed(*asked))
            sizes = dict(architecture=name, params=count(architecture).total, batch=batch)
            yield sizes | describe_target(target) | found


def measure(name: str, folder: Path, seconds: float, **options):
    "Measure all on a target, and write what is known after each way of running."
    environment, found = get_target(name, **options).environment(), []
    stem = folder / card_name(environment)
    with Store(stem.with_suffix(".sqlite")) as store:
        for way in WAYS:  # each with a target of its own, which leaves the card before the next one comes
            found += rows(store, get_target(name, **options, **way))
            content = dict(machine=environment, workload=READ_WRITE.as_dict(), rows=found)
            replace_text(stem.with_suffix(".json"), json.dumps(content, indent=1) + "\n")
            print(way, "done", flush=True)
        if seconds:
            target, request = get_target(name, **options), Workload(prompt_len=256, new_tokens=32)
            with closing(target):
                profile = DeviceProfile.measure(SPACE, target, request, store, held_out=40, measure_s=seconds)
            profile.save(stem.with_name(f"{stem.name}-profile.json"))
            print(profile)


def main():
    "Read the command line. Ends with one line where there is no card."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=240.0, help="for measuring the profile; 0 leaves it out")
    parser.add_argument("--device", type=int, default=0, help="number of the card")
    asked = parser.parse_args()
    try:
        measure("torch-cuda", HERE, asked.seconds, device=asked.device)
    except InputError as e:
        sys.exit(str(e))


if __name__ == "__main__":
    main()
