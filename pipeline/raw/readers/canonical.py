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
    course_titles VARCHAR?   titles by language tag, as JSON, where the source has several
    assigned_on, started_on, event_on, due_on   DATE?  NULL also where only the instant is known
    assigned_at, started_at, event_at, due_at   TIMESTAMP?  UTC; where a time of day was written
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
    discarded     VARCHAR[]? 'field:rule' of every optional date that the row lost
    problem       VARCHAR?   'field:rule' of the first rule the row breaks: the quarantine
    raw           VARCHAR?   a quarantined row as delivered, so that it can be corrected
    file          VARCHAR?   where a quarantined row came from
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb

from pipeline.raw.readers.base import DeliveryContext
from pipeline.storage.schema import CANONICAL, PARQUET
from pipeline.storage.sql import literal


def employee(column: str) -> str:
    """SQL: an employee number, or the address in its place, as a namespaced identifier."""
    return f"employee_identifier({column})"


def number(text: str, decimal: str = ".") -> str:
    """SQL: a number as people write it, with this mark before the decimals."""
    return f"{'comma' if decimal == ',' else 'point'}_number({text})"


def scaled(
    score: str, scale: str, decimal: str = ".", grades: Mapping[str, float] | None = None
) -> str:
    """SQL: a raw score as percent of its scale; a scale of zero or less gives NULL. `85%` and
    `17/20` have a scale of their own, and grades are what the table says.

    Args:
        grades: grade in lower case to percent.
    """
    given, top = number(score, decimal), f"coalesce({number(scale, decimal)}, 100)"
    reached, possible = (
        number(f"points_{which}({score})", decimal) for which in ("reached", "possible")
    )
    # Few scores are no plain numbers; the others are not searched.
    percent = (
        f"CASE WHEN {given} IS NULL AND {score} IS NOT NULL THEN coalesce("
        f"{number(f'percents({score})', decimal)}, "
        f"CASE WHEN {possible} > 0 THEN 100 * {reached} / {possible} END) "
        f"WHEN {top} > 0 THEN 100 * {given} / {top} END"
    )
    if not grades:
        return percent
    table = " ".join(f"WHEN {literal(text)} THEN {literal(n)}" for text, n in grades.items())
    return f"CASE lower({score}) {table} ELSE {percent} END"


def lookup(column: str, table: dict[str, str]) -> str:
    """SQL: a closed vocabulary, NULL for anything else."""
    cases = " ".join(
        f"WHEN {literal(given)} THEN {literal(meant)}" for given, meant in table.items()
    )
    return f"CASE lower({column}) {cases} END"


def problem(raw_score: str, event_fault: str) -> str:
    """SQL: the first rule that a typed row breaks, as 'field:rule', else NULL.

    Args:
        raw_score: the text column that `score` was read from.
        event_fault: SQL, the rule that the date of the event breaks, where the record needs it.
    """
    branches = [
        ("learner_id IS NULL", "learner_id:missing"),
        ("course_code IS NULL", "course_code:missing"),
        ("length(learner_id) > 320", "learner_id:too_long"),
        ("length(course_code) > 256", "course_code:too_long"),
        # A course code is published; one that contains an address would identify a person.
        ("holds_address(course_code)", "course_code:looks_like_an_identifier"),
        ("record_type IS NULL", "record_type:unknown"),
        ("status IS NULL", "status:unknown"),
        (f"score IS NULL AND {raw_score} IS NOT NULL", "score:not_a_number"),
        ("score IS NOT NULL AND NOT score BETWEEN 0 AND 100", "score:out_of_scale"),
        ("attempts IS NOT NULL AND NOT attempts BETWEEN 0 AND 1000", "attempts:out_of_range"),
    ]
    cases = " ".join(f"WHEN {test} THEN {literal(rule)}" for test, rule in branches)
    return f"CASE {cases} ELSE {event_fault} END"


def write_records(
    connection: duckdb.DuckDBPyConnection,
    typed: str,
    raw: str,
    out: Path,
    context: DeliveryContext,
    beside: Iterable[str] = (),
) -> None:
    """Write the typed rows to <out>.parquet, in one pass over the source.

    Args:
        typed: SQL query with the canonical columns, `problem` and `file`; columns it does not
            name (region, delivery_date, raw) are filled in here.
        raw: SQL expression over `typed` that gives the row as delivered.
        beside: further columns of `typed` to write as they are.
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
    columns = ", ".join([columns, *beside])
    if context.source.impossible_dates == "row":
        typed = f"SELECT * REPLACE (coalesce(problem, discarded[1]) AS problem) FROM ({typed})"
    connection.execute(
        f"COPY (SELECT {columns} FROM ({typed})) "
        f"TO {literal(out.with_suffix('.parquet'))} ({PARQUET})"
    )
