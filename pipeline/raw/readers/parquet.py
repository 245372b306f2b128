"""Records that are delivered in the canonical schema, as Parquet (docs/canonical.md)."""

from __future__ import annotations

from pathlib import Path

from pipeline.raw.readers.base import DeliveryContext, MalformedFile
from pipeline.raw.readers.canonical import lookup, problem, scaled, write_records
from pipeline.raw.readers.moments import day_and_instant, discarded, with_moments
from pipeline.storage.schema import MOMENTS, RECORD_TYPES, STATUSES, namespaced
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
    given = ", ".join(
        f"CAST({name if name in present else 'NULL'} AS VARCHAR) AS given_{name}" for name in TEXT
    )
    values = ", ".join(f"stripped(given_{name}) AS raw_{name}" for name in TEXT)
    texts = ", ".join(
        [f"same_form(raw_{name}) AS {name}" for name in ("learner_id", "manager_id")]
        + [f"raw_{name} AS {name}" for name in ("department", "course_code", "course_title")]
    )
    scan = f"(SELECT *, {values} FROM (SELECT {given} FROM read_parquet({literal(path)})))"
    rows = with_moments(scan, {name: f"raw_{name}_at" for name in MOMENTS}, context)
    typed = f"""
    SELECT *, CASE WHEN NOT {namespaced("learner_id")} THEN 'learner_id:no_namespace'
      WHEN NOT {namespaced("manager_id")} THEN 'manager_id:no_namespace'
      WHEN raw_event_at IS NULL THEN 'event_at:missing'
      ELSE {problem("raw_score", "event_fault")} END AS problem,
      {discarded(["assigned_fault", "started_fault", "due_fault"])} AS discarded FROM (
      SELECT *, {day_and_instant({name: name for name in MOMENTS})}, {texts},
        upper(raw_country) AS country,
        {lookup("raw_record_type", {t: t for t in RECORD_TYPES})} AS record_type,
        {lookup("raw_status", {s: s for s in STATUSES})} AS status,
        {literal(context.name)} AS source, {scaled("raw_score", "raw_score_max")} AS score,
        try_cast(raw_attempts AS INTEGER) AS attempts, raw_free_text IS NOT NULL AS has_comment,
        NULL AS record_id, NULL AS course_titles,
        coalesce(assigned_spelled, '') AS occurrence, 0 AS rank,
        {context.delivery_instant} AS revised_at, {literal(path.name)} AS file
      FROM {rows})"""
    raw = f"to_json(struct_pack({', '.join(f'raw_{n} := given_{n}' for n in TEXT)}))"
    write_records(context.connection, typed, raw, out, context)
