"""Everything Dagster loads: `dagster dev -w workspace.yaml`."""

from __future__ import annotations

import dagster as dg

from assets.checks import checks
from assets.classified import classified_milestones, known_values
from assets.pseudonymized import pseudonymized_milestones
from assets.published import release, staged_tables
from assets.raw import canonical_milestones, landing_sources
from assets.resources import Store, store_from_environment
from assets.retained import deletion_plan, erasure, retained_checks
from assets.sensors import alert_on_failure, lineage_on_success
from pipeline.operations.instance import LONGEST_RUN

LIMITS = {"dagster/max_runtime": str(LONGEST_RUN)}

nightly_job = dg.define_asset_job(
    "nightly",
    selection=dg.AssetSelection.groups("raw", "classified", "pseudonymized", "published"),
    # One step after the other: DuckDB uses all cores by itself, and memory is then one step's.
    executor_def=dg.in_process_executor,
    tags=LIMITS,
    description="Raw delivery to published tables: read, classify, pseudonymize, check, release.",
)
nightly_schedule = dg.build_schedule_from_partitioned_job(
    nightly_job, name="nightly_run", hour_of_day=2, minute_of_hour=15
)
retention_job = dg.define_asset_job(
    "retention",
    selection=dg.AssetSelection.groups("retained"),
    executor_def=dg.in_process_executor,
    tags=LIMITS,
    description="What is past its window: plan, look again, erase, verify, receipt.",
)
retention_schedule = dg.ScheduleDefinition(
    name="nightly_retention",
    job=retention_job,
    cron_schedule="15 1 * * *",
    execution_timezone="Europe/Berlin",
    description="Before the night, so that it reads a store without what is past its window.",
)


def definitions(store: Store) -> dg.Definitions:
    """The whole code location over one data folder."""
    return dg.Definitions(
        assets=[
            *landing_sources,
            canonical_milestones,
            classified_milestones,
            known_values,
            *pseudonymized_milestones,
            *staged_tables,
            release,
            deletion_plan,
            erasure,
        ],
        asset_checks=[*checks, *retained_checks],
        jobs=[nightly_job, retention_job],
        schedules=[nightly_schedule, retention_schedule],
        sensors=[alert_on_failure, lineage_on_success],
        resources={"store": store},
    )


defs = definitions(store_from_environment())
