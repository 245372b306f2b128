"""Records that are delivered in the canonical schema, as Parquet (docs/canonical.md)."""

from __future__ import annotations

from pathlib import Path

from pipeline.raw.readers.base import DeliveryContext, MalformedFile
from pipeline.raw.readers.canonical import (
    instant,
    lookup,
    offset,
    plain,
    problem,
    scaled,
    write_records,
)
from pipeline.storage.schema import RECORD_TYPES, STATUSES, namespaced
from pipeline.storage.sql import literal

REQUIRED = ("record_type", "learner_id", "course_code", "status", "event_at")
TEXT = (
    "record_type",
    "learner_id",
    "manager_id",
    "department",
    "country",
    "course_code",
    "course_title",
    "assigned_at",
    "started_at",
    "event_at",
    "due_at",
    "status",
    "score",
    "score_max",
    "attempts",
    "free_text",
)


def columns(path: Path) -> list[str]:
    """Columns of the file's schema; nested fields are not part of the canonical schema."""
    # Loaded here: most commands, and most deliveries, have no Parquet file.
    import polars as pl

    try:
        return list(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, OSError):
        raise MalformedFile(f"{path.name}: not a Parquet file") from None


def read(files: list[Path], out: Path, context: DeliveryContext) -> None:
    """Read one Parquet file into <out>.parquet. Every field is converted to text and back, so
    that a column of a related type (a score as text, a date as a timestamp) is checked by the same
    rules as in any other format."""
    (path,) = files
    present = columns(path)
    missing = [name for name in REQUIRED if name not in present]
    if missing:
        raise MalformedFile(f"{path.name}: missing column {', '.join(missing)}")
    raw_columns = ", ".join(
        f"CAST({name} AS VARCHAR) AS raw_{name}" if name in present else f"NULL AS raw_{name}"
        for name in TEXT
    )
    dates = {name: f"raw_{name}" for name in TEXT if name.endswith("_at")}
    times = ", ".join(f"{instant(raw)} AS {typed}" for typed, raw in dates.items())
    texts = ", ".join(
        f"{plain('raw_' + name)} AS {name}"
        for name in ("learner_id", "manager_id", "department", "course_code", "course_title")
    )
    typed = f"""
    SELECT *, CASE WHEN NOT {namespaced("learner_id")} THEN 'learner_id:no_namespace'
      WHEN NOT {namespaced("manager_id")} THEN 'manager_id:no_namespace'
      WHEN event_at IS NULL AND raw_event_at IS NULL THEN 'event_at:missing'
      ELSE {problem(context, dates, "raw_score")} END AS problem FROM (
      SELECT *, {times}, {texts}, upper(trim(raw_country)) AS country,
        {lookup("raw_record_type", {t: t for t in RECORD_TYPES})} AS record_type,
        {lookup("raw_status", {s: s for s in STATUSES})} AS status,
        {literal(context.name)} AS source,
        {offset("raw_event_at")} AS event_zone, {scaled("raw_score", "raw_score_max")} AS score,
        try_cast(raw_attempts AS INTEGER) AS attempts, raw_free_text IS NOT NULL AS has_comment,
        NULL AS record_id, coalesce(raw_assigned_at, '') AS occurrence, 0 AS rank,
        {context.delivery_instant} AS revised_at, {literal(path.name)} AS file
      FROM (SELECT {raw_columns} FROM read_parquet({literal(path)})))"""
    raw = f"to_json(struct_pack({', '.join('raw_' + name for name in TEXT)}))"
    write_records(context.connection, typed, raw, out, context)
