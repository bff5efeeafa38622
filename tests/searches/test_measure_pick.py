"""A pick is measured beside members of its run, filed where nothing is lost, and refused on another machine."""

from dataclasses import replace

import numpy as np
import pytest
from searches.kit import FEW, quiet_search, run_json

from lts_nb.core.errors import InputError
from lts_nb.core.files import LOCK, only_one
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.store import Store
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.searches.measure_pick import BESIDE, measure_member, slowness_of, visits_of
from lts_nb.searches.result import SearchResult, measured_row
from lts_nb.searches.session import ROUNDS
from lts_nb.show.choose import was_measured

PROFILE = DeviceProfile.measure(FEW, FakeTarget(), held_out=0)


class Elsewhere(FakeTarget):
    "Another machine than the profile's."

    def environment(self):
        return dict(cpu="another")


def unmeasured(result) -> list:
    return [a for a in result.full_frontier.population if measured_row(result, a.id) is None]


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> SearchResult:
    folder = tmp_path_factory.mktemp("picks") / "run"
    return quiet_search(target=FakeTarget(), profile=PROFILE, out=folder, measure_s=0.5)


def copy_of(result: SearchResult) -> SearchResult:
    "The same in memory, so that nobody else finds what is added."
    return replace(result, folder=None, run=dict(result.run))


def test_a_result_in_memory_gets_the_row(searched):
    result = copy_of(searched)
    pick, device, seen = unmeasured(result)[0], FakeTarget(), []
    row = result.measure(pick.id, target=device, done=lambda: seen.append(1))
    assert was_measured(row) and row.latency_s == pytest.approx(FakeTarget().seconds(pick), rel=1e-9)
    assert len(seen) == len(device.asked) == visits_of(searched) == ROUNDS * (1 + BESIDE)
    assert len(result.candidates) == len(searched.candidates) + 1 and row.visits == ROUNDS
    assert row.predicted_low_s < row.predicted_latency_s < row.predicted_high_s
    assert result.row(latency_s=row.predicted_latency_s * (1 + 1e-9)).latency_s == row.latency_s
    assert unmeasured(searched)[0] == pick


def test_it_is_filed_and_outlives_a_search_that_goes_on(searched):
    pick, folder = unmeasured(searched)[1], searched.folder
    before = len(SearchResult.load(folder).candidates)
    row = measure_member(folder, pick.id, FakeTarget(slower_after=0))  # half as slow again, which is taken out
    assert row.latency_s == pytest.approx(FakeTarget().seconds(pick), rel=1e-9)
    with Store(folder / "store.sqlite") as store:
        filed = [m for m in store.measurements() if m["occasion"].startswith(f"pick {pick.id[:8]}")]
    assert len(filed) == visits_of(searched) and len(SearchResult.load(folder).candidates) == before + 1
    device = FakeTarget()
    again = quiet_search(target=device, out=folder, resume=True)
    assert measured_row(again, pick.id).latency_s == pytest.approx(row.latency_s, rel=1e-9)
    assert not device.asked and run_json(folder)["picked"][0] == SearchResult.load(folder).run["picked"][0]


def test_an_interruption_loses_no_visit(searched):
    pick, folder = unmeasured(searched)[2], searched.folder
    with pytest.raises(KeyboardInterrupt):
        measure_member(folder, pick.id, FakeTarget(stop_after=5))
    assert measured_row(SearchResult.load(folder), pick.id) is None
    device = FakeTarget()
    measure_member(folder, pick.id, device)
    assert len(device.asked) == visits_of(searched) - 5


def test_what_cannot_be_measured_changes_nothing(searched):
    result = copy_of(searched)
    pick = max(unmeasured(result), key=lambda a: a.d_model)
    with pytest.raises(InputError, match=f"measure: {pick.id} could not be measured .MeasurementFailed: d_model="):
        measure_member(result, pick.id, FakeTarget(widest=pick.d_model - 1))
    assert len(result.candidates) == len(searched.candidates) and "picked" not in result.run


def test_one_at_a_time(searched):
    pick = unmeasured(searched)[3]
    with (
        only_one(searched.folder / LOCK, "out", "search"),
        pytest.raises(InputError, match="another search is running"),
    ):
        measure_member(searched.folder, pick.id, FakeTarget())


def test_a_pick_that_is_beaten_is_no_member(searched):
    result = copy_of(searched)
    pick = unmeasured(result)[4]
    better = result.frontier.iloc[[0]].assign(id="f" * 16, latency_s=1e-9, peak_bytes=1.0, decoder_params=10**9)
    result.frontier = better
    row = measure_member(result, pick.id, FakeTarget())
    assert pick.id in set(result.candidates.id) and list(result.frontier.id) == ["f" * 16] and was_measured(row)


def test_a_run_that_was_predicted_for_another_machine():
    result = quiet_search(target=Elsewhere(), profile=PROFILE)
    pick = unmeasured(result)[0]
    with pytest.raises(InputError, match="the device of this run is another machine .cpu='made up', here 'another'.;"):
        measure_member(result, pick.id, Elsewhere())
    row = measure_member(result, pick.id, FakeTarget())  # on the machine of the profile
    assert row.latency_s == pytest.approx(FakeTarget().seconds(pick), rel=1e-9) and row.visits == ROUNDS
    assert result.run["machine"] == FakeTarget().environment() and visits_of(result) > ROUNDS


def test_slowness_by_hand(searched):
    class Found:
        seconds, standard_error = np.array([9.0, 0.011, 0.022]), np.array([0.5, 0.03, 0.04])

    beside = searched.frontier.iloc[:2].assign(latency_s=[0.01, 0.02], standard_error=[0.04, np.nan])
    factor, error = slowness_of(searched, Found, beside)
    assert factor == pytest.approx(1.1) and error == pytest.approx(np.hypot(0.05, 0.04) / 2)
    assert slowness_of(searched, Found, beside.assign(latency_s=np.nan)) == (1.0, 0.0)
