"""The canonical record: the one schema that every reader produces.

Columns (DuckDB types) of a canonical Parquet file:

    record_type   VARCHAR    milestone_flag | assessment_record | communications_log
    source        VARCHAR    name of the source in the data map
    learner_id    VARCHAR    namespaced raw identifier (emp:, mbox:, sha1:, openid:, acct:, ou:)
    manager_id    VARCHAR?   same namespaces
    department    VARCHAR?
    country       VARCHAR?   ISO 3166-1 alpha-2
    region        VARCHAR?   the drop's region folder
    course_code   VARCHAR
    course_title  VARCHAR?
    assigned_at, started_at, event_at, due_at   TIMESTAMP?  UTC
    event_zone    VARCHAR?   offset as the source wrote it
    status        VARCHAR    one of STATUSES
    score         DOUBLE?    0..100, already divided by its scale
    attempts      INTEGER?
    has_comment   BOOLEAN    free text was there; the text itself stays outside
    occurrence    VARCHAR    what makes a second enrolment of the same course another record
    rank          INTEGER    how final the status is; decides which record supersedes
    revised_at    TIMESTAMP  when the source said so
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from pipeline.engine import literal

STATUSES = ("not_started", "in_progress", "completed", "passed", "failed", "waived", "withdrawn")
RECORD_TYPES = ("milestone_flag", "assessment_record", "communications_log")
COLUMNS: dict[str, str] = {
    "record_type": "VARCHAR",
    "source": "VARCHAR",
    "learner_id": "VARCHAR",
    "manager_id": "VARCHAR",
    "department": "VARCHAR",
    "country": "VARCHAR",
    "region": "VARCHAR",
    "course_code": "VARCHAR",
    "course_title": "VARCHAR",
    "assigned_at": "TIMESTAMP",
    "started_at": "TIMESTAMP",
    "event_at": "TIMESTAMP",
    "due_at": "TIMESTAMP",
    "event_zone": "VARCHAR",
    "status": "VARCHAR",
    "score": "DOUBLE",
    "attempts": "INTEGER",
    "has_comment": "BOOLEAN",
    "occurrence": "VARCHAR",
    "rank": "INTEGER",
    "revised_at": "TIMESTAMP",
}
# The quarantine keeps the row as delivered, so that it can be mended and delivered again; it
# lies under the same protection and retention as the drop itself.
QUARANTINE = ("file", "line", "field", "rule", "raw")

STATUS_RULE = f"status in ({', '.join(literal(s) for s in STATUSES)})"


def instant(column: str) -> str:
    """SQL: an ISO-8601 date or timestamp to UTC; without an offset the session's zone holds."""
    return f"(try_cast({column} AS TIMESTAMPTZ) AT TIME ZONE 'UTC')"


def problem(earliest: str, latest: str, *, raw_dates: dict[str, str]) -> str:
    """SQL: the name of the first rule that a typed row breaks, as 'field:rule', else NULL.

    Args:
        earliest, latest: SQL timestamps; an event outside them is a mistake.
        raw_dates: typed date column to the text column that it was read from.
    """
    branches = [
        ("learner_id IS NULL", "learner_id:missing"),
        ("course_code IS NULL", "course_code:missing"),
        ("length(learner_id) > 320 OR length(course_code) > 256", "learner_id:too_long"),
        ("record_type IS NULL", "record_type:unknown"),
        ("status IS NULL", "status:unknown"),
        ("score IS NOT NULL AND NOT score BETWEEN 0 AND 100", "score:out_of_scale"),
        ("bad_score", "score:not_a_number"),
        ("attempts IS NOT NULL AND NOT attempts BETWEEN 0 AND 1000", "attempts:out_of_range"),
    ]
    for typed, raw in raw_dates.items():
        branches.append((f"{typed} IS NULL AND {raw} IS NOT NULL", f"{typed}:not_a_date"))
        branches.append((f"{typed} < {earliest}", f"{typed}:too_early"))
    branches.append((f"event_at > {latest}", "event_at:in_the_future"))
    cases = " ".join(f"WHEN {test} THEN {literal(rule)}" for test, rule in branches)
    return f"CASE {cases} END"


def write_split(
    connection: duckdb.DuckDBPyConnection, typed: str, out: Path, file: str
) -> None:
    """Write good rows to <out>.parquet and bad ones to <out>.quarantine.parquet.

    `typed` is a SQL query with the canonical columns, `problem` (NULL or 'field:rule') and
    `raw` (the row as delivered) and `line`. The quarantine pass only happens when it is needed.
    """
    good = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in COLUMNS.items())
    connection.execute(
        f"COPY (SELECT {good} FROM ({typed}) WHERE problem IS NULL) "
        f"TO {literal(out.with_suffix('.parquet'))} (FORMAT parquet, COMPRESSION zstd, "
        "COMPRESSION_LEVEL 1)"
    )
    connection.execute(
        f"COPY (SELECT {literal(file)} AS file, CAST(line AS BIGINT) AS line, "
        "split_part(problem, ':', 1) AS field, split_part(problem, ':', 2) AS rule, raw "
        f"FROM ({typed}) WHERE problem IS NOT NULL) "
        f"TO {literal(out.with_suffix('.quarantine.parquet'))} (FORMAT parquet)"
    )
