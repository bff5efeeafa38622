"""A saved profile is searched, and a stored run opened, on a machine without torch."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
# a finder, because scipy looks into sys.modules whether torch was imported
WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in {missing} or name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""
SEARCH = """
from dataclasses import replace
from lts_nb import DeviceProfile, Workload, exact_frontier, search
profile = DeviceProfile.load({profile!r})
space, request = replace(profile.space, n_layer=(2, 3, 4), d_model=(128, 192)), Workload(prompt_len=96)
result = search(space, profile=profile, workload=request, progress=False, say=lambda text: None)
found = exact_frontier(space, profile, workload=request)
assert len(result.frontier) and len(found.F) >= len(result.frontier) and not result.run["measured"]
print(len(found.F))
"""
PICK = """
from lts_nb.cli.main import main
assert main(["pick", {run!r}, "--max-latency-s", "0.05"]) == 0
"""
MODULES = "core space models.shape frontier profiler.profile.device_profile searches.search show.explorer cli.main"
MODULES += " study.ranking"


def run(script: str, missing: tuple) -> str:
    "What a script prints in a process in which some packages cannot be imported."
    code = WITHOUT.format(missing=missing) + script
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_saved_profile_is_searched(tmp_path):
    tree = json.loads((BENCHMARKS / "gpt2_cpu" / "device.json").read_text(encoding="utf-8"))
    tree["machine"]["cpu"] = "a faraway one"  # on whose like this test may run
    (tmp_path / "device.json").write_text(json.dumps(tree), encoding="utf-8")
    profile = str(tmp_path / "device.json")
    assert int(run(SEARCH.format(profile=profile), ("torch", "transformers"))) > 1000


def test_picking_needs_no_solver_and_no_figures():
    missing = ("torch", "transformers", "moocore", "matplotlib", "ipywidgets", "lts_nb.frontier.exact")
    out = run(PICK.format(run=str(BENCHMARKS / "gpt2_cpu")), missing)
    assert "decoder parameters" in out


def test_rooms_import_no_torch():
    run("\n".join(f"import lts_nb.{module}" for module in MODULES.split()), ("torch", "transformers"))
