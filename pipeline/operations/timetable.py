"""When the jobs are due: retention at 01:15, the day's delivery at 02:15; and what is to be caught
up after an outage, retention first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from zoneinfo import ZoneInfo

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from pipeline.classified import run_snapshot
from pipeline.operations.freshness import NIGHTLY, RETENTION
from pipeline.raw import landing, register
from pipeline.settings import settings
from pipeline.storage.layout import Layout

ZONE = ZoneInfo("Europe/Berlin")
RETENTION_AT, PULL_AT, RUN_AT = dt.time(1, 15), dt.time(1, 45), dt.time(2, 15)
# After that, what a schedule did not request is missed.
GRACE = dt.timedelta(minutes=30)
PARTITION = "dagster/partition"
UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
RETENTION_FIRST = "the job retention comes first"


def due_day(at: dt.time, now: dt.datetime) -> dt.date:
    """The latest day on which the clock has shown this time."""
    local = now.astimezone(ZONE)
    return local.date() - dt.timedelta(days=local.time() < at)


def _start(day: dt.date) -> dt.datetime:
    """The start of a day, in UTC: Dagster compares with that, whatever the zone."""
    return dt.datetime.combine(day, dt.time.min, ZONE).astimezone(dt.UTC)


def retention_due(instance: dg.DagsterInstance, layout: Layout, day: dt.date) -> bool:
    """Has no retention been requested from the day on? Before the first run there is nothing to
    erase."""
    if not (layout.classified / run_snapshot.NAME).exists():
        return False
    return not _runs(instance, RunsFilter(job_name=RETENTION, created_after=_start(day)))


def retention_unfinished(instance: dg.DagsterInstance) -> bool:
    """Is a retention waiting or under way?"""
    return _runs(instance, RunsFilter(job_name=RETENTION, statuses=UNFINISHED))


def missed(layout: Layout, until: dt.date) -> list[dt.date]:
    """Run dates up to a day whose delivery is there and was neither accepted nor refused, or was
    lost since; the oldest first."""
    first, lost = settings().first_run_date, register.lost(layout)
    return [
        day
        for day in landing.deliveries(layout)
        if first <= day <= until and (day in lost or not register.is_done_with(layout, day))
    ]


def not_requested(
    instance: dg.DagsterInstance, days: Iterable[dt.date], since: dt.date
) -> list[dt.date]:
    """The run dates for which no run was requested from a day on: each is tried once a day."""
    return [
        day
        for day in days
        if not _runs(
            instance,
            RunsFilter(job_name=NIGHTLY, tags={PARTITION: str(day)}, created_after=_start(since)),
        )
    ]


def _runs(instance: dg.DagsterInstance, wanted: RunsFilter) -> bool:
    return bool(instance.get_run_ids(wanted, limit=1))
