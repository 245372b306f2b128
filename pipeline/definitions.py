"""Everything Dagster loads: `dagster dev -w workspace.yaml`."""

from __future__ import annotations

import dagster as dg

from assets import (
    checks,
    classified,
    jobs,
    pseudonymized,
    published,
    pulls,
    raw,
    retained,
    schedules,
    sensors,
)
from assets.common import policy_version
from assets.resources import Store, store_from_environment


def definitions(store: Store) -> dg.Definitions:
    """The whole code location over one data folder."""
    policy = policy_version(store)
    nightly, retention = jobs.nightly(policy), jobs.retention(policy)
    # Only where there is something to pull: a job that does nothing would be one more to explain.
    pulled = [pulls.pulling(policy)] if pulls.wanted() else []
    return dg.Definitions(
        assets=[
            *raw.sources,
            raw.milestones,
            classified.milestones,
            classified.reference_values,
            *pseudonymized.tables,
            *published.tables,
            published.release,
            retained.deletion_plan,
            retained.erasure,
        ],
        asset_checks=[*checks.checks, *retained.checks],
        jobs=[nightly, retention, *pulled],
        schedules=[
            schedules.nightly_run(nightly),
            schedules.nightly_retention(retention),
            *map(pulls.nightly_pull, pulled),
        ],
        sensors=[
            sensors.catch_up(nightly, retention),
            sensors.alert_on_failure,
            sensors.alert_on_missed_run,
            sensors.lineage_on_success,
        ],
        resources={"store": store},
    )


defs = definitions(store_from_environment())
