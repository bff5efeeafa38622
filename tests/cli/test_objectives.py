"""Whatever a search is for, its table, its picture, its words and every hint that it prints speak of it."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from kit import SMALL, lts, quick_searches, slow_but

from lts_nb.core.metrics import get_metric
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.profiler.targets.registry import TARGETS, register_target
from lts_nb.searches.result import SearchResult
from lts_nb.show.plots import better_axis


class Meter(FakeTarget):
    "A device that is made up, and measures energy as well: joules."

    name = "meter"
    readings = ("energy_j",)

    def measure(self, architecture, *args, **options):
        found = super().measure(architecture, *args, **options)
        return replace(found, extra=dict(energy_j=found.latency_s * architecture.n_layer))


SEARCHES = {
    "decoder_params,decode_s,kv_cache_bytes": ["new token [ms]", "KV cache [MB]"],
    "decoder_params,weight_bytes,flops": ["weights [MB]", "FLOPs [G]"],
    "decoder_params,energy_j,kv_cache_bytes": ["energy [J]", "KV cache [MB]"],
}
SAMPLED = ["--method", "random", "--evaluations", "10"]


@pytest.fixture(scope="module", params=slow_but(SEARCHES, *list(SEARCHES)[1:]))
def searched(request, tmp_path_factory):
    "Objectives, the folder of a run, and what its search printed."
    place = tmp_path_factory.mktemp("objectives")
    (place / "space.json").write_text(SMALL.to_json(), encoding="utf-8")
    register_target("meter", lambda **options: Meter())
    asked = ["--space", place / "space.json", "--target", "meter", "--prompt-len", 16, "--new-tokens", 8]
    asked += SAMPLED if "energy_j" in request.param else []
    with quick_searches(), pytest.MonkeyPatch.context() as window:
        window.setenv("COLUMNS", "300")  # in which each title is a line
        code, out, err = lts("search", *asked, "--objectives", request.param, "--out", place / "run")
    assert code == 0, err
    yield request.param, place / "run", out
    TARGETS.pop("meter")


def hints(out: str) -> dict:  # words before a command -> the command
    found = (line.partition(": lts ") for line in out.splitlines())
    return {before: command for before, sign, command in found if sign}


def paste(command: str) -> tuple[str, str]:  # standard output and error
    code, out, err = lts(*shlex.split(command))
    assert code == 0, err
    return out, err


def test_the_table_and_the_picture(searched):
    objectives, run, out = searched
    heads = next(line for line in out.splitlines() if " params [M] " in line)
    _, *costs = objectives.split(",")
    assert all(title in heads for title in SEARCHES[objectives])
    assert not any(title in heads for title in ("latency [ms]", "memory [MB]"))
    labels = [ax.get_xlabel() for ax in SearchResult.load(run).plot().axes]
    assert sorted(labels) == sorted(better_axis(get_metric(name)) for name in costs)


def test_every_hint_can_be_pasted(searched, tmp_path, monkeypatch):
    objectives, run, out = searched
    monkeypatch.chdir(tmp_path)
    phrases = [get_metric(name).phrase for name in objectives.split(",")]
    said = paste(hints(out)["next"])[0]
    assert all(phrase in said for phrase in phrases) and " of memory" not in said
    built = paste(hints(said)["next"])[0]
    assert "open it with: " in built and Path("model", "config.json").exists()


def test_a_pick_that_was_not_measured_is_measured_by_its_hint(searched):
    objectives, run, _ = searched
    result = SearchResult.load(run)
    if "energy_j" in objectives:  # a frontier that was found by measuring
        assert "was measured already" in lts("pick", run, "--measure")[2]
        return
    known, full = set(result.candidates.id), result.full_frontier
    number = next(i for i, a in enumerate(full.population) if a.id not in known)
    flags = pick_exactly(full, number, objectives)
    said, _ = paste(shlex.join(["pick", str(run), *flags]))
    shown = json.loads(paste(shlex.join(["pick", str(run), *flags, "--json"]))[0])
    assert shown["measured"] is False and ("predicted" in said) == any("_s" in name for name in objectives.split(","))
    again, err = paste(hints(said)["to measure it"])
    assert "predicted" not in again and "to measure it" not in again and "it was predicted: " in err
    assert json.loads(paste(shlex.join(["pick", str(run), *flags, "--json"]))[0])["measured"] is True
    assert shown["id"] in set(SearchResult.load(run).candidates.id)


def pick_exactly(full, number: int, objectives: str) -> list[str]:
    "Limits that only one member keeps, or others that are as good in everything."
    from lts_nb.cli.options import limit_words

    costs = {name: float(value) for name, value in zip(full.objectives, full.F[number], strict=True)}
    del costs["decoder_params"]
    return limit_words({name: value * (1 + 1e-5) for name, value in costs.items()})


def test_what_was_no_objective_cannot_be_limited(searched):
    objectives, run, _ = searched
    code, out, err = lts("pick", run, "--max-memory-mb", 100)
    if "energy_j" in objectives:
        return
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--max-memory-mb: peak memory was no objective of this search; it takes " in err
    _, *costs = objectives.split(",")
    for name in costs:
        assert f"--max-{name.removesuffix('_bytes').replace('_', '-')}" in err


def test_json_says_what_was_measured(searched):
    _, run, _ = searched
    rows = json.loads(lts("show", run, "--json")[1])["frontier"]
    assert rows and all(row["measured"] is True for row in rows)
