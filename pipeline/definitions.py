"""Everything Dagster loads: `dagster dev -w workspace.yaml`."""

from __future__ import annotations

import dagster as dg

from assets.checks import checks
from assets.classified import classified_milestones, known_values
from assets.pseudonymized import pseudonymized_milestones
from assets.published import release, staged_tables
from assets.raw import canonical_milestones, landing_sources
from pipeline.resources import Store, store_from_environment

nightly_job = dg.define_asset_job(
    "nightly",
    selection=dg.AssetSelection.groups("raw", "classified", "pseudonymized", "published"),
    # DuckDB uses all cores by itself; one step at a time keeps memory to one step's.
    executor_def=dg.in_process_executor,
    description="Raw drop to published tables: read, classify, pseudonymize, check, release.",
)
nightly_schedule = dg.build_schedule_from_partitioned_job(
    nightly_job, name="every_night", hour_of_day=2, minute_of_hour=15
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
        ],
        asset_checks=checks,
        jobs=[nightly_job],
        schedules=[nightly_schedule],
        resources={"store": store},
    )


defs = definitions(store_from_environment())
