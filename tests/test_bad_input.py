"""Nonsense of every kind gives one clear line or a valid object, never another exception."""

import json
import shutil
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit import SMALL, lts

from lts_nb.core.workload import Workload
from lts_nb.profiler.measurement import Measurement
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.store import Store
from lts_nb.searches.limits import check_limits
from lts_nb.searches.result import SearchResult
from lts_nb.searches.run_folder import read_run
from lts_nb.searches.search import search
from lts_nb.space.architecture import Architecture
from lts_nb.space.space import SearchSpace

numbers = st.one_of(
    st.integers(-10, 4000),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.just(2**80),
    st.lists(st.integers(0, 9), max_size=2),
)
lists = st.one_of(
    numbers, st.lists(numbers, max_size=6), st.lists(st.integers(1, 64).map(lambda n: 8 * n), min_size=1, max_size=4)
)


def one_line(make, fields):
    "It works, or raises `ValueError` with one line that names a field."
    try:
        return make()
    except ValueError as e:
        assert "\n" not in str(e).strip() and any(f in str(e) for f in fields), e


@settings(max_examples=400, deadline=None)
@given(
    st.fixed_dictionaries(
        dict(
            backbone=st.sampled_from(["gpt2", "gpt2", "gpt2", "opt", "", None]),
            d_model=numbers,
            n_head=lists,
            d_inner=lists,
        ),
        optional=dict(
            vocab_size=numbers,
            max_len=numbers,
            d_embed=numbers,
            div_val=numbers,
            n_kv_head=lists,
            share=lists,
            cutoffs=lists,
            tie_embeddings=numbers,
        ),
    )
)
def test_architecture(fields):
    if fields["backbone"] is None:
        fields["backbone"] = "None"
    a = one_line(lambda: Architecture(**fields), fields)
    if a is not None:
        assert Architecture.from_json(a.to_json()) == a and a.id == Architecture.from_json(a.to_json()).id


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["n_layer", "d_model", "d_inner", "n_head", "vocab_size", "max_len", "min_ratio", "layers"]),
        lists,
        max_size=4,
    )
)
def test_space(fields):
    space = one_line(lambda: SearchSpace.preset("gpt2", **fields), fields)
    if space is not None:
        assert space.contains(space.sample(3)).all() and SearchSpace.from_json(space.to_json()) == space


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["batch_size", "prompt_len", "new_tokens", "logits"]), numbers))
def test_workload(fields):
    one_line(lambda: Workload(**fields), fields)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["max_latency_s", "max_peak_bytes", "min_decoder_params", "max_decoder_params", "speed"]),
        numbers,
    )
)
def test_limits(fields):
    one_line(lambda: check_limits(fields), fields)


A = Architecture("gpt2", 64, (2, 4), (128, 256))
texts = st.one_of(
    st.text(max_size=80),
    st.integers(0, 400).map(lambda n: A.to_json()[:n]),
    st.integers(0, 400).map(lambda n: SMALL.to_json()[:n]),
    st.recursive(
        numbers.filter(lambda v: not isinstance(v, bytes)),
        lambda v: st.dictionaries(st.text(string.ascii_lowercase, max_size=8), v, max_size=4),
        max_leaves=8,
    ).map(json.dumps),
    st.tuples(st.sampled_from(["d_model", "backbone", "version", "n_head", "n_layer"]), numbers).map(
        lambda kv: json.dumps(json.loads(A.to_json()) | {kv[0]: kv[1]})
    ),
)


@settings(max_examples=300, deadline=None)
@given(texts)
def test_json(text):
    for kind in (Architecture, SearchSpace, Measurement):
        try:
            kind.from_json(text)
        except ValueError as e:
            assert "\n" not in str(e).strip()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, quickly):
    "A run folder of a real search."
    out = tmp_path_factory.mktemp("runs") / "run"
    search(
        SMALL,
        method="lts",
        out=out,
        workload=Workload(prompt_len=16),
        evaluations=6,
        progress=False,
        say=lambda s: None,
    )
    return out


@pytest.fixture(scope="module")
def profiled(tmp_path_factory, quickly):
    "A run folder of a real exact search, its device profile in it."
    out = tmp_path_factory.mktemp("runs") / "exact"
    search(SMALL, out=out, workload=Workload(prompt_len=16), progress=False, say=lambda s: None)
    return out


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["run.json", "candidates.csv", "frontier.csv", "exact.npz", "device.json"]),
    keep=st.floats(0, 1),
    junk=st.binary(max_size=6),
)
def test_damaged_exact_run(profiled, tmp_path, name, keep, junk):
    shutil.copytree(profiled, run := tmp_path / "run", dirs_exist_ok=True)
    content = (profiled / name).read_bytes()
    (run / name).write_bytes(content[: int(keep * len(content))] + junk)
    for use in (lambda: SearchResult.load(run).pick(), lambda: DeviceProfile.load(run / "device.json")):
        try:
            use()
        except (ValueError, OSError) as e:
            assert "\n" not in str(e).strip()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_run_json(profiled, tmp_path, data):
    "Whatever one puts into or takes out of `run.json`, the run opens and picks, or says in one line why not."
    shutil.copytree(profiled, run := tmp_path / "run", dirs_exist_ok=True)
    tree = json.loads((profiled / "run.json").read_text(encoding="utf-8"))
    name = data.draw(st.sampled_from(["space", "workload", "method", "limits", "proxy", "objectives", "certificate"]))
    if data.draw(st.booleans()):
        del tree[name]
    else:
        tree[name] = data.draw(st.sampled_from([None, -1, "x", [], {}, ["x"], {"x": 1}, True]))
    (run / "run.json").write_text(json.dumps(tree), encoding="utf-8")
    try:
        SearchResult.load(run).pick()
    except ValueError as e:
        assert "\n" not in str(e).strip()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["run.json", "candidates.csv", "frontier.csv", "store.sqlite"]),
    keep=st.floats(0, 1),
    junk=st.binary(max_size=6),
)
def test_damaged_run_folder(finished, tmp_path, name, keep, junk):
    shutil.copytree(finished, run := tmp_path / "run", dirs_exist_ok=True)
    content = (finished / name).read_bytes()
    (run / name).write_bytes(content[: int(keep * len(content))] + junk)
    for use in (
        lambda: SearchResult.load(run).pick(),
        lambda: Store(run / "store.sqlite").seconds(),
        lambda: read_run(run),
    ):
        try:
            use()
        except (ValueError, OSError) as e:
            assert "\n" not in str(e).strip()


