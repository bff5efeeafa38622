"""Whatever is done to a profile's file, it loads and predicts plausible times, or says in one line why not."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lts_nb.core.errors import InputError
from lts_nb.core.workload import Workload
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.space.space import SearchSpace

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SPACE = SearchSpace.preset(
    "gpt2", n_layer=[1, 2, 3], d_model=[32, 64], d_inner=[64, 128, 192], n_head=[1, 2], vocab_size=[300], max_len=32
)


@pytest.fixture(scope="module")
def text() -> str:
    "The file of a validated profile that asked whole models."
    device, asked, request = FakeTarget(), list(SPACE.sample(8, 0)), Workload(prompt_len=16)
    profile = DeviceProfile.measure(SPACE, device, request, held_out=6)
    seconds = {"latency_s": np.array([device.seconds(a, request) for a in asked])}
    return profile.corrected(asked, seconds, request).to_json()


def places(node, path=()):  # every place in a JSON tree
    yield path
    for key, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(child, (*path, key))


def try_it(content: str, path: Path):
    path.write_text(content, encoding="utf-8")
    try:
        found = DeviceProfile.load(path).predict(list(SPACE.sample(3, 0)))
    except InputError as e:
        assert "\n" not in str(e).strip() and str(path.name) in str(e) or "architecture" in str(e)
    else:
        assert (found[["prefill_s", "latency_s"]].to_numpy() >= 0).all()


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_edited(text, tmp_path, data):
    tree = json.loads(text)
    heavy = ("samples", "held_out")  # lists of many alike: one of each is enough
    path = data.draw(
        st.sampled_from(
            [p for p in places(tree) if p and (p[0] not in heavy or len(p) == 1)]
            + [(name, 0, *p) for name in heavy for p in places(tree[name][0])] * 3
        )
    )
    *way, last = path
    node = tree
    for step in way:
        node = node[step]
    if data.draw(st.booleans()):
        del node[last]
    else:
        node[last] = data.draw(st.sampled_from([None, -1, float("nan"), 1e400, 10**400, "x", [], {}, True, 0]))
    try_it(json.dumps(tree), tmp_path / "p.json")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keep=st.floats(0, 1), junk=st.text(max_size=6))
def test_cut_short(text, tmp_path, keep, junk):
    try_it(text[: int(keep * len(text))] + junk, tmp_path / "p.json")


@pytest.mark.parametrize(
    "change, finding",
    [
        (lambda p: p.update(version=3), "version=3: this lts_nb reads versions up to 2"),
        (lambda p: p.update(fits={}), "version=1: holds tables that were fitted width by width"),
        (lambda p: p.update(format="lts_nb.space"), "format='lts_nb.space': must be 'lts_nb.profile'"),
        (lambda p: p.update(unit="ms"), "unit: must be 's'"),
        (lambda p: p.pop("machine"), "block profile machine: is missing"),
        (lambda p: p["machine"].pop("cpu"), "must tell cpu"),
        (lambda p: p["fit"]["decode"][0]["ffn"].pop("64"), "block decode 0 ffn d_model=64: is missing"),
        (
            lambda p: p["fit"]["prefill"][1]["ffn"]["64"].pop(),
            "prefill 1 ffn d_model=64: has 1 entries, must have 2; a block is missing",
        ),
        (
            lambda p: p["fit"]["prefill"][0]["once"].update({"64": [-1.0]}),
            "prefill 0 once d_model=64: holds -1.0; must be seconds",
        ),
        (lambda p: p["samples"][0]["parts_s"][0].__setitem__(0, float("nan")), "samples 0 parts_s: holds nan"),
        (lambda p: p["samples"][0]["parts_s"].pop(), "samples 0 parts_s: has 8 passes, must have 9"),
        (lambda p: p["held_out"][0].update(round=-3), "held_out 0 round=-3: must be a whole number"),
        (lambda p: p["errors"]["prefill"].pop("n"), "errors prefill: missing"),
        (lambda p: p["correction"]["latency_s"]["by_width"].pop("64"), "block correction latency_s 64: is missing"),
        (
            lambda p: p["correction"]["latency_s"]["by_width"]["64"].update({"2": 0}),
            "correction latency_s d_model=64 n_layer=2: holds 0; must be above 0",
        ),
        (lambda p: p["lengths"].sort(reverse=True), "must be at least two, ascending"),
        (lambda p: p.pop("fit"), "block profile fit: is missing"),
    ],
)
def test_named(text, tmp_path, change, finding):
    tree = json.loads(text)
    change(tree)
    (path := tmp_path / "device.json").write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(InputError) as e:
        DeviceProfile.load(path)
    assert str(e.value).startswith(f"profile={str(path)!r}: ") and finding in str(e.value)


def test_it_is_the_same_profile(text, tmp_path):
    profile = DeviceProfile.from_json(text)
    profile.save(tmp_path / "device.json")
    again, few = DeviceProfile.load(tmp_path / "device.json"), SPACE.sample(9, 1)
    assert again.to_json() == text == (tmp_path / "device.json").read_text(encoding="utf-8")
    assert again.predict(few).equals(profile.predict(few)) and repr(again) == repr(profile)


@pytest.mark.parametrize("name", ["lfm2_cpu/device", "llama_cpu/device", "workloads/embedding", "workloads/lfm2_2048"])
def test_recorded_files_are_written_as_they_were(name):
    path = BENCHMARKS / f"{name}.json"
    assert DeviceProfile.load(path).to_json() == path.read_text(encoding="utf-8")
