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
from lts_nb.space.memory import peak_bytes
from lts_nb.space.population import Population
from lts_nb.space.space import SearchSpace

SPACE = SearchSpace.preset("gpt2", n_layer=range(2, 9), d_model=range(128, 513, 64), vocab_size=5000, max_len=96)
REQUEST = Workload(prompt_len=64)
ONE_WIDTH = {384: 0.85}  # what parts say, as a share of what they take in whole models
NARROW_ONES = {d_model: (d_model / 512) ** 0.3 for d_model in SPACE.d_model}


class Liar(FakeTarget):
    "Slows down by 40 % and back, has moods of 2 % in each process, and flatters some widths."

    def __init__(self, lies: dict, seed: int = 0, cpu: str = "made up"):
        super().__init__(drift=0.4, mood=0.02, lies=lies, seed=seed)
        self.cpu = cpu

    def environment(self) -> dict:
        return dict(cpu=self.cpu)


def true_seconds(architectures: list) -> np.ndarray:
    "What architectures really take."
    device = FakeTarget()
    return np.array([device.seconds(architecture, REQUEST) for architecture in architectures])


@pytest.fixture(scope="module")
def optimum() -> tuple:
    "Decoder parameters and true seconds of the members of the true frontier."
    honest = DeviceProfile.measure(SPACE, FakeTarget(), REQUEST, held_out=0)
    members = list(exact_frontier(SPACE, honest, ("decoder_params", "latency_s"), workload=REQUEST).population)
    return np.array([count(a).decoder for a in members]), true_seconds(members)


def shown_of(result) -> list:
    "The architectures of a frontier, those that stand there for leanness aside."
    rows = result.frontier.sort_values("latency_s")
    rows = rows[rows.decoder_params > rows.decoder_params.cummax().shift(fill_value=0)]
    return [Architecture.from_json(text) for text in rows.architecture]


def lost(result, optimum) -> np.ndarray:
    "By how much each architecture that is shown is slower than the true optimum of its size."
    (sizes, seconds), shown = optimum, shown_of(result)
    best = np.array([seconds[sizes >= count(a).decoder].min(initial=np.inf) for a in shown])
    return true_seconds(shown) / best - 1


def believed(lies: dict):
    "A search that believes what parts say, since whole models are not at hand."
    profile = DeviceProfile.measure(SPACE, Liar(lies), REQUEST, held_out=0)
    return quiet_search(target=Liar(lies, cpu="another"), profile=profile)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((ONE_WIDTH, 0), id="one width", marks=pytest.mark.slow),
        pytest.param((NARROW_ONES, 1), id="narrow ones"),
    ],
)
def result(request):
    "A search on the device itself."
    return quiet_search(SPACE, Liar(*request.param), workload=REQUEST)


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
    assert lost(believed(NARROW_ONES), optimum).max() > 0.1


def test_tables_share_what_they_know_so_a_single_width_is_not_believed(optimum):
    assert lost(believed(ONE_WIDTH), optimum).max() < 0.03


def test_intervals_hold(result):
    rows = result.candidates[result.candidates.visits > 0].drop_duplicates("id")
    inside = (rows.predicted_low_s <= rows.latency_s) & (rows.latency_s <= rows.predicted_high_s)
    assert inside.mean() > 0.85


def test_layers_differ_where_no_uniform_architecture_is_as_good(result):
    members = SPACE.enumerate(homogeneous=True)
    seconds, params, peak = true_seconds(list(members)), count(members).decoder, peak_bytes(members, REQUEST)

    def avoidable(shown: Architecture) -> bool:
        good = (params >= count(shown).decoder) & (peak <= peak_bytes(shown, REQUEST))
        within = true_seconds([shown])[0] * (1 + result.run["resolution"])
        return not Population.of([shown]).homogeneous[0] and bool((good & (seconds <= within)).any())

    assert np.mean([avoidable(shown) for shown in shown_of(result)]) < 0.2
