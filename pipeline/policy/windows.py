"""When a record is past retention: rules and jurisdictions to one day per type and region.

Windows are counted in days, from the dates of the record, in the calendar of its region. A record
is due when the last day of its window is over there, so that it may be erased from the next day's
first moment and not before. Because a window's end only moves forward with its start, "due" is the
same as "started on one day or before". The calendar stays here: SQL joins a small table of these
days (cutoffs.sql) and compares with them (due.sql).
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

import duckdb

from pipeline.policy.data_map import DataMap
from pipeline.policy.duration import Duration
from pipeline.policy.fields import Audience
from pipeline.policy.retention import Clock, RecordType, RetentionRules
from pipeline.storage.relations import subquery, temp_table
from pipeline.storage.sql import Sql, Value, render

REACH = 150 * 366  # days back that the search looks; longer than the longest window


def kept_until(
    rules: RetentionRules, record: RecordType, region: str | None, base: Duration, day: dt.date
) -> tuple[dt.date, str]:
    """Last day that a record is kept whose clock started on `day`, and the rule that says so.

    The longest legal minimum lengthens the rule's own window, the shortest legal maximum cuts it.
    """
    last, name = base.ends(day), f"records.{record}"
    overrides = rules.overrides_of(record, region)
    for least in (o for o in overrides if o.minimum):
        if least.duration.ends(day) > last:
            last, name = least.duration.ends(day), f"overrides.{least.name}"
    for most in (o for o in overrides if o.maximum):
        if most.duration.ends(day) < last:
            last, name = most.duration.ends(day), f"overrides.{most.name}"
    return last, name


@lru_cache(maxsize=4096)
def last_over(duration: Duration, today: dt.date) -> dt.date:
    """The latest start whose window was over before `today`."""
    # A window's end never moves back while its start moves on, so the search may halve.
    back = range(REACH)
    at = bisect_left(back, True, key=lambda n: duration.ends(today - dt.timedelta(days=n)) < today)
    return today - dt.timedelta(days=at)


def cutoff(
    rules: RetentionRules, region: str | None, now: dt.datetime, duration: Duration
) -> dt.date:
    """The latest start that is due at `now` (aware) under a plain window."""
    return last_over(duration, now.astimezone(rules.zone(region)).date())


def record_cutoff(
    rules: RetentionRules, record: RecordType, region: str | None, now: dt.datetime, base: Duration
) -> dt.date:
    """The latest start of a record that is due at `now`, legal minima and maxima included.

    The end that `kept_until` gives lies before today if some maximum's does, or if the rule's own
    and every minimum's do; so the latest start follows from theirs.
    """
    today = now.astimezone(rules.zone(region)).date()
    overrides = rules.overrides_of(record, region)
    minima = [o.duration for o in overrides if o.minimum]
    maxima = [o.duration for o in overrides if o.maximum]
    day = min(last_over(duration, today) for duration in (base, *minima))
    return max([day, *(last_over(duration, today) for duration in maxima)])


OTHER = "other"  # the region of the cut-offs that hold outside the data map's regions


@dataclass(frozen=True)
class Cutoffs:
    """The cut-offs as a relation of a connection.

    Attributes:
        relation: columns record_type, region, clock, own_day, latest_day, table_day.
        regions: those that have cut-offs of their own; OTHER stands for the rest.
    """

    relation: Sql
    regions: tuple[str, ...]


def cutoff_rows(
    rules: RetentionRules, data_map: DataMap, now: dt.datetime, audience: Audience | None = None
) -> list[tuple[Value, ...]]:
    """The rows of `Cutoffs.relation`, one per record type and region.

    Args:
        now: aware.
        audience: also the window of the audience's published tables.
    """
    table = _table_window(rules, data_map, audience)
    return [
        _cutoff_row(rules, record, region, now, table)
        for record in RecordType
        for region in (*data_map.regions, None)
    ]


def _cutoff_row(
    rules: RetentionRules,
    record: RecordType,
    region: str | None,
    now: dt.datetime,
    table: Duration | None,
) -> tuple[Value, ...]:
    rule = rules.records[record]
    own = record_cutoff(rules, record, region, now, rule.duration)
    latest = (
        record_cutoff(rules, record, region, now, Duration.parse(rule.at_the_latest))
        if rule.at_the_latest
        else None
    )
    published = cutoff(rules, region, now, table) if table else None
    return (
        record.value,
        region or OTHER,
        rule.clock.value,
        own,
        latest,
        published,
    )


def make_cutoffs(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    rules: RetentionRules,
    data_map: DataMap,
    now: dt.datetime,
    audience: Audience | None = None,
) -> Cutoffs:
    """Make the temporary table of the cut-offs.

    Args:
        name: of the table. The others as `cutoff_rows`.
    """
    rows = cutoff_rows(rules, data_map, now, audience)
    query = render("pipeline.policy", "cutoffs.sql", rows=rows)
    return Cutoffs(temp_table(connection, name, query), tuple(data_map.regions))


def with_due(rows: str, cutoffs: Cutoffs, column: str = "due") -> Sql:
    """Relation: classified rows with the boolean `column`: is the record past its window?"""
    return subquery(
        render(
            "pipeline.policy",
            "due.sql",
            rows=Sql(rows),
            cutoffs=cutoffs.relation,
            regions=cutoffs.regions,
            other=OTHER,
            column=column,
        )
    )


def _table_window(
    rules: RetentionRules, data_map: DataMap, audience: Audience | None
) -> Duration | None:
    """The window of an audience's published tables; they share one (require_coverage)."""
    tables = data_map.published.items()
    return next((rules.tables[n].duration for n, s in tables if s.audience is audience), None)


def published_until(rules: RetentionRules, now: dt.datetime) -> dt.datetime:
    """What is due at this instant is not published at `now` (both aware) any more."""
    day = now.date()
    return now + (Duration.parse(rules.publication_lead).ends(day) - day)


def latest_due(
    rules: RetentionRules,
    data_map: DataMap,
    now: dt.datetime,
    record: RecordType,
    audience: Audience | None = None,
) -> dt.date | None:
    """No record of the type that started after this day can be due; None where its rule counts from
    the end of employment, whatever the record's own dates."""
    rule = rules.records[record]
    if rule.clock is Clock.TERMINATION:
        return None
    regions = (*data_map.regions, None)
    table = _table_window(rules, data_map, audience)
    days = [record_cutoff(rules, record, one, now, rule.duration) for one in regions]
    if table:
        days += [cutoff(rules, one, now, table) for one in regions]
    return max(days)
