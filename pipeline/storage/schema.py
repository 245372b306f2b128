"""Columns and DuckDB types of the stores' relations, and how their Parquet files are written.

CANONICAL and ROSTER are what the readers make of a delivery, CLASSIFIED is what the classification
makes of both, REJECTS are the lines that no reader could split. What the columns mean stands in
assets/columns.py.
"""

from __future__ import annotations

from pipeline.storage.sql import Sql

STATUSES = (
    "not_started",
    "in_progress",
    "completed",
    "passed",
    "failed",
    "waived",
    "withdrawn",
)

RECORD_TYPES = ("milestone_flag", "assessment_record", "communications_log")


# Of a record: each has a date (<moment>_on) and, where a time of day was given, an instant
# (<moment>_at, UTC).
MOMENTS = ("assigned", "started", "event", "due")

CANONICAL: dict[str, str] = {
    "record_type": "VARCHAR",
    "source": "VARCHAR",
    "learner_id": "VARCHAR",
    "manager_id": "VARCHAR",
    "department": "VARCHAR",
    "country": "VARCHAR",
    "region": "VARCHAR",
    "course_code": "VARCHAR",
    "course_title": "VARCHAR",
    "course_titles": "VARCHAR",
    "assigned_on": "DATE",
    "assigned_at": "TIMESTAMP",
    "started_on": "DATE",
    "started_at": "TIMESTAMP",
    "event_on": "DATE",
    "event_at": "TIMESTAMP",
    "due_on": "DATE",
    "due_at": "TIMESTAMP",
    "event_zone": "VARCHAR",
    "status": "VARCHAR",
    "score": "DOUBLE",
    "attempts": "INTEGER",
    "has_comment": "BOOLEAN",
    "record_id": "VARCHAR",
    "occurrence": "VARCHAR",
    "rank": "INTEGER",
    "revised_at": "TIMESTAMP",
    "delivery_date": "DATE",
    "discarded": "VARCHAR[]",
    "problem": "VARCHAR",
    "raw": "VARCHAR",
    "file": "VARCHAR",
}


# The store is read many times a run: LZ4 costs a fifth of zstd's time for half as much again.
PARQUET = "FORMAT parquet, COMPRESSION lz4_raw"


def namespaced(column: str) -> Sql:
    """SQL: does a raw identifier say what kind of identifier it is? NULL stays NULL."""
    return Sql(f"is_namespaced({column})")


ROSTER = {
    "learner_id": "VARCHAR",
    "name": "VARCHAR",
    "email": "VARCHAR",
    "manager_id": "VARCHAR",
    "department": "VARCHAR",
    "unit": "VARCHAR",
    "country": "VARCHAR",
    "left_on": "DATE",
    "discarded": "VARCHAR[]",
    "delivery_date": "DATE",
}


# What classify.py writes. `record_key` names the record through all its revisions, `deliveries` are
# those that hold one; with the dates they are all that retention needs to know.
CLASSIFIED = {
    "record_key": "UUID",
    "deliveries": "DATE[]",
    "first_seen": "DATE",
    "left_on": "DATE",
    "on_roster": "BOOLEAN",
    "person": "VARCHAR",
    "unresolved": "VARCHAR",
    "set_aside": "VARCHAR",
    "manager": "VARCHAR",
    "record_type": "VARCHAR",
    "source": "VARCHAR",
    "region": "VARCHAR",
    "department": "VARCHAR",
    "course_code": "VARCHAR",
    "course_title": "VARCHAR",
    "sensitivity": "VARCHAR",
    "reviewed": "BOOLEAN",
    "assigned_on": "DATE",
    "assigned_at": "TIMESTAMP",
    "started_on": "DATE",
    "started_at": "TIMESTAMP",
    "event_on": "DATE",
    "event_at": "TIMESTAMP",
    "due_on": "DATE",
    "due_at": "TIMESTAMP",
    "event_zone": "VARCHAR",
    "status": "VARCHAR",
    "score": "DOUBLE",
    "attempts": "INTEGER",
    "has_comment": "BOOLEAN",
}


# Canonical and roster columns that the readers make of delivered fields of another name.
READ_FROM: dict[str, tuple[str, ...]] = {
    "record_type": ("record_type", "item_type"),
    "score": ("score", "score_min", "score_max"),
    **{f"{moment}_on": (f"{moment}_at",) for moment in MOMENTS},
    "event_zone": ("event_at",),
    "discarded": ("assigned_at", "started_at", "event_at", "due_at", "left_on"),
    "occurrence": ("assigned_at", "registration"),
    "has_comment": ("free_text",),
    "course_titles": ("course_title",),
    "name": ("learner_name", "first_name", "last_name"),
    "email": ("learner_email",),
}


REJECTS = {
    "file": "VARCHAR",
    "line": "BIGINT",
    "field": "VARCHAR",
    "rule": "VARCHAR",
    "raw": "VARCHAR",
}


# What a reader counts and does not store: records of a source, by reason, and by name where there
# is one that somebody has to decide about.
LEFT_OUT = {
    "source": "VARCHAR",
    "reason": "VARCHAR",
    "name": "VARCHAR",
    "records": "BIGINT",
}