def test_a_damaged_store_is_not_overwritten(finished, tmp_path):
    shutil.copytree(finished, run := tmp_path / "run")
    (run / "store.sqlite").write_bytes(b"not a database at all" * 100)
    code, out, err = lts("search", "--out", run, "--resume")
    assert code == 2 and "damaged or not a store" in err and (run / "store.sqlite").read_bytes()[:3] == b"not"


@pytest.mark.parametrize(
    "args, finding",
    [
        (["search", "--out", "{run}"], "already holds a search; add --resume"),
        (["search", "--out", "{run}", "--resume", "--seed", "5"], "seed=5: the search in"),
        (["search", "--out", "{run}", "--resume", "--space", "gpt2"], "the search in"),
        (["search", "--budget-s", "-3"], "budget_s=-3"),
        (["search", "--budget-s", "inf"], "budget_s=inf"),
        (["search", "--budget-s", "1e308"], "budget_s=1e+308"),
        (["search", "--evaluations", "0"], "evaluations=0"),
        (["search", "--threads", "100000"], "threads=100000"),
        (["search", "--dtype", "int1"], "dtype='int1'"),
        (["search", "--batch-size", "0"], "batch_size=0"),
        (["search", "--logits", "some"], "logits='some'"),
        (["search", "--min-params", "1e15"], "leave no architecture"),
        (["search", "--min-params", "2e7", "--max-params", "1e7"], "leave no architecture"),
        (["search", "--max-memory-mb", "-1"], "max_peak_bytes=-1000000"),
        (["search", "--method", "exactly"], "method='exactly'"),
        (["search", "--evaluations", "5"], "is for lts and random, not for method 'exact'"),
        (["search", "--measure-s", "0"], "measure_s=0.0: must be a number above 0"),
        (["search", "--measure-s", "60", "--method", "lts"], "measure_s=60.0: is for exact, not for method 'lts'"),
        (["search", "--ties", "loss"], "ties='loss': must be one of homogeneous, shape, none (loss needs --proxy with"),
        (["search", "--objectives", "decoder_params,decode_s"], "new_tokens=0: must be above 0 where decode_s"),
        (["search", "--method", "lts", "--budget-s", "inf"], "budget_s=inf"),
        (["search", "--method", "lts", "--evaluations", "0"], "evaluations=0"),
        (["search", "--max-latency-s", "1e-9"], "max_latency_s=1e-09: no architecture is likely to meet it"),
        (["search", "--max-latency-s", "1e-9", "--method", "lts"], "max_latency_s=1e-09: no architecture is likely"),
        (["search", "--profile", "{profiled}/device.json", "--space", "gpt2"], "is not in this profile"),
        (
            ["search", "--profile", "{profiled}/device.json", "--threads", "1", "--prompt-len", "30"],
            "covers 2 to 16; measure a profile for it with `lts profile`, or search with --method lts",
        ),
        (["search", "--profile", "{profiled}/device.json", "--batch-size", "4"], "batch_size=4"),
        (["search", "--profile", "{profiled}/device.json", "--dtype", "bfloat16"], "the profile was measured on"),
        (["search", "--profile", "{profiled}/run.json"], "run.json': profile: format"),
        (["search", "--profile", "{profiled}"], "cannot be read"),
        (["search", "--profile", "{profiled}/device.json", "--min-params", "1e15"], "leave no architecture"),
        (["pick", "{profiled}", "--max-latency-s", "1e-9"], "no member of the frontier meets it; the nearest has"),
        (["show", "{run}", "--at-most", "0"], "at-most"),
        (["pick", "{run}", "--min-params", "1e12"], "no member of the frontier meets it; the nearest"),
        (["pick", "{run}", "--max-memory-mb", "0"], "peak_bytes=0.0: must be a number above 0"),
        (["build", "{run}", "0000"], "id='0000'"),
    ],
)
def test_commands(finished, profiled, tmp_path, args, finding):
    args = [a.format(run=finished, profiled=profiled) for a in args]
    if args[0] == "search" and "--out" not in args:
        args += ["--out", tmp_path / "new"]
    before = {p.name: p.read_bytes() for p in finished.iterdir()}
    code, out, err = lts(*args)
    assert (code, out, err.count("\n")) == (2, "", 1) and finding in err, (code, out, err)
    assert {p.name: p.read_bytes() for p in finished.iterdir()} == before and not (
        tmp_path / "new" / "run.json"
    ).exists()
