"""A device whose speed wanders by 40 % and whose parts lie: what is shown is true within what can be told apart."""

import numpy as np
import pytest
from searches.kit import quiet_search

from lts_nb.core.workload import Workload
from lts_nb.frontier.exact import exact_frontier
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.space.architecture import Architecture
from lts_nb.space.counts import count
from lts_nb.space.space import SearchSpace

SPACE = SearchSpace.preset("gpt2", n_layer=range(2, 9), d_model=range(128, 513, 64), vocab_size=5000, max_len=96)
REQUEST = Workload(prompt_len=64)
LIE = 0.85  # what parts of one width say, as a share of what they take in whole models


class Liar(FakeTarget):
    "Slows down by 40 % and back, has moods of 2 % in each process, and flatters one width."

    def __init__(self, seed: int = 0, cpu: str = "made up"):
        super().__init__(drift=0.4, mood=0.02, lies={384: LIE}, seed=seed)
        self.cpu = cpu

    def environment(self) -> dict:
        return dict(cpu=self.cpu)


def true_seconds(architectures: list) -> np.ndarray:
    "What architectures really take."
    device = Liar()
    return np.array([device.seconds(architecture, REQUEST) for architecture in architectures])


@pytest.fixture(scope="module")
def optimum() -> tuple:
    "Decoder parameters and true seconds of the members of the true frontier."
    honest = DeviceProfile.measure(SPACE, FakeTarget(), REQUEST, held_out=0)
    members = list(exact_frontier(SPACE, honest, ("decoder_params", "latency_s"), workload=REQUEST).population)
    return np.array([count(a).decoder for a in members]), true_seconds(members)


def lost(result, optimum) -> np.ndarray:
    "By how much each row is slower than the true optimum of its size, the rows that stand for leanness aside."
    sizes, seconds = optimum
    rows = result.frontier.sort_values("latency_s")
    rows = rows[rows.decoder_params > rows.decoder_params.cummax().shift(fill_value=0)]
    shown = [Architecture.from_json(text) for text in rows.architecture]
    best = np.array([seconds[sizes >= count(a).decoder].min(initial=np.inf) for a in shown])
    return true_seconds(shown) / best - 1


@pytest.fixture(scope="module", params=[0, 1])
def result(request):
    "A search on the device itself."
    return quiet_search(SPACE, Liar(request.param), workload=REQUEST)


def test_nothing_is_shown_for_which_something_better_was_measured(result):
    measured = result.candidates[result.candidates.visits > 0]
    faster_by = 1 + result.run["resolution"]
    for _, row in result.frontier.iterrows():
        as_good = measured[(measured.decoder_params >= row.decoder_params) & (measured.peak_bytes <= row.peak_bytes)]
        assert as_good.latency_s.min() * faster_by * (1 + 1e-9) >= row.latency_s


def test_the_true_frontier_is_found(result, optimum):
    assert len(result.run["certificate"]["rounds"]) > 1
    assert lost(result, optimum).max() < 1.3 * result.run["resolution"] < 0.08


def test_the_tables_alone_would_not_find_it(optimum):
    profile = DeviceProfile.measure(SPACE, Liar(), REQUEST, held_out=0)
    believed = quiet_search(target=Liar(cpu="another"), profile=profile)
    assert lost(believed, optimum).max() > 0.1


def test_intervals_hold(result):
    rows = result.candidates[result.candidates.visits > 0].drop_duplicates("id")
    inside = (rows.predicted_low_s <= rows.latency_s) & (rows.latency_s <= rows.predicted_high_s)
    assert inside.mean() > 0.85


def test_latencies_within_the_resolution_are_settled_by_shape(result):
    alike = [len(set(row.d_inner)) == 1 and len(set(row.n_head)) == 1 for row in result.frontier.itertuples()]
    assert np.mean(alike) > 0.7
