"""What could not be measured, or could not be met, is told, noted and tried again; it is never counted as a result."""

import pytest
from kit import slow_but
from searches.kit import FEW, TINY, quiet_search, run_json

from lts_nb.core.errors import InputError, MeasurementFailed
from lts_nb.core.workload import Workload
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.profiler.targets.fake import FakeTarget
from lts_nb.searches.result import SearchResult
from lts_nb.searches.run_folder import failures_in_words

PROFILE = DeviceProfile.measure(TINY, FakeTarget(), held_out=0)
METHODS = [
    dict(method="lts", evaluations=22),
    dict(method="random", evaluations=22),
    dict(method="exact", profile=PROFILE),
]


class LateFailure(FakeTarget):
    "Measures every architecture once, and no more."

    def measure(self, architecture, *args, **options):
        if architecture.id in self.asked:
            raise MeasurementFailed("no memory any more")
        return super().measure(architecture, *args, **options)


@pytest.mark.parametrize("settings", METHODS)
def test_failures_are_told_and_noted(settings, tmp_path):
    result = quiet_search(target=FakeTarget(widest=128), out=tmp_path / "run", space=TINY, **settings)
    failed = result.candidates[result.candidates.latency_s.isna()]
    assert 0 < failed.id.nunique() < result.candidates.id.nunique() and (failed.d_model == 256).all()
    assert (result.frontier.d_model == 128).all() and result.frontier.latency_s.notna().all() and repr(result)
    noted = run_json(tmp_path / "run")["failed"]
    assert noted["architectures"] == failed.id.nunique()
    assert noted["reason"] == "MeasurementFailed: d_model=256: must be at most 128 on this device"
    words = f"; {failed.id.nunique()} more could not be measured: MeasurementFailed: d_model=256: must be at most 128"
    assert failures_in_words(SearchResult.load(tmp_path / "run").run).startswith(words)


@pytest.mark.parametrize("settings", METHODS)
def test_failures_are_tried_again(settings, tmp_path):
    settings = settings | dict(out=tmp_path / "run", space=TINY)
    quiet_search(target=FakeTarget(widest=128), **settings)
    mended = quiet_search(target=FakeTarget(), resume=True, **{k: v for k, v in settings.items() if k != "profile"})
    assert mended.candidates.latency_s.notna().all()
    assert run_json(tmp_path / "run")["failed"] is None and failures_in_words(mended.run) == ""


@pytest.mark.parametrize("settings", METHODS)
def test_all_failed(settings):
    with pytest.raises(
        InputError, match=r"target: all \d+ measurements failed; the first: MeasurementFailed: d_model="
    ):
        quiet_search(TINY, FakeTarget(widest=64), **settings)


def test_a_frontier_that_cannot_be_measured_afresh():
    with pytest.raises(InputError, match="measured afresh, none of its members is left .MeasurementFailed: no memory"):
        quiet_search(TINY, LateFailure(), "random", evaluations=10)


LIMITED = [
    (limit, method)
    for limit in ("max_latency_s", "max_prefill_s")
    for method in (dict(), dict(method="lts", evaluations=22))
]


@pytest.mark.parametrize("limit, method", slow_but(LIMITED, LIMITED[0], LIMITED[3]))
def test_an_impossible_limit_costs_one_measurement_and_leaves_nothing(limit, method, tmp_path):
    device, said = (
        FakeTarget(),
        f"{limit}=1e-09: no architecture is likely to meet it; one of those with the least work",
    )
    with pytest.raises(InputError, match=said):
        quiet_search(FEW, device, limits={limit: 1e-9}, out=tmp_path / "run", **method)
    assert len(device.asked) == 1 and not list((tmp_path / "run").iterdir())
    quiet_search(TINY, device, out=tmp_path / "run", **method)  # so the folder can be used


def test_a_limit_on_new_tokens_is_judged_only_where_there_are_some():
    device = FakeTarget()
    with pytest.raises(InputError, match="max_decode_s=1e-09: no architecture is likely to meet it"):
        quiet_search(FEW, device, workload=Workload(1, 16, 4), limits=dict(max_decode_s=1e-9))
    assert len(device.asked) == 1
    with pytest.raises(InputError, match="new_tokens=0: must be above 0 where max_decode_s is asked for"):
        quiet_search(FEW, device, limits=dict(max_decode_s=1e-9))
    assert len(device.asked) == 1


def test_a_possible_limit_is_left_to_the_search():
    free = quiet_search(TINY, FakeTarget())
    least = float(free.frontier.latency_s.min())
    bounded = quiet_search(TINY, FakeTarget(), limits=dict(max_latency_s=1.01 * least))
    assert (bounded.frontier.latency_s <= 1.02 * least).all()
