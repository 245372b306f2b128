"""What all assets share: the partitions, the owners and the policy at load time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import psycopg2

from assets.resources import Store, store_from_environment
from pipeline.operations import instance
from pipeline.settings import settings

# The day's delivery is complete when the day ends where the company is.
RUN_DATES = dg.DailyPartitionsDefinition(
    start_date=settings().first_run_date.isoformat(),
    timezone="Europe/Berlin",
    end_offset=1,
)
OWNERS = ["team:learning-data"]
POOL = instance.POOL
RUN_OF = "milestones/run_date"  # run tag
RETRIES, FIRST_WAIT = 3, 30  # seconds, doubled each time
# One policy for the whole process: schemas, suites and lineage cannot drift apart.
STORE = store_from_environment()
CONTEXT = STORE.context
DATA_MAP = CONTEXT.data_map


def policy_version(store: Store) -> str:
    """The version of the policy that the assets were made from; for a store with another policy
    folder, the version there now."""
    if store.policy_folder == STORE.policy_folder:
        return CONTEXT.version
    return store.context.version


def run_date(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> dt.date:
    """The run's partition as a date."""
    return dt.date.fromisoformat(context.run.tags["dagster/partition"])


def run_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> dt.date:
    """The run date that publishes the partition: a later one for most deliveries of a backfill."""
    return dt.date.fromisoformat(context.run.tags.get(RUN_OF, str(run_date(context))))


@contextmanager
def transient(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Retry the step later when a network, a disk or a database is unavailable for a moment.
    Nothing else is retried: a refusal by policy is final, and so is a bug."""
    try:
        yield
    except (OSError, psycopg2.OperationalError) as error:
        # The error's text can hold a file's name.
        context.log.warning(f"{type(error).__name__}: the step will be retried")
        wait = FIRST_WAIT * 2**context.retry_number
        raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=wait) from None
