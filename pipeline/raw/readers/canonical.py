"""The canonical record: the one schema that every reader produces.

Columns (DuckDB types) of a canonical Parquet file:

    record_type   VARCHAR    milestone_flag | assessment_record | communications_log
    source        VARCHAR    name of the source in the data map
    learner_id    VARCHAR    namespaced raw identifier (emp:, mbox:, sha1:, openid:, acct:, ou:)
    manager_id    VARCHAR?   same namespaces
    department    VARCHAR?
    country       VARCHAR?   a code or name, in capitals; classified.sql finds its region
    region        VARCHAR?   the delivery's region folder
    course_code   VARCHAR
    course_title  VARCHAR?
    assigned_at, started_at, event_at, due_at   TIMESTAMP?  UTC
    event_zone    VARCHAR?   offset as the source wrote it
    status        VARCHAR    one of STATUSES
    score         DOUBLE?    0..100, already divided by its scale
    attempts      INTEGER?
    has_comment   BOOLEAN    there was free text; the text itself is not read
    record_id     VARCHAR?   the source's own record id, by which it can void a record
    occurrence    VARCHAR    distinguishes a second enrolment in the same course
    rank          INTEGER    how final the status is; decides which record supersedes
    revised_at    TIMESTAMP  when the source recorded it
    delivery_date DATE       the delivery that brought it
    problem       VARCHAR?   'field:rule' of the first rule the row breaks: the quarantine
    raw           VARCHAR?   a quarantined row as delivered, so that it can be corrected
    file          VARCHAR?   where a quarantined row came from
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from pipeline.raw.readers.base import DeliveryContext
from pipeline.storage.schema import CANONICAL, PARQUET
from pipeline.storage.sql import literal


def plain(column: str) -> str:
    """SQL: text without surrounding blanks; NULL if nothing is left."""
    return f"nullif(trim({column}), '')"


def employee(column: str) -> str:
    """SQL: an employee number as a namespaced identifier."""
    return f"'emp:' || {plain(column)}"


def instant(column: str, date_format: str | None = None) -> str:
    """SQL: a date or timestamp, ISO 8601 or of the source's own format, in UTC; without an
    offset the session's time zone applies."""
    moment = f"try_cast({column} AS TIMESTAMPTZ)"
    if date_format:
        own = f"try_strptime({column}, {literal(date_format)})"
        moment = f"coalesce({moment}, {own}::TIMESTAMPTZ)"
    # Through microseconds: AT TIME ZONE calls ICU for every row, though UTC has no rules.
    return f"make_timestamp(epoch_us({moment}))"


def offset(column: str) -> str:
    """SQL: the offset that an ISO 8601 timestamp was written with; NULL if it has none."""
    # A plain date, the common case, is too short to have one. Most others end in Z; only the rest
    # need a regular expression.
    return (
        f"CASE WHEN length({column}) > 10 AND contains({column}, 'T') THEN "
        f"CASE WHEN suffix({column}, 'Z') THEN 'Z' ELSE "
        f"nullif(regexp_extract(right({column}, 6), '[+-][0-9]{{2}}:?[0-9]{{2}}$'), '') END END"
    )


def scaled(score: str, scale: str) -> str:
    """SQL: a raw score as percent of its scale; a scale of zero or less gives NULL."""
    top = f"coalesce(try_cast({scale} AS DOUBLE), 100)"
    return f"CASE WHEN {top} > 0 THEN 100 * try_cast({score} AS DOUBLE) / {top} END"


def lookup(column: str, table: dict[str, str]) -> str:
    """SQL: a closed vocabulary, NULL for anything else."""
    cases = " ".join(
        f"WHEN {literal(given)} THEN {literal(meant)}" for given, meant in table.items()
    )
    return f"CASE lower(trim({column})) {cases} END"


def problem(context: DeliveryContext, raw_dates: dict[str, str], raw_score: str) -> str:
    """SQL: the first rule that a typed row breaks, as 'field:rule', else NULL.

    Args:
        context: gives the earliest and latest instant; an event outside them breaks a rule.
        raw_dates: typed date column to the text column that it was read from.
        raw_score: the text column that `score` was read from.
    """
    branches = [
        ("learner_id IS NULL", "learner_id:missing"),
        ("course_code IS NULL", "course_code:missing"),
        ("length(learner_id) > 320", "learner_id:too_long"),
        ("length(course_code) > 256", "course_code:too_long"),
        # A course code is published; one that contains an address would identify a person.
        ("contains(course_code, '@')", "course_code:looks_like_an_identifier"),
        ("record_type IS NULL", "record_type:unknown"),
        ("status IS NULL", "status:unknown"),
        (f"score IS NULL AND {raw_score} IS NOT NULL", "score:not_a_number"),
        ("score IS NOT NULL AND NOT score BETWEEN 0 AND 100", "score:out_of_scale"),
        ("attempts IS NOT NULL AND NOT attempts BETWEEN 0 AND 1000", "attempts:out_of_range"),
    ]
    for typed, raw in raw_dates.items():
        branches.append((f"{typed} IS NULL AND {raw} IS NOT NULL", f"{typed}:not_a_date"))
        branches.append((f"{typed} < {context.earliest}", f"{typed}:too_early"))
    branches.append((f"event_at > {context.latest}", "event_at:in_the_future"))
    cases = " ".join(f"WHEN {test} THEN {literal(rule)}" for test, rule in branches)
    return f"CASE {cases} END"


def write_records(
    connection: duckdb.DuckDBPyConnection, typed: str, raw: str, out: Path, context: DeliveryContext
) -> None:
    """Write the typed rows to <out>.parquet, in one pass over the source.

    Args:
        typed: SQL query with the canonical columns, `problem` and `file`; columns it does not
            name (region, delivery_date, raw) are filled in here.
        raw: SQL expression over `typed` that gives the row as delivered.
    """
    filled = {
        "region": context.region_sql,
        "delivery_date": f"DATE '{context.delivery}'",
        "raw": f"CASE WHEN problem IS NOT NULL THEN {raw} END",
        "file": "CASE WHEN problem IS NOT NULL THEN file END",
    }
    columns = ", ".join(
        f"CAST({filled.get(name, name)} AS {kind}) AS {name}" for name, kind in CANONICAL.items()
    )
    connection.execute(
        f"COPY (SELECT {columns} FROM ({typed})) "
        f"TO {literal(out.with_suffix('.parquet'))} ({PARQUET})"
    )
