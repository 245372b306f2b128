"""SQL relations over what the store holds; every one exists with its columns, if empty."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pipeline.policy.base import PolicyError
from pipeline.policy.fields import Purpose
from pipeline.raw.readers import canonical
from pipeline.storage.engine import literal
from pipeline.storage.layout import Layout

ROSTER = {
    "learner_id": "VARCHAR", "name": "VARCHAR", "email": "VARCHAR", "manager_id": "VARCHAR",
    "department": "VARCHAR", "country": "VARCHAR", "left_on": "DATE", "drop_date": "DATE",
}  # fmt: skip
# What classify.py writes. `milestone` names the record through all its revisions, `drops` are
# those that hold one; with the dates they are all that retention needs to know.
CLASSIFIED = {
    "milestone": "UUID", "drops": "DATE[]", "first_seen": "DATE",
    "left_on": "DATE", "on_roster": "BOOLEAN",
    "person": "VARCHAR", "manager": "VARCHAR", "record_type": "VARCHAR", "source": "VARCHAR",
    "region": "VARCHAR", "department": "VARCHAR", "course_code": "VARCHAR",
    "course_title": "VARCHAR", "sensitivity": "VARCHAR", "assigned_at": "TIMESTAMP",
    "started_at": "TIMESTAMP", "event_at": "TIMESTAMP", "due_at": "TIMESTAMP",
    "event_zone": "VARCHAR", "status": "VARCHAR", "score": "DOUBLE", "attempts": "INTEGER",
    "has_comment": "BOOLEAN",
}  # fmt: skip
REJECTS = {
    "file": "VARCHAR", "line": "BIGINT", "field": "VARCHAR", "rule": "VARCHAR", "raw": "VARCHAR",
}  # fmt: skip


def parquet(files: list[Path], columns: dict[str, str]) -> str:
    """SQL: the rows of some Parquet files, or no row of these columns."""
    if not files:
        nothing = ", ".join(f"NULL::{kind} AS {name}" for name, kind in columns.items())
        return f"(SELECT {nothing} WHERE false)"
    names = ", ".join(literal(path) for path in files)
    return f"read_parquet([{names}], hive_partitioning=false)"


def files(layout: Layout, kind: str, drop: str = "*") -> list[Path]:
    return sorted(p for p in layout.canonical.glob(f"{drop}/*/*") if holds(p, kind))


def holds(path: Path, kind: str) -> bool:
    """Is it a canonical file of this kind, `records` or `roster`?"""
    return path.match(f"{kind}-*.parquet") and not path.match("*.rejects.parquet")


def records(layout: Layout, drop: dt.date | None = None) -> str:
    """SQL: the canonical rows of one drop or of all, good and quarantined."""
    return parquet(files(layout, "records", str(drop) if drop else "*"), canonical.COLUMNS)


def roster_history(layout: Layout) -> str:
    """SQL: every roster row of every drop."""
    return parquet(files(layout, "roster"), ROSTER)


def roster(layout: Layout) -> str:
    """SQL: each employee's latest roster row."""
    return (
        f"(FROM {roster_history(layout)} QUALIFY row_number() OVER "
        "(PARTITION BY learner_id ORDER BY drop_date DESC, email, name, manager_id) = 1)"
    )


def classified(layout: Layout, period: str = "period=*") -> str:
    """SQL: the classified rows of all periods, or of the one in a folder of this name."""
    return parquet(period_files(layout.classified, period), CLASSIFIED)


def pseudonymized(layout: Layout, purpose: Purpose) -> str:
    """SQL: one purpose's pseudonymized rows of all periods.

    Raises:
        PolicyError: they were never made; unlike the drops, they have no empty beginning.
    """
    made = period_files(layout.pseudonymized_for(purpose))
    if not made:
        raise PolicyError(f"nothing is pseudonymized for {purpose.value} yet")
    return parquet(made, {})


def period_files(folder: Path, period: str = "period=*") -> list[Path]:
    """The files of a store that is partitioned by period, oldest first."""
    return sorted(folder.glob(f"{period}/*.parquet"))


def reject_files(layout: Layout) -> list[Path]:
    """The files of lines that could not be split, of record files and rosters."""
    return sorted(layout.canonical.glob("*/*/*.rejects.parquet"))


def rejects(layout: Layout) -> str:
    """SQL: lines of record files that could not be split into fields."""
    found = [path for path in reject_files(layout) if path.name.startswith("records-")]
    return parquet(found, REJECTS)
