"""When the jobs run: retention at 01:15, the day's delivery at 02:15, Europe/Berlin. Both schedules
are on from the start; the sensor `catch_up` (assets/sensors.py) requests what they missed."""

from __future__ import annotations

import datetime as dt

import dagster as dg

from assets.jobs import Job
from assets.resources import Store
from pipeline.operations import timetable
from pipeline.operations.timetable import RETENTION_AT, RUN_AT, ZONE
from pipeline.storage.layout import Layout

Requested = list[dg.RunRequest] | dg.SkipReason


def cron(at: dt.time) -> str:
    """Every day at a time."""
    return f"{at.minute} {at.hour} * * *"


def nightly_run(nightly: Job) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="nightly_run",
        job=nightly,
        cron_schedule=cron(RUN_AT),
        execution_timezone=str(ZONE),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Publish the day's delivery every night at 02:15, after those of earlier days "
        "that were never ingested.",
    )
    def nightly_run(context: dg.ScheduleEvaluationContext, store: Store) -> Requested:
        today = context.scheduled_execution_time.astimezone(ZONE).date()
        return requested(context.instance, store.layout, today)

    return nightly_run


def requested(instance: dg.DagsterInstance, layout: Layout, today: dt.date) -> Requested:
    """The runs of a night."""
    if timetable.retention_due(instance, layout, today) or timetable.retention_unfinished(instance):
        # After an outage both schedules are evaluated at once.
        return dg.SkipReason(f"{timetable.RETENTION_FIRST}; catch_up requests the run then")
    days = sorted({*timetable.missed(layout, today), today})
    return [
        dg.RunRequest(partition_key=str(day))
        for day in timetable.not_requested(instance, days, today)
    ]


def nightly_retention(retention: Job) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name="nightly_retention",
        job=retention,
        cron_schedule=cron(RETENTION_AT),
        execution_timezone=str(ZONE),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Erase what is past retention at 01:15, an hour before the nightly run, so "
        "that the run reads only what may still be used.",
    )
