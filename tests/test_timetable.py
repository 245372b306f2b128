"""Everything runs by itself: schedules and sensors are on, what an outage missed is caught up with
retention first, and a run that did not happen is noticed."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from assets import schedules, sensors
from assets.resources import Store
from pipeline.definitions import defs
from pipeline.operations import freshness, timetable
from pipeline.retained import job
from pipeline.storage.layout import Layout
from tests.command import milestones
from tests.company import write_delivery
from tests.estate import NOW, sign_policy
from tests.fixtures import RUN_DATE, Estate
from tests.webhook import Hook

DAY, MINUTE = dt.timedelta(days=1), dt.timedelta(minutes=1)


def at(day: dt.date, hour: int, minute: int = 0) -> dt.datetime:
    """A moment as the clock shows it there."""
    return dt.datetime.combine(day, dt.time(hour, minute), timetable.ZONE).astimezone(dt.UTC)


@pytest.fixture
def empty() -> Iterator[dg.DagsterInstance]:
    """An instance without any run."""
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def requested(
    instance: dg.DagsterInstance,
    job: str,
    day: dt.date | None = None,
    status: DagsterRunStatus = DagsterRunStatus.SUCCESS,
) -> None:
    """A run as somebody or something requested it."""
    tags = {timetable.PARTITION: str(day)} if day else {}
    instance.add_run(dg.DagsterRun(job_name=job, tags=tags, status=status))


def tick(estate: Estate, instance: dg.DagsterInstance, day: dt.date) -> list[Any]:
    """The dates of the runs that the schedule requests."""
    found = schedules.requested(instance, estate.layout, day)
    return [] if isinstance(found, dg.SkipReason) else [one.partition_key for one in found]


def caught_up(estate: Estate, instance: dg.DagsterInstance, now: dt.datetime) -> list[Any]:
    """The job and date of every run that the sensor requests."""
    found = sensors.missing(instance, estate.layout, now - timetable.GRACE)
    found = [] if isinstance(found, dg.SkipReason) else found
    return [(one.job_name, one.partition_key) for one in found]


def test_everything_is_on_from_the_start() -> None:
    """Whatever is added later as well."""
    repository = defs.get_repository_def()
    assert {one.name for one in repository.schedule_defs} == {"nightly_run", "nightly_retention"}
    for schedule in repository.schedule_defs:
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
        assert schedule.execution_timezone == "Europe/Berlin"
    for sensor in repository.sensor_defs:
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


def test_the_nightly_schedule_requests_the_day_s_run(tmp_path: Path) -> None:
    """Also on the days when the clock changes, and on the first run date."""
    schedule = defs.resolve_schedule_def("nightly_run")
    with dg.instance_for_test() as instance:
        for day in ("2026-11-02", "2026-03-29", "2026-10-25", "2026-01-01"):
            context = dg.build_schedule_context(
                instance,
                repository_def=defs.get_repository_def(),
                scheduled_execution_time=at(dt.date.fromisoformat(day), 2, 15),
                resources={"store": Store(home=str(tmp_path))},
            )
            requests = schedule.evaluate_tick(context).run_requests
            assert [one.partition_key for one in requests or []] == [day]


def test_the_schedule_takes_earlier_deliveries_first(
    estate: Estate, empty: dg.DagsterInstance
) -> None:
    """Those that are in no store yet, and none from before the first run date or of tomorrow."""
    for day in (RUN_DATE - DAY, RUN_DATE - 2 * DAY, RUN_DATE + DAY, dt.date(2020, 1, 1)):
        write_delivery(estate.delivery(day), [])
    assert tick(estate, empty, RUN_DATE) == [
        str(RUN_DATE - 2 * DAY),
        str(RUN_DATE - DAY),
        str(RUN_DATE),
    ]


def test_after_an_outage_retention_comes_first_and_each_day_once(
    finished_run: Estate, tmp_path: Path
) -> None:
    """Three days down: both schedules and the sensor are evaluated at once, in whatever order."""
    later = [RUN_DATE + n * DAY for n in (1, 2, 3)]
    estate = Estate(tmp_path / "home", finished_run.instance)
    landing = estate.home / "landing"
    for day in later:
        write_delivery(landing / str(day), [])
    (estate.home / "store").mkdir()
    (estate.home / "format.json").write_bytes((finished_run.home / "format.json").read_bytes())
    for name in ("classified", "canonical"):
        (estate.home / "store" / name).symlink_to(finished_run.home / "store" / name)
    today = dt.datetime.now(timetable.ZONE).date()  # requests are dated by the real clock
    now = at(today, 10)
    with dg.DagsterInstance.ephemeral() as instance:
        assert tick(estate, instance, today) == []
        assert caught_up(estate, instance, now) == [("retention", None)]
        requested(instance, "retention", status=DagsterRunStatus.STARTED)
        assert tick(estate, instance, today) == []
        assert caught_up(estate, instance, now) == []
    for ended in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE):
        with dg.DagsterInstance.ephemeral() as instance:
            # One that failed alerts, and blocks no run.
            requested(instance, "retention", status=ended)
            assert caught_up(estate, instance, now) == [("nightly", str(day)) for day in later]
            requested(instance, "nightly", later[0], DagsterRunStatus.FAILURE)
            requested(instance, "nightly", later[1], DagsterRunStatus.STARTED)
            assert caught_up(estate, instance, now) == [("nightly", str(later[2]))]
            # What is still not ingested is tried again the next day, after its retention.
            assert caught_up(estate, instance, now + DAY) == [("retention", None)]


def test_the_sensor_leaves_to_the_schedules_what_is_theirs(
    estate: Estate, empty: dg.DagsterInstance
) -> None:
    """Before the first run there is nothing to erase either; half an hour after it was due, a
    delivery is missed; one that comes in the course of the day is too."""
    write_delivery(estate.delivery(RUN_DATE), [])
    assert caught_up(estate, empty, at(RUN_DATE, 2, 15) + 29 * MINUTE) == []
    assert caught_up(estate, empty, at(RUN_DATE, 2, 15) + 30 * MINUTE) == [
        ("nightly", str(RUN_DATE))
    ]
    assert caught_up(estate, empty, at(RUN_DATE, 18)) == [("nightly", str(RUN_DATE))]
    assert caught_up(estate, empty, at(RUN_DATE - DAY, 18)) == []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[dt.datetime], None]:
    """Sets the time that the sensors see."""

    def show(moment: dt.datetime) -> None:
        class Clock(dt.datetime):
            @classmethod
            def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
                return moment.astimezone(tz)

        changed = SimpleNamespace(datetime=Clock, UTC=dt.UTC)
        monkeypatch.setattr(sensors, "dt", changed)

    return show


def alert(estate: Estate, cursor: str | None) -> str | None:
    """The cursor after a tick of the sensor that alerts."""
    context = dg.build_sensor_context(
        cursor=cursor,
        repository_def=defs.get_repository_def(),
        resources={"store": Store(home=str(estate.home))},
    )
    found = defs.get_sensor_def("alert_on_missed_run")(context)
    return found.cursor if isinstance(found, dg.SensorResult) else cursor


def test_a_run_that_did_not_happen_alerts_once_a_day(
    finished_run: Estate, hook: type[Hook], clock: Callable[[dt.datetime], None]
) -> None:
    """Each job by itself: a release says nothing of a deletion."""
    released = freshness.last_successes(finished_run.layout)[0].at
    assert released is not None

    def alerted(cursor: str | None) -> tuple[str | None, set[str]]:
        hook.got.clear()
        cursor = alert(finished_run, cursor)
        assert all("has not succeeded" in one["text"] for one in hook.got)
        return cursor, {one["job"] for one in hook.got}

    midnight = released.replace(hour=0, minute=0, second=0)
    clock(released + dt.timedelta(hours=25))
    cursor, jobs = alerted(None)
    assert jobs == set(), "the deletion was not due for longer than a day"
    clock(midnight + 3 * DAY)
    cursor, jobs = alerted(cursor)
    assert jobs == {"nightly", "retention"}
    clock(midnight + 3 * DAY + dt.timedelta(hours=23))
    cursor, jobs = alerted(cursor)
    assert jobs == set()
    clock(midnight + 4 * DAY)
    cursor, jobs = alerted(cursor)
    assert jobs == {"nightly", "retention"}


def test_an_alert_of_a_missed_run_is_sent_again_where_it_failed(
    finished_run: Estate, hook: type[Hook], clock: Callable[[dt.datetime], None]
) -> None:
    clock(dt.datetime.now(dt.UTC) + 2 * DAY)
    hook.failures = 1
    with pytest.raises(OSError, match="500"):
        alert(finished_run, None)
    alert(finished_run, None)
    assert hook.got


def test_an_empty_folder_is_not_overdue_and_an_ignored_delivery_is(tmp_path: Path) -> None:
    """It waits since it came: a first load of years is not late, a folder made ahead is not yet."""
    layout, now = Layout(tmp_path), dt.datetime.now(dt.UTC)
    assert freshness.overdue(layout, now) == []
    (tmp_path / "landing" / "2026-99-99").mkdir(parents=True)
    delivery = tmp_path / "landing" / str(now.date() - 400 * DAY)
    delivery.mkdir()
    (tmp_path / "landing" / str(now.date() + 2 * DAY)).mkdir()
    assert freshness.overdue(layout, now) == []
    assert [one.job for one in freshness.overdue(layout, now + 2 * DAY)] == ["nightly"]
    came = (now - 2 * DAY).timestamp()
    os.utime(delivery, (came, came))
    assert [one.job for one in freshness.overdue(layout, now)] == ["nightly"]


def test_status_says_how_long_ago_and_ends_with_a_code_for_cron(finished_run: Estate) -> None:
    done = milestones(finished_run.home, "status", "--max-age", "26")
    assert done.returncode == 0
    assert "nightly: 0 hours since its last success" in done.stdout
    long_ago = (dt.datetime.now(dt.UTC) - 3 * DAY).timestamp()
    for run in finished_run.layout.reconciliation.glob("*.json"):
        os.utime(run, (long_ago, long_ago))
    late = milestones(finished_run.home, "status", "--max-age", "26")
    assert late.returncode == 4
    assert "retention: never succeeded" in late.stdout + late.stderr


@pytest.mark.parametrize("day", ["1999-01-01", "2999-01-01"])
def test_a_date_that_is_no_run_date_gets_a_sentence(tmp_path: Path, day: str) -> None:
    sign_policy(tmp_path / "home")
    done = milestones(tmp_path / "home", "run", "--date", day)
    assert done.returncode == 2
    output = done.stdout + done.stderr
    assert f"{day} is no run date: run dates are from 2026-01-01" in " ".join(output.split())
    assert "Traceback" not in output


def test_a_release_after_an_erasure_does_not_count_as_a_run(past: Estate) -> None:
    before = freshness.last_successes(past.layout)[0].at
    job.retain(past.context, NOW)
    run, deletion = freshness.last_successes(past.layout)
    assert (run.at, run.job, deletion.job) == (before, "nightly", "retention")
    assert deletion.at is not None
