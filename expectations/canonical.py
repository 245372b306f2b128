"""Canonical: what must hold of one delivery's rows in the store."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from expectations import losses, suite
from expectations.evidence import SCHEMA_RULES, count_broken, schema_evidence
from pipeline.policy.data_map import DataMap
from pipeline.raw import quarantine
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout
from pipeline.storage.relations import records
from pipeline.storage.schema import CANONICAL, RECORD_TYPES, STATUSES, namespaced
from pipeline.storage.sql import literal


def rules(data_map: DataMap, delivery: dt.date) -> dict[str, str]:
    """Rule to the SQL test that every row outside the quarantine must pass."""
    statuses = ", ".join(literal(status) for status in (*STATUSES, "voided"))
    sources = ", ".join(literal(source) for source in data_map.sources)
    earliest, latest = f"DATE '{data_map.earliest_date}'", f"DATE '{delivery}' + INTERVAL 2 DAY"
    return {
        # What voids a record is about nobody, and no course.
        "learner_id.namespaced": f"status = 'voided' OR {namespaced('learner_id')}",
        "record_type.vocabulary": f"record_type IN {RECORD_TYPES}",
        "status.vocabulary": f"status IN ({statuses})",
        "source.listed": f"source IN ({sources})",
        "course_code.there": "status = 'voided' OR length(course_code) BETWEEN 1 AND 256",
        "score.scale": "score IS NULL OR score BETWEEN 0 AND 100",
        "event_on.range": f"event_on IS NULL OR event_on BETWEEN {earliest} AND {latest}",
        # An instant can be a day away from its date.
        "event_at.range": "event_at IS NULL OR event_at BETWEEN "
        f"{earliest} - INTERVAL 1 DAY AND {latest} + INTERVAL 1 DAY",
        "raw.only_in_quarantine": "raw IS NULL",
    }


def validate(layout: Layout, data_map: DataMap, delivery: dt.date) -> suite.SuiteResult:
    """One delivery's rows in the store: schema, `rules`, and how much of it was lost.

    Raises:
        duckdb.Error: the delivery is not in the store.
    """
    tests = rules(data_map, delivery)
    with engine(layout.work) as connection:
        rows = records(layout, delivery)
        found = schema_evidence(connection, rows, CANONICAL)
        found |= count_broken(connection, f"{rows} WHERE problem IS NULL", tests)
        lost = losses.by_file(connection, layout, delivery)
    broken = losses.too_many_lost(lost, data_map.deliveries) | losses.too_little(
        layout, data_map, delivery, lost
    )
    found |= {rule: len(which) for rule, which in broken.items()}
    result = suite.judge("canonical", [*SCHEMA_RULES, *tests, *losses.RULES], found)
    words = [f"{rule}: {one}" for rule, which in broken.items() for one in which]
    if broken[losses.QUARANTINE_RULE]:
        words += _set_aside(layout, data_map, delivery)
    if result.broken:
        words.append(f"milestones quarantine --date {delivery} shows more")
    return replace(result, details=tuple(words))


def _set_aside(layout: Layout, data_map: DataMap, delivery: dt.date) -> list[str]:
    """The rules that break most rows of a delivery, in words, with the lines of a few."""
    most = quarantine.counts(layout, data_map, delivery)[: losses.SHOWN]
    return [
        f"{rule}: {rows:,} of {file}{f' (lines {lines})' if lines else ''}"
        for rule, file, rows, lines in most
    ]
