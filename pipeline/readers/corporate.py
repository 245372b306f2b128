"""Corporate LMS learning history: one CSV row is one enrolment, exam or message."""

from __future__ import annotations

from pathlib import Path

from pipeline.engine import identifier
from pipeline.readers import tabular
from pipeline.readers.base import DropContext
from pipeline.readers.canonical import instant, problem, write_split

COLUMNS = [
    "Employee ID", "Manager ID", "Department", "Country", "Item Type", "Course Code",
    "Course Title", "Assigned Date", "Started Date", "Completed Date", "Due Date", "Status",
    "Score", "Max Score", "Attempts", "Comments",
]  # fmt: skip
STATUS = {
    "not started": "not_started", "assigned": "not_started", "in progress": "in_progress",
    "started": "in_progress", "completed": "completed", "complete": "completed",
    "passed": "passed", "failed": "failed", "waived": "waived", "withdrawn": "withdrawn",
}  # fmt: skip
TYPE = {
    "course": "milestone_flag", "curriculum": "milestone_flag", "exam": "assessment_record",
    "quiz": "assessment_record", "message": "communications_log",
}  # fmt: skip


def lookup(column: str, table: dict[str, str]) -> str:
    """SQL: a closed vocabulary, NULL for anything else."""
    cases = " ".join(f"WHEN '{given}' THEN '{meant}'" for given, meant in table.items())
    return f"CASE lower(trim({column})) {cases} END"


def columns(path: Path) -> list[str]:
    """Columns as delivered."""
    return tabular.header(path)


def typed_sql(path: Path, context: DropContext) -> str:
    """SQL: the file's rows in canonical columns, with `problem`, `raw` and `line`."""
    delivered = ", ".join(identifier(name) for name in tabular.header(path))
    event = "coalesce(\"Completed Date\", \"Started Date\", \"Assigned Date\")"
    dates = {
        "assigned_at": '"Assigned Date"',
        "started_at": '"Started Date"',
        "event_at": event,
        "due_at": '"Due Date"',
    }
    return f"""
    SELECT *, {problem(context.earliest, context.latest, raw_dates=dates)} AS problem FROM (
      SELECT
        {lookup('"Item Type"', TYPE)} AS record_type, 'corporate' AS source,
        'emp:' || trim("Employee ID") AS learner_id, 'emp:' || trim("Manager ID") AS manager_id,
        trim("Department") AS department, upper(trim("Country")) AS country,
        {context.region_sql} AS region,
        trim("Course Code") AS course_code, trim("Course Title") AS course_title,
        {instant('"Assigned Date"')} AS assigned_at, {instant('"Started Date"')} AS started_at,
        {instant(event)} AS event_at, {instant('"Due Date"')} AS due_at,
        nullif(regexp_extract({event}, '(Z|[+-][0-9]{{2}}:?[0-9]{{2}})$', 1), '') AS event_zone,
        {lookup('"Status"', STATUS)} AS status,
        100 * try_cast("Score" AS DOUBLE) / coalesce(try_cast("Max Score" AS DOUBLE), 100) AS score,
        ("Score" IS NOT NULL AND try_cast("Score" AS DOUBLE) IS NULL) AS bad_score,
        try_cast("Attempts" AS INTEGER) AS attempts, "Comments" IS NOT NULL AS has_comment,
        coalesce("Assigned Date", '') AS occurrence, 0 AS rank,
        {context.drop_instant} AS revised_at,
        row_number() OVER () + 1 AS line,
        to_json(struct_pack({delivered})) AS raw, {delivered}
      FROM {tabular.csv_scan(path)})"""


def read(path: Path, out: Path, context: DropContext) -> None:
    """Read one export into <out>.parquet and its quarantine files."""
    tabular.require_columns(path, COLUMNS)
    write_split(context.connection, typed_sql(path, context), out, path.name)
    tabular.take_rejects(context.connection, out, path.name)
