"""When the jobs run: retention at 01:15, the day's delivery at 02:15, Europe/Berlin."""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions.partitions.partitioned_schedule import (
    UnresolvedPartitionedAssetScheduleDefinition as Unresolved,
)

from assets.jobs import Job


def nightly_run(nightly: Job) -> dg.ScheduleDefinition | Unresolved:
    return dg.build_schedule_from_partitioned_job(
        nightly,
        name="nightly_run",
        hour_of_day=2,
        minute_of_hour=15,
        description="Publish the day's delivery every night at 02:15.",
    )


def nightly_retention(retention: Job) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name="nightly_retention",
        job=retention,
        cron_schedule="15 1 * * *",
        execution_timezone="Europe/Berlin",
        description="Erase what is past retention at 01:15, an hour before the nightly run, so "
        "that the run reads only what may still be used.",
    )
