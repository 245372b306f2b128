"""Figures about the pipeline for Prometheus: ages, counts and states, nothing about anybody."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pipeline.context import Context
from pipeline.policy import governance_checks
from pipeline.published import gate
from pipeline.retained.journal import pending
from pipeline.storage.layout import Layout
from pipeline.subjects import legal_holds, request_register

JOBS = ("nightly", "retention")
WAYS = ("received", "quarantined", "superseded", "published")


class Figures(Collector):
    """What a data folder, its policy and its Dagster instance say now; asked anew at every
    scrape."""

    def __init__(self, context: Callable[[], Context], instance: dg.DagsterInstance) -> None:
        self._ground, self._instance = context, instance

    def collect(self) -> Iterator[Metric]:
        context = self._ground()
        yield from self._release(context.layout)
        yield from self._runs()
        yield from self._duties(context, dt.datetime.now(dt.UTC).date())

    def _release(self, layout: Layout) -> Iterator[Metric]:
        if not (layout.current / gate.MANIFEST).exists():
            return
        told = gate.manifest(layout)
        released = dt.datetime.fromisoformat(str(told["released_at"]))
        yield GaugeMetricFamily(
            "milestones_release_timestamp_seconds", "When the published tables were released.",
            value=released.timestamp(),
        )  # fmt: skip
        records = GaugeMetricFamily(
            "milestones_records",
            "A table's records from raw to published.",
            labels=["table", "way"],
        )
        suppressed = GaugeMetricFamily(
            "milestones_suppressed_records", "Records that policy withholds.",
            labels=["table", "reason"],
        )  # fmt: skip
        story = layout.reconciliation / f"{told['partition']}.json"
        for one in json.loads(story.read_text("utf-8")) if story.exists() else []:
            for way in WAYS:
                records.add_metric([one["table"], way], one[way])
            for reason, number in one["suppressed"].items():
                suppressed.add_metric([one["table"], reason], number)
        yield records
        yield suppressed

    def _runs(self) -> Iterator[Metric]:
        success = GaugeMetricFamily(
            "milestones_last_success_timestamp_seconds", "When a job last ended well.",
            labels=["job"],
        )  # fmt: skip
        seconds = GaugeMetricFamily(
            "milestones_last_run_seconds", "How long a job's newest ended run took.", labels=["job"]
        )
        failing = GaugeMetricFamily(
            "milestones_last_run_failed", "1 if a job's newest ended run failed.", labels=["job"]
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

    def _newest(self, job: str, statuses: list[DagsterRunStatus]) -> dg.RunRecord | None:
        asked = RunsFilter(job_name=job, statuses=statuses)
        return next(iter(self._instance.get_run_records(asked, limit=1)), None)

    def _duties(self, context: Context, today: dt.date) -> Iterator[Metric]:
        requests = [one for one in request_register.every(context.layout) if one.closed_on is None]
        for name, about, value in (
            ("requests_open", "Requests of data subjects that are not answered.", len(requests)),
            ("requests_overdue", "Those past their legal deadline.",
             sum(one.overdue(today) for one in requests)),
            ("erasures_pending", "Erasures that were cut off.", len(pending(context.layout))),
            ("holds", "Legal holds in force.", len(legal_holds.live(context.layout))),
        ):  # fmt: skip
            yield GaugeMetricFamily(f"milestones_{name}", about, value=value)
        days = GaugeMetricFamily(
            "milestones_document_days_left", "Days until a document of the policy expires.",
            labels=["document"],
        )  # fmt: skip
        for one in governance_checks.documents(context.governance):
            if one.until is not None:
                days.add_metric([one.name], (one.until - today).days)
        yield days


def registry(context: Callable[[], Context], instance: dg.DagsterInstance) -> CollectorRegistry:
    """A registry with these figures alone."""
    made = CollectorRegistry()
    made.register(Figures(context, instance))
    return made
