"""Corporate LMS learning history: one CSV row is one enrolment, exam or message.

The data map says which column holds which field, so that the report of another vendor or tenant
needs a change of policy and not of code.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.raw.forms.readable import Readable
from pipeline.raw.readers import tabular
from pipeline.raw.readers.base import DeliveryContext
from pipeline.raw.readers.canonical import (
    employee,
    lookup,
    number,
    problem,
    scaled,
    write_records,
)
from pipeline.raw.readers.moments import day_and_instant, discarded, with_moments
from pipeline.storage.sql import literal

REQUIRED = ("learner_id", "course_code", "status")
STATUS = {
    "not started": "not_started",
    "assigned": "not_started",
    "registered": "not_started",
    "enrolled": "not_started",
    "in progress": "in_progress",
    "started": "in_progress",
    "completed": "completed",
    "complete": "completed",
    "passed": "passed",
    "failed": "failed",
    "waived": "waived",
    "exempt": "waived",
    "withdrawn": "withdrawn",
    "dropped": "withdrawn",
}
IN_PROGRESS = ("not_started", "in_progress")
TYPE = {
    "course": "milestone_flag",
    "curriculum": "milestone_flag",
    "program": "milestone_flag",
    "exam": "assessment_record",
    "quiz": "assessment_record",
    "test": "assessment_record",
    "message": "communications_log",
}


def typed_sql(file: Readable, context: DeliveryContext) -> str:
    """SQL: the file's rows in canonical columns, the delivered columns beside them."""
    source, decimal = context.source, tabular.decimal_mark(file, context.source)
    given = tabular.delivered_columns(file, source, REQUIRED)

    def field(name: str) -> str:
        return given.get(name, "NULL::VARCHAR")

    texts = {
        "assigned": field("assigned_at"),
        "started": field("started_at"),
        "event": field("event_at"),
        "due": field("due_at"),
    }
    # What is not over yet has happened when it last moved on.
    moments = dict(zip(texts, texts, strict=True)) | {"event": "coalesce(event, started, assigned)"}
    # A report of a single kind of item has no column for the kind.
    kind = lookup(field("item_type"), TYPE | source.item_types)
    kind = kind if "item_type" in given else "'milestone_flag'"
    status = lookup(field("status"), STATUS | source.statuses)
    # Only what is over needs the day on which it was.
    needed = f"CASE WHEN status NOT IN {IN_PROGRESS} THEN event_fault END"
    optional = f"CASE WHEN status IN {IN_PROGRESS} THEN event_fault END"
    return f"""
    SELECT *, {problem(field("score"), needed)} AS problem,
      {discarded(["assigned_fault", "started_fault", "due_fault", optional])} AS discarded FROM (
      SELECT {day_and_instant(moments)}, {kind} AS record_type,
        {literal(context.name)} AS source,
        {employee(field("learner_id"))} AS learner_id,
        {employee(field("manager_id"))} AS manager_id,
        {field("department")} AS department, upper({field("country")}) AS country,
        {field("course_code")} AS course_code, {field("course_title")} AS course_title,
        NULL AS course_titles,
        {status} AS status,
        {scaled(field("score"), field("score_max"), decimal, source.grade_percents)} AS score,
        try_cast({number(field("attempts"), decimal)} AS INTEGER) AS attempts,
        {field("free_text")} IS NOT NULL AS has_comment,
        NULL AS record_id, coalesce(assigned_spelled, '') AS occurrence, 0 AS rank,
        {context.delivery_instant} AS revised_at, {literal(file.name)} AS file, *
      FROM {with_moments(tabular.rows(file, source), texts, context)})"""


def read(files: list[Readable], out: Path, context: DeliveryContext) -> None:
    """Read one export into <out>.parquet and <out>.rejects.parquet."""
    (file,) = files
    typed = typed_sql(file, context)
    write_records(context.connection, typed, tabular.as_delivered(file), out, context)
    tabular.take_rejects(context.connection, out, files)
