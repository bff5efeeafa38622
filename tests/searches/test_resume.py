"""A search on a made-up device, stopped anywhere and continued: nothing is measured twice, the end is the same."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from kit import slow_but
from searches.kit import LAW, TINY, SteadyTarget, quiet_search, run_json

from lts_nb.core.errors import InputError, MeasurementFailed
from lts_nb.profiler.profile.device_profile import DeviceProfile
from lts_nb.searches.quality import Quality, quality_of
from lts_nb.searches.result import SearchResult
from lts_nb.searches.tables import to_csv

TABLES = ("frontier.csv", "candidates.csv")


def sampled(device, out, **settings):
    return quiet_search(TINY, device, "lts", out=out, evaluations=22, **settings)


def exact(device, out, **settings):
    return quiet_search(TINY, device, out=out, **settings)


def stop_and_continue(run, straight, out, after, device=SteadyTarget, **settings):
    "Stop a run after so many measurements, continue it, and compare with the straight one; what was asked for in all."
    before = device(stop_after=after)
    try:
        run(before, out, **settings)
    except KeyboardInterrupt:
        pass
    run(rest := device(), out, resume=True)
    for name in TABLES:
        assert (out / name).read_text() == (straight / name).read_text()
    assert run_json(out).keys() == run_json(straight).keys()
    return before.asked + rest.asked


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    "A sampled search that was never interrupted: its folder, its result, what it asked the device for."
    folder, device = tmp_path_factory.mktemp("runs") / "straight", SteadyTarget()
    return folder, sampled(device, folder), device.asked


@pytest.mark.parametrize("after", slow_but(range(0, 60, 5), 0, 25, 55))
def test_sampled_search_stopped_anywhere(straight, tmp_path, after):
    assert stop_and_continue(sampled, straight[0], tmp_path / "run", after) == straight[2]


def test_a_finished_search_measures_nothing_more(straight):
    folder, result, _ = straight
    sampled(device := SteadyTarget(), folder, resume=True)
    assert device.asked == []
    opened = SearchResult.load(folder)
    pd.testing.assert_frame_equal(opened.frontier, result.frontier, check_dtype=False)
    assert opened.pick() == result.pick() and repr(opened) == repr(result)


def test_what_does_not_continue_a_run(straight):
    folder = straight[0]
    with pytest.raises(InputError, match="already holds a search"):
        sampled(SteadyTarget(), folder)
    with pytest.raises(InputError, match="seed=7: the search in"):
        sampled(SteadyTarget(), folder, resume=True, seed=7)
    moved = SteadyTarget()
    moved.environment = lambda: dict(cpu="another")
    with pytest.raises(InputError, match="machine: the run was measured with cpu='made up', now 'another'"):
        sampled(moved, folder, resume=True)


@pytest.fixture(scope="module")
def straight_exact(tmp_path_factory):
    "An exact search that was never interrupted: its folder, what it asked the device for."
    exact(device := SteadyTarget(), folder := tmp_path_factory.mktemp("runs") / "exact")
    return folder, device.asked


# in the first visit, among probes, in later rounds, at the end
@pytest.mark.parametrize("after", slow_but([0, 9, 40, 100, -3], 0, 40))
def test_exact_search_stopped_anywhere(straight_exact, tmp_path, after):
    folder, asked = straight_exact
    assert stop_and_continue(exact, folder, tmp_path / "run", after % len(asked)) == asked


def test_failed_measurements_are_tried_once_more(tmp_path):
    class Flaky(SteadyTarget):
        "Cannot measure wide models on its first day."

        broken = True

        def measure(self, architecture, *args, **options):
            measurement = super().measure(architecture, *args, **options)
            if self.broken and architecture.d_model == 256:
                raise MeasurementFailed("no memory today")
            return measurement

    first, mended = Flaky(stop_after=15), Flaky()
    with pytest.raises(KeyboardInterrupt):
        quiet_search(TINY, first, "random", out=tmp_path, evaluations=20)
    mended.broken = False
    result = quiet_search(TINY, mended, out=tmp_path, resume=True)
    candidates = result.candidates[result.candidates.role == "candidate"]
    failed = set(candidates.id[candidates.d_model == 256]) & set(first.asked)
    assert failed and failed <= set(mended.asked)
    assert candidates.latency_s.notna().all()
    first_looks = mended.asked[: len(failed) + 20 - len(first.asked)]
    assert set(first_looks).isdisjoint(set(first.asked) - failed)  # what had succeeded was not measured again


def refuses_other_quality(run, out):
    "Another law, or a count, does not continue a run that was begun with `LAW`."
    words = "predicted loss (loss = 2.000 + 0.600·(N/1e+07)^-0.25 + "
    for proxy, finding in (
        (replace(LAW, coefficients=(2.0, 0.6, 0.5)), f"proxy={words}0.500"),
        ("depth", f"was begun with {words}0.600"),
    ):
        with pytest.raises(InputError) as e:
            run(SteadyTarget(), out, resume=True, proxy=proxy)
        assert finding in str(e.value)


@pytest.mark.parametrize("run", slow_but([exact, sampled], exact))
def test_a_law_travels_in_the_folder(tmp_path, run):
    "The file that a law came from may go; another law does not continue the run."
    (file := tmp_path / "law.json").write_text(LAW.to_json(), encoding="utf-8")
    straight, out = tmp_path / "straight", tmp_path / "run"
    whole = run(full := SteadyTarget(), straight, proxy=file)
    with pytest.raises(KeyboardInterrupt):
        run(before := SteadyTarget(stop_after=len(full.asked) // 2), out, proxy=file)
    file.unlink()
    refuses_other_quality(run, out)
    run(after := SteadyTarget(), out, resume=True)
    assert before.asked + after.asked == full.asked
    for name in TABLES:
        assert (out / name).read_text() == (straight / name).read_text()
    opened = SearchResult.load(out)
    assert opened.quality == quality_of(LAW) and repr(opened) == repr(whole) and opened.pick() == whole.pick()
    assert opened.plot().axes[0].get_ylabel() == "← better   predicted loss [nats]"
    to_csv(opened.frontier.drop(columns="predicted_loss"), out / "frontier.csv")
    with pytest.raises(InputError, match="frontier.csv: is missing, cut short or not a table"):
        SearchResult.load(out)


def test_runs_from_before_there_was_a_choice(straight, tmp_path):
    "A `run.json` that names neither proxy nor objectives opens, and is continued by decoder parameters only."
    sampled(SteadyTarget(), out := tmp_path / "run")
    run = {name: value for name, value in run_json(out).items() if name not in ("proxy", "objectives")}
    (out / "run.json").write_text(json.dumps(run), encoding="utf-8")
    assert SearchResult.load(out).quality == Quality()
    with pytest.raises(InputError, match="was begun with decoder_params; leave it out"):
        sampled(SteadyTarget(), out, resume=True, proxy=LAW)
    sampled(device := SteadyTarget(), out, resume=True)
    assert device.asked == []


BOTH = [(exact, "straight_exact"), (sampled, "straight")]


@pytest.mark.parametrize("run, whole", slow_but(BOTH, BOTH[0]))
def test_a_run_goes_on_after_a_reboot(request, tmp_path, run, whole):
    machine = dict(cpu="made up", memory_bytes=25276510208, last_level_cache_bytes=2**25, python="3.12.3", torch="2.9")
    before, after, other = SteadyTarget(stop_after=30), SteadyTarget(), SteadyTarget()
    before.environment = lambda: machine
    after.environment = lambda: machine | dict(memory_bytes=25276506112, python="3.12.4", last_level_cache_bytes=None)
    other.environment = lambda: machine | dict(torch="2.10")
    with pytest.raises(KeyboardInterrupt):
        run(before, tmp_path / "run")
    with pytest.raises(InputError, match="measured with torch='2.9', now '2.10'; one frontier must not mix them"):
        run(other, tmp_path / "run", resume=True)
    result = run(after, tmp_path / "run", resume=True)
    assert before.asked + after.asked == request.getfixturevalue(whole)[-1]
    assert result.run.get("measured", True)


def test_a_profile_is_of_this_machine_after_a_reboot(tmp_path):
    before, after = SteadyTarget(), SteadyTarget()
    before.environment = lambda: dict(cpu="made up", memory_bytes=2**33)
    after.environment = lambda: dict(cpu="made up", memory_bytes=2**33 - 4096)
    profile = DeviceProfile.measure(TINY, before, held_out=0)
    assert quiet_search(target=after, profile=profile).run["measured"]
