"""What all assets share: the partitions, the owners and the policy at load time."""

from __future__ import annotations

import datetime as dt
import os

import dagster as dg

from pipeline.resources import store_from_environment

# The day's drop is complete when the day ends where the company is.
NIGHTS = dg.DailyPartitionsDefinition(
    start_date=os.environ.get("MILESTONES_FIRST_NIGHT", "2026-01-01"),
    timezone="Europe/Berlin",
    end_offset=1,
)
OWNERS = ["team:learning-data"]
# One policy for the whole process: schemas, suites and lineage cannot drift apart.
DATA_MAP = store_from_environment().data_map


def night(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> dt.date:
    """The run's partition as a date."""
    return dt.date.fromisoformat(context.run.tags["dagster/partition"])
