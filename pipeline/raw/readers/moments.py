"""The moments of a record (assigned, started, event, due): a calendar date, an instant, or both.

A plain date is that date, wherever it is read. An instant (UTC) is kept only where the source gave
a time of day; midnight without an offset is how spreadsheets and databases write a plain date. The
date of an instant is

- as written, where the time is written without an offset: it is the time of the source's own clock,
  whose zone is the source's `zone` in the data map or else `default_zone`;
- in the source's `zone`, where the data map names one;
- otherwise that of the calendar of the record's region, which the classification finds out
  (pipeline/classified/classified.sql); until then the instant stands alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.policy.form import EXCEL
from pipeline.raw.readers.base import DeliveryContext
from pipeline.storage.schema import MOMENTS
from pipeline.storage.sql import Sql, literal, literals

PLANNED = ("due", "leaving")  # may lie in the future


def with_moments(rows: str, texts: Mapping[str, str], context: DeliveryContext) -> Sql:
    """Relation: the rows, and for every moment (`assigned`, `started`, ...) three more columns.

    <moment>           struct of day, instant and zone (the offset as written); NULL without a valid
                       date
    <moment>_fault     the rule that its text breaks, as 'field:rule'
    <moment>_spelled   its text, in one spelling where it is a date

    Args:
        rows: relation of delivered rows.
        texts: moment to the SQL of its text, without blanks around it.
        context: gives the source's zone and forms of dates, and the range of its dates.
    """
    steps: list[list[str]] = [[], [], []]
    for name, text in texts.items():
        steps[0].append(f"{_time(text, context)} AS {name}_time")
        steps[0].append(f"{_has_offset(text, context)} AS {name}_has_offset")
        steps[1].append(f"{_fault(name, text, context)} AS {name}_fault")
        steps[1].append(f"{_spelled(name, text)} AS {name}_spelled")
        steps[2].append(f"{_moment(name, text, context)} AS {name}")
    for made in steps:
        rows = f"(SELECT *, {', '.join(made)} FROM {rows})"
    return Sql(rows)


def day_and_instant(moments: Mapping[str, str]) -> str:
    """SQL: the canonical columns <moment>_on and <moment>_at, and the event's zone.

    Args:
        moments: moment to the SQL of its struct; NULL for those that are left out.
    """
    none = "CAST(NULL AS STRUCT(day DATE, instant TIMESTAMP, zone VARCHAR))"
    structs = {name: moments.get(name, none) for name in MOMENTS}
    columns = (
        f"({of}).day AS {name}_on, ({of}).instant AS {name}_at" for name, of in structs.items()
    )
    return f"{', '.join(columns)}, ({structs['event']}).zone AS event_zone"


def discarded(faults: Iterable[str]) -> str:
    """SQL: the rules that optional dates break, which cost the row these dates; else NULL."""
    listed = ", ".join(faults)
    return (
        f"CASE WHEN coalesce({listed}) IS NOT NULL "
        f"THEN list_filter([{listed}], LAMBDA rule: rule IS NOT NULL) END"
    )


def _time(text: str, context: DeliveryContext) -> str:
    """SQL: the timestamp of a text, in UTC if it has an offset and otherwise as written."""
    # The source's own forms come first: 10/11/26 is a date of the year 10, too.
    own = [f"in_utc({parsed}::TIMESTAMPTZ)" for parsed in _own(text, context)]
    serial = [f"excel_time({text})"] if EXCEL in context.source.form.dates else []
    times = [*own, *serial, f"iso_time({text})"]
    return f"coalesce({', '.join(times)})" if len(times) > 1 else times[0]


def _own(text: str, context: DeliveryContext, having: str = "") -> list[str]:
    """SQL: the time that the source's own forms read in a text, if it has any.

    Args:
        having: only the forms with this in them, in small letters.
    """
    forms = [one for one in context.source.form.dates if one != EXCEL and having in one.lower()]
    # DuckDB reads two digits as a whole year, too, but never four as two.
    forms.sort(key=lambda one: "%Y" in one)
    return [f"try_strptime({text}, [{literals(forms)}])"] if forms else []


def _has_offset(text: str, context: DeliveryContext) -> str:
    test = f"coalesce(has_offset({text}), false)"
    with_offset = [f"{parsed} IS NOT NULL" for parsed in _own(text, context, "%z")]
    for parsed in _own(text, context):
        # In the source's own forms, PM is no zone.
        own = with_offset[0] if with_offset else "false"
        return f"CASE WHEN {parsed} IS NOT NULL THEN {own} ELSE {test} END"
    return test


def _fault(name: str, text: str, context: DeliveryContext) -> str:
    """SQL: the rule that a text breaks. What has an offset is another date elsewhere, so it keeps a
    day away from the lower end."""
    field, last, rule = f"{name}_at", context.latest, "in_the_future"
    if name in PLANNED:
        last, rule = context.latest_planned, "too_late"
    offset = f"CASE WHEN {name}_has_offset THEN INTERVAL 1 DAY ELSE INTERVAL 0 DAY END"
    return (
        f"CASE WHEN {text} IS NULL THEN NULL WHEN {name}_time IS NULL THEN '{field}:not_a_date' "
        f"WHEN {name}_time < {context.earliest} + {offset} THEN '{field}:too_early' "
        f"WHEN {name}_time > {last} THEN '{field}:{rule}' END"
    )


def _spelled(name: str, text: str) -> str:
    """SQL: 10/01/2026 and 2026-10-01 00:00:00 are the same text, so that they name one record."""
    return (
        f"CASE WHEN {name}_time IS NULL THEN {text} "
        f"WHEN NOT {name}_has_offset AND {_is_midnight(f'{name}_time')} "
        f"THEN {name}_time::DATE::VARCHAR ELSE {name}_time::VARCHAR END"
    )


def _moment(name: str, text: str, context: DeliveryContext) -> str:
    """SQL: the struct of a valid date."""
    time, zone = f"{name}_time", literal(context.zone)
    wall = f"wall_time({time}, {zone})" if context.source.zone else "NULL::TIMESTAMP"
    wall = f"(CASE WHEN {name}_has_offset THEN {wall} ELSE {time} END)"
    instant = f"CASE WHEN {name}_has_offset THEN {time} ELSE instant_of({time}, {zone}) END"
    return (
        f"CASE WHEN {time} IS NOT NULL AND {name}_fault IS NULL THEN {{'day': {wall}::DATE, "
        f"'instant': CASE WHEN NOT coalesce({_is_midnight(wall)}, false) THEN {instant} END, "
        f"'zone': written_offset({text})}} END"
    )


def _is_midnight(time: str) -> str:
    return f"{time} = {time}::DATE"
