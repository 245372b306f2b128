"""What the daemon does after a run: an alert if it failed, lineage events if it succeeded."""

from __future__ import annotations

import dagster as dg
from openlineage.client import OpenLineageClient

from assets.resources import Store
from pipeline.operations import alerts, openlineage

ALERT_EVENTS = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION}
Reaction = dg.SkipReason | None


@dg.run_failure_sensor(
    name="alert_on_failure",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Sends the job, partition, steps and checks of a failed run to the alert webhook "
    "and by mail.",
)
def alert_on_failure(context: dg.RunFailureSensorContext, store: Store) -> Reaction:
    run = context.dagster_run
    entries = context.instance.all_logs(run.run_id, of_type=ALERT_EVENTS)
    sent = alerts.send(alerts.alert(run, entries), lambda: store.context.governance)
    return (
        None if sent else dg.SkipReason("neither an alert webhook nor a mail server is configured")
    )


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    name="lineage_on_success",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Sends a successful run's tables, columns and lineage to an OpenLineage backend.",
)
def lineage_on_success(context: dg.RunStatusSensorContext) -> Reaction:
    if not openlineage.wanted():
        return dg.SkipReason("no OpenLineage backend is configured")
    run = context.dagster_run
    entries = context.instance.all_logs(
        run.run_id, of_type={dg.DagsterEventType.ASSET_MATERIALIZATION}
    )
    assert context.repository_def is not None
    client = OpenLineageClient()
    for event in openlineage.events(run, entries, context.repository_def.asset_graph):
        client.emit(event)
    return None
