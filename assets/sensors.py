"""What the daemon does beside the schedules: it requests runs that an outage missed, alerts when
a run failed or did not happen, and sends lineage when one succeeded."""

from __future__ import annotations

import datetime as dt
import json

import dagster as dg

from assets.jobs import Job
from assets.resources import Store
from pipeline.operations import alerts, freshness, openlineage, timetable
from pipeline.storage.layout import Layout

ALERT_EVENTS = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION}
NO_RECEIVER = "neither an alert webhook nor a mail server is configured"
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
    return None if sent else dg.SkipReason(NO_RECEIVER)


@dg.sensor(
    name="alert_on_missed_run",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=900,
    description="Sends an alert, once a day, for a job that has not succeeded for more than "
    f"{freshness.LONGEST} hours, also if it never started.",
)
def alert_on_missed_run(
    context: dg.SensorEvaluationContext, store: Store
) -> dg.SensorResult | dg.SkipReason:
    now = dt.datetime.now(dt.UTC)
    overdue = freshness.overdue(store.layout, now)
    alerted: dict[str, str] = json.loads(context.cursor or "{}")
    new = [one for one in overdue if alerted.get(one.job) != str(now.date())]
    if not all([alerts.send(missed(one, now), lambda: store.context.governance) for one in new]):
        return dg.SkipReason(NO_RECEIVER)
    return dg.SensorResult(
        cursor=json.dumps(alerted | {one.job: str(now.date()) for one in new}),
        skip_reason="; ".join(one.sentence(now) for one in overdue) or "no job is overdue",
    )


def missed(job: freshness.Success, now: dt.datetime) -> alerts.Missed:
    """What an alert says of a job that is overdue."""
    return alerts.Missed(job.job, round(job.hours(now)), str(job.at) if job.at else None)


def catch_up(nightly: Job, retention: Job) -> dg.SensorDefinition:
    @dg.sensor(
        name="catch_up",
        jobs=[nightly, retention],
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=300,
        description="Requests what the schedules missed: retention first, then a run for every "
        "delivery that was never ingested, the oldest first. Each is tried once a day.",
    )
    def catch_up(
        context: dg.SensorEvaluationContext, store: Store
    ) -> list[dg.RunRequest] | dg.SkipReason:
        now = dt.datetime.now(dt.UTC) - timetable.GRACE
        return missing(context.instance, store.layout, now)

    return catch_up


def missing(
    instance: dg.DagsterInstance, layout: Layout, now: dt.datetime
) -> list[dg.RunRequest] | dg.SkipReason:
    """What was due by `now` and was not requested."""
    day = timetable.due_day(timetable.RETENTION_AT, now)
    if timetable.retention_due(instance, layout, day):
        return [dg.RunRequest(run_key=f"retention of {day}", job_name=freshness.RETENTION)]
    if timetable.retention_unfinished(instance):
        return dg.SkipReason(timetable.RETENTION_FIRST)
    today = timetable.due_day(timetable.RUN_AT, now)
    days = timetable.not_requested(instance, timetable.missed(layout, today), today)
    return [
        dg.RunRequest(
            run_key=f"{day} as of {today}", partition_key=str(day), job_name=freshness.NIGHTLY
        )
        for day in days
    ] or dg.SkipReason("nothing was missed")


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
    # Every process of Dagster loads this module, and few installations have a backend.
    from openlineage.client import OpenLineageClient

    from pipeline.operations import openlineage_events

    run = context.dagster_run
    entries = context.instance.all_logs(
        run.run_id, of_type={dg.DagsterEventType.ASSET_MATERIALIZATION}
    )
    assert context.repository_def is not None
    client = OpenLineageClient()
    for event in openlineage_events.events(run, entries, context.repository_def.asset_graph):
        client.emit(event)
    return None
