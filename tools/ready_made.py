"""What travels with the package, taken from benchmarks/ once more: `python tools/ready_made.py`."""

import gzip
import shutil
from pathlib import Path

from repository import LIB, ROOT

SAMPLE = "gpt2_cpu", ("run.json", "frontier.csv", "candidates.csv", "exact.npz")  # its folder, and what is opened of it
PROFILES = {
    "amd-epyc-gpt2": "gpt2_cpu/device",
    "amd-epyc-llama": "llama_cpu/device",
    "amd-epyc-lfm2": "lfm2_cpu/device",
    "amd-epyc-torch": "targets/torch-cpu",
    "amd-epyc-onnx": "targets/onnx-cpu",
    "amd-epyc-onnx-int8": "targets/onnx-cpu-int8",
    "amd-epyc-llama-cpp": "targets/llama-cpp-f32",
    "amd-epyc-llama-cpp-q8": "targets/llama-cpp-q8_0",
    "amd-epyc-llama-cpp-q4": "targets/llama-cpp-q4_0",
    "intel-xeon-gpt2": "frontier_quality/device",
}  # name -> where its JSON file is


def contents(root: Path = ROOT) -> dict[str, bytes]:
    "File of the package -> what it holds, unpacked."
    folder, names = SAMPLE
    found = {f"sample/{name}": (root / "benchmarks" / folder / name).read_bytes() for name in names}
    files = {name: root / "benchmarks" / f"{place}.json" for name, place in PROFILES.items()}
    return found | {f"profiles/{name}.json.gz": file.read_bytes() for name, file in files.items()}


def write(root: Path = ROOT):
    "Write all files anew."
    place = root / LIB / "ready-made"
    shutil.rmtree(place, ignore_errors=True)
    for name, content in contents(root).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        packed = gzip.compress(content, 9, mtime=0) if name.endswith(".gz") else content
        (place / name).write_bytes(packed)


if __name__ == "__main__":
    write()
