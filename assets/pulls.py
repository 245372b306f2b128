"""The job that pulls statements from the record stores that the data map names.

It is a job of its own: a store that is out of reach keeps nobody else's delivery from the night's
run, and its own statements come with the next pull.
"""

import datetime as dt

import dagster as dg

from assets.common import DATA_MAP
from assets.jobs import tags
from assets.resources import Store
from assets.schedules import cron
from pipeline.operations.timetable import PULL_AT, ZONE
from pipeline.raw import pull


def wanted() -> bool:
    """Does the data map name a record store?"""
    return any(source.pull for source in DATA_MAP.sources.values())


@dg.op(description="Puts what was stored since the last pull into the day's delivery.")
def pull_statements(context: dg.OpExecutionContext, store: Store) -> None:
    store.require_loaded_policy()
    store.require_lawful_use(dt.datetime.now(dt.UTC).date())
    failed = []
    today = dt.datetime.now(ZONE).date()
    for name, found in pull.every(store.layout, store.data_map.sources, today):
        if isinstance(found, pull.Pulled):
            context.log.info(f"{name}: {found.sentence()}")
        else:
            failed.append(f"{name}: {found}")
    if failed:
        raise dg.Failure("; ".join(failed))


def pulling(policy: str) -> dg.JobDefinition:
    """The job of all pulls; `policy` as for `nightly`."""

    @dg.job(
        name="pull",
        executor_def=dg.in_process_executor,
        tags=tags(policy),
        description="Pull statements from record stores into the day's delivery.",
    )
    def pull_job() -> None:
        pull_statements()

    return pull_job


def nightly_pull(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """On from the start where the data map names a record store."""
    return dg.ScheduleDefinition(
        name="nightly_pull",
        job=job,
        cron_schedule=cron(PULL_AT),
        execution_timezone=str(ZONE),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Pull statements at 01:45, between retention and the run that reads them.",
    )
