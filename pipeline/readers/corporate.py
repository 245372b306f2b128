"""Corporate LMS learning history: one CSV row is one enrolment, exam or message."""

from __future__ import annotations

from pathlib import Path

from pipeline.engine import identifier, literal
from pipeline.readers import tabular
from pipeline.readers.base import DropContext
from pipeline.readers.canonical import instant, lookup, offset, problem, scaled, write_records

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
EVENT = 'coalesce("Completed Date", "Started Date", "Assigned Date")'


def typed_sql(path: Path, context: DropContext) -> str:
    """SQL: the file's rows in canonical columns, the delivered columns beside them."""
    dates = {
        "assigned_at": '"Assigned Date"',
        "started_at": '"Started Date"',
        "event_at": EVENT,
        "due_at": '"Due Date"',
    }
    times = ", ".join(f"{instant(raw)} AS {typed}" for typed, raw in dates.items())
    return f"""
    SELECT *, {problem(context, dates, '"Score"')} AS problem FROM (
      SELECT {times},
        {lookup('"Item Type"', TYPE)} AS record_type, 'corporate' AS source,
        'emp:' || trim("Employee ID") AS learner_id, 'emp:' || trim("Manager ID") AS manager_id,
        trim("Department") AS department, upper(trim("Country")) AS country,
        trim("Course Code") AS course_code, trim("Course Title") AS course_title,
        {offset(EVENT)} AS event_zone, {lookup('"Status"', STATUS)} AS status,
        {scaled('"Score"', '"Max Score"')} AS score,
        try_cast("Attempts" AS INTEGER) AS attempts, "Comments" IS NOT NULL AS has_comment,
        NULL AS record_id, coalesce("Assigned Date", '') AS occurrence, 0 AS rank,
        {context.drop_instant} AS revised_at, {literal(path.name)} AS file,
        COLUMNS(*)
      FROM {tabular.csv_scan(path)})"""


def read(files: list[Path], out: Path, context: DropContext) -> None:
    """Read one export into <out>.parquet and <out>.rejects.parquet."""
    (path,) = files
    tabular.require_columns(path, COLUMNS)
    delivered = ", ".join(identifier(name) for name in tabular.header(path))
    raw = f"to_json(struct_pack({delivered}))"
    write_records(context.connection, typed_sql(path, context), raw, out, context)
    tabular.take_rejects(context.connection, out)
