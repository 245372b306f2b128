"""Metrics for Prometheus: ages, counts and states of the pipeline, nothing about people."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter
from dagster._core.scheduler.instigation import InstigatorStatus
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pipeline.context import Context
from pipeline.operations.freshness import NIGHTLY, RETENTION, last_successes
from pipeline.policy import governance_checks
from pipeline.published import gate
from pipeline.retained.journal import pending
from pipeline.storage.layout import Layout
from pipeline.subjects import legal_holds, request_register

JOBS = (NIGHTLY, RETENTION)
STAGES = ("received", "quarantined", "superseded", "published")


class Metrics(Collector):
    """The state of a data folder, its policy and its Dagster instance, read at every scrape."""

    def __init__(self, context: Callable[[], Context], instance: dg.DagsterInstance) -> None:
        self._context, self._instance = context, instance

    def collect(self) -> Iterator[Metric]:
        context = self._context()
        yield from self._release(context.layout)
        yield from self._runs()
        yield from self._on()
        yield from self._ages(context.layout)
        yield from self._duties(context, dt.datetime.now(dt.UTC).date())

    def _release(self, layout: Layout) -> Iterator[Metric]:
        if not (layout.current / gate.MANIFEST).exists():
            return
        manifest = gate.manifest(layout)
        released = dt.datetime.fromisoformat(str(manifest["released_at"]))
        yield GaugeMetricFamily(
            "milestones_release_timestamp_seconds",
            "When the published tables were released.",
            value=released.timestamp(),
        )
        records = GaugeMetricFamily(
            "milestones_records",
            "Records of a table by stage, from raw to published.",
            labels=["table", "stage"],
        )
        suppressed = GaugeMetricFamily(
            "milestones_suppressed_records",
            "Records that are suppressed by policy.",
            labels=["table", "reason"],
        )
        counts = layout.reconciliation / f"{manifest['partition']}.json"
        for one in json.loads(counts.read_text("utf-8")) if counts.exists() else []:
            for stage in STAGES:
                records.add_metric([one["table"], stage], one[stage])
            for reason, number in one["suppressed"].items():
                suppressed.add_metric([one["table"], reason], number)
        yield records
        yield suppressed

    def _runs(self) -> Iterator[Metric]:
        success = GaugeMetricFamily(
            "milestones_last_success_timestamp_seconds",
            "When a job last succeeded.",
            labels=["job"],
        )
        seconds = GaugeMetricFamily(
            "milestones_last_run_seconds", "Duration of a job's last finished run.", labels=["job"]
        )
        failing = GaugeMetricFamily(
            "milestones_last_run_failed", "1 if a job's last finished run failed.", labels=["job"]
        )
        for job in JOBS:
            ended = self._newest(job, [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE])
            good = self._newest(job, [DagsterRunStatus.SUCCESS])
            if ended and ended.start_time and ended.end_time:
                seconds.add_metric([job], ended.end_time - ended.start_time)
                failed = ended.dagster_run.status is DagsterRunStatus.FAILURE
                failing.add_metric([job], float(failed))
            if good and good.end_time:
                success.add_metric([job], good.end_time)
        yield from (success, seconds, failing)

    def _on(self) -> Iterator[Metric]:
        """Whether anything starts the jobs at all."""
        beats = GaugeMetricFamily(
            "milestones_daemon_heartbeat_timestamp_seconds",
            "When a daemon of Dagster was last alive.",
            labels=["daemon"],
        )
        for daemon, beat in self._instance.get_daemon_heartbeats().items():
            beats.add_metric([daemon], beat.timestamp)
        stopped = GaugeMetricFamily(
            "milestones_stopped",
            "Schedules and sensors, all on by default, that somebody has turned off.",
            value=sum(
                one.status is InstigatorStatus.STOPPED
                for one in self._instance.all_instigator_state()
            ),
        )
        yield from (beats, stopped)

    def _ages(self, layout: Layout) -> Iterator[Metric]:
        hours = GaugeMetricFamily(
            "milestones_hours_since_success",
            "Hours since a job last succeeded, or since it was first due if it never did.",
            labels=["job"],
        )
        now = dt.datetime.now(dt.UTC)
        for one in last_successes(layout):
            hours.add_metric([one.job], one.hours(now))
        yield hours

    def _newest(self, job: str, statuses: list[DagsterRunStatus]) -> dg.RunRecord | None:
        wanted = RunsFilter(job_name=job, statuses=statuses)
        return next(iter(self._instance.get_run_records(wanted, limit=1)), None)

    def _duties(self, context: Context, today: dt.date) -> Iterator[Metric]:
        requests = [one for one in request_register.every(context.layout) if one.closed_on is None]
        for name, about, value in (
            ("requests_open", "Requests of data subjects without an answer.", len(requests)),
            (
                "requests_overdue",
                "Open requests past their legal deadline.",
                sum(one.overdue(today) for one in requests),
            ),
            ("erasures_pending", "Interrupted erasures.", len(pending(context.layout))),
            ("holds", "Legal holds in force.", len(legal_holds.live(context.layout))),
        ):
            yield GaugeMetricFamily(f"milestones_{name}", about, value=value)
        days = GaugeMetricFamily(
            "milestones_document_days_left",
            "Days until a policy document expires.",
            labels=["document"],
        )
        for one in governance_checks.documents(context.governance):
            if one.until is not None:
                days.add_metric([one.name], (one.until - today).days)
        yield days


def registry(context: Callable[[], Context], instance: dg.DagsterInstance) -> CollectorRegistry:
    """A registry with these metrics only."""
    made = CollectorRegistry()
    made.register(Metrics(context, instance))
    return made
