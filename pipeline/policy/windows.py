"""When a record is due: rules and jurisdictions to one instant per record type and region.

A record is due when the last day of its window is over where it belongs, so that it may be erased
from the next day's first moment and not before. Because a window's end only moves forward with
its start, "due" is the same as "started before one instant"; SQL compares with that instant, and
the calendar stays here.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

from pipeline.policy.data_map import DataMap
from pipeline.policy.duration import Duration
from pipeline.policy.fields import Audience
from pipeline.policy.retention import Clock, RecordType, RetentionRules
from pipeline.storage.sql import literal

REACH = 150 * 366  # days back that the search looks; longer than the longest window


@dataclass(frozen=True)
class Cutoff:
    """What started on `day` or before, or before `instant` (UTC, naive), is due."""

    day: dt.date
    instant: dt.datetime


def kept_until(
    rules: RetentionRules, record: RecordType, region: str | None, base: Duration, day: dt.date
) -> tuple[dt.date, str]:
    """Last day that a record is kept whose clock started on `day`, and the rule that says so.

    The longest legal minimum lengthens the rule's own window, the shortest legal maximum cuts it.
    """
    last, name = base.ends(day), f"records.{record}"
    meant = rules.overrides_of(record, region)
    for least in (o for o in meant if o.minimum):
        if least.duration.ends(day) > last:
            last, name = least.duration.ends(day), f"overrides.{least.name}"
    for most in (o for o in meant if o.maximum):
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


def _cutoff(zone: ZoneInfo, day: dt.date) -> Cutoff:
    after = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), zone)
    return Cutoff(day, after.astimezone(dt.UTC).replace(tzinfo=None))


def cutoff(
    rules: RetentionRules, region: str | None, now: dt.datetime, duration: Duration
) -> Cutoff:
    """The latest start that is due at `now` (aware) under a plain window."""
    zone = rules.zone(region)
    return _cutoff(zone, last_over(duration, now.astimezone(zone).date()))


def record_cutoff(
    rules: RetentionRules, record: RecordType, region: str | None, now: dt.datetime, base: Duration
) -> Cutoff:
    """The latest start of a record that is due at `now`, legal minima and maxima included.

    The end that `kept_until` gives lies before today if some maximum's does, or if the rule's own
    and every minimum's do; so the latest start follows from theirs.
    """
    zone = rules.zone(region)
    today = now.astimezone(zone).date()
    meant = rules.overrides_of(record, region)
    day = min(last_over(d, today) for d in (base, *(o.duration for o in meant if o.minimum)))
    return _cutoff(zone, max([day, *(last_over(o.duration, today) for o in meant if o.maximum)]))


# The instants that a record can tell, and the delivery that first brought it where it tells none.
KNOWN = "coalesce(event_at, started_at, assigned_at)"
LATEST = "greatest(event_at, started_at, assigned_at)"


def _before(instant: str, at: Cutoff) -> str:
    return (
        f"CASE WHEN {KNOWN} IS NOT NULL THEN {instant} < TIMESTAMP '{at.instant}' "
        f"ELSE first_seen <= DATE '{at.day}' END"
    )


def _due_one(
    rules: RetentionRules, record: RecordType, region: str | None, now: dt.datetime,
    table: Duration | None,
) -> str:  # fmt: skip
    rule = rules.records[record]
    base = rule.duration
    own = record_cutoff(rules, record, region, now, base)
    if rule.clock is Clock.COMPLETION:
        test = _before(KNOWN, own)
    elif rule.clock is Clock.LAST_ACTIVITY:
        test = _before(LATEST, own)
    else:
        assert rule.at_the_latest is not None  # the rule's model demands it
        cap = record_cutoff(rules, record, region, now, Duration.parse(rule.at_the_latest))
        test = (
            f"CASE WHEN left_on IS NOT NULL THEN left_on <= DATE '{own.day}' "
            f"WHEN on_roster THEN false ELSE {_before(KNOWN, own)} END "
            f"OR {_before(KNOWN, cap)}"
        )
    if table:
        test += f" OR {_before(KNOWN, cutoff(rules, region, now, table))}"
    return f"({test})"


def _table_window(
    rules: RetentionRules, data_map: DataMap, audience: Audience | None
) -> Duration | None:
    """The window of an audience's published tables; they share one (covering.require_covering)."""
    tables = data_map.published.items()
    return next((rules.tables[n].duration for n, s in tables if s.audience is audience), None)


def due_sql(
    rules: RetentionRules, data_map: DataMap, now: dt.datetime, audience: Audience | None = None
) -> str:
    """SQL over classified rows: is the record past its window?

    Args:
        audience: also past the window of the audience's published tables.
    """
    table = _table_window(rules, data_map, audience)
    branches = []
    for record in RecordType:
        regions = " ".join(
            f"WHEN {literal(region)} THEN {_due_one(rules, record, region, now, table)}"
            for region in data_map.regions
        )
        other = _due_one(rules, record, None, now, table)
        branches.append(f"WHEN {literal(record)} THEN CASE region {regions} ELSE {other} END")
    return f"CASE record_type {' '.join(branches)} END"


def published_until(rules: RetentionRules, now: dt.datetime) -> dt.datetime:
    """What is due at this instant is not published at `now` (both aware) any more."""
    day = now.date()
    return now + (Duration.parse(rules.publication_lead).ends(day) - day)


def latest_due(
    rules: RetentionRules, data_map: DataMap, now: dt.datetime, record: RecordType,
    audience: Audience | None = None,
) -> dt.datetime | None:  # fmt: skip
    """No record of the type that started at this instant (UTC, naive) or later can be due; None
    where its rule counts from the end of employment, which says nothing of its own dates."""
    rule = rules.records[record]
    if rule.clock is Clock.TERMINATION:
        return None
    regions = (*data_map.regions, None)
    table = _table_window(rules, data_map, audience)
    instants = [record_cutoff(rules, record, one, now, rule.duration).instant for one in regions]
    if table:
        instants += [cutoff(rules, one, now, table).instant for one in regions]
    return max(instants)
