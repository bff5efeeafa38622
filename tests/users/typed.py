"""What a type checker must find in a user's program; `tools/check.py types` has it checked, and nothing runs it."""

from collections.abc import Callable
from typing import assert_type

import numpy as np
import pandas as pd

import lts_nb
from lts_nb import Architecture, DeviceProfile, SearchResult, SearchSpace, Workload
from lts_nb.frontier.evolution import History
from lts_nb.frontier.members import ExactFrontier
from lts_nb.profiler.measurement import Measurement
from lts_nb.profiler.targets.contract import Target
from lts_nb.show.explorer import Explorer
from lts_nb.space.counts import Counts
from lts_nb.space.population import Population


def look_at_a_space() -> None:
    space = SearchSpace.preset("gpt2", n_layer=[2, 3], d_model=range(64, 129, 32))
    assert_type(space, SearchSpace)
    assert_type(space.size(), int)
    some = space.sample(3, seed=0)
    assert_type(some, Population)
    assert_type(some[0], Architecture)
    assert_type(some[1:], Population)
    assert_type(some.d_model, np.ndarray)
    assert_type([a.to_json() for a in some], list[str])
    assert_type(lts_nb.count(some[0]), Counts)


def measure(target: str | Target, architecture: Architecture) -> None:
    engine = lts_nb.get_target("torch-cpu", threads=1)
    assert_type(engine, Target)
    assert_type(engine.measure(architecture, Workload(prompt_len=64, new_tokens=8)), Measurement)
    profile = DeviceProfile.load("device.json")
    assert_type(profile, DeviceProfile)
    assert_type(profile.epsilon, float | None)
    lts_nb.search(target=target, profile=profile)


def find(space: SearchSpace, profile: DeviceProfile, evaluate: Callable) -> None:
    result = lts_nb.search("gpt2", out="runs/gpt2", measure_s=60, limits=dict(max_latency_s=0.1))
    assert_type(result, SearchResult)
    assert_type(SearchResult.load("runs/gpt2"), SearchResult)
    assert_type(result.pick(latency_s=0.02), Architecture)
    assert_type(result.frontier, pd.DataFrame)
    assert_type(result.explore(), Explorer)
    assert_type(lts_nb.exact_frontier(space, profile), ExactFrontier)
    assert_type(lts_nb.evolve(space, evaluate), History)


def mistakes(space: SearchSpace) -> None:  # each must be found: an ignored line without a mistake is a finding, too
    lts_nb.serach("gpt2")  # type: ignore[attr-defined]
    lts_nb.search("gpt2", budget=60)  # type: ignore[call-arg]
    lts_nb.search("gpt2", seed="0")  # type: ignore[arg-type]
    Workload(prompt_length=64)  # type: ignore[call-arg]
    print(space.d_modle)  # type: ignore[attr-defined]
