"""SQL relations over what the store holds; every one exists with its columns, if empty."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pipeline.engine import literal
from pipeline.layout import Layout
from pipeline.readers import canonical

ROSTER = {
    "learner_id": "VARCHAR", "name": "VARCHAR", "email": "VARCHAR", "manager_id": "VARCHAR",
    "department": "VARCHAR", "country": "VARCHAR", "drop_date": "DATE",
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
    return f"read_parquet([{names}])"


def _files(layout: Layout, kind: str, drop: str = "*") -> list[Path]:
    found = layout.canonical.glob(f"{drop}/*/{kind}-*.parquet")
    return sorted(p for p in found if ".rejects." not in p.name)


def records(layout: Layout, drop: dt.date | None = None) -> str:
    """SQL: the canonical rows of one drop or of all, good and quarantined."""
    return parquet(_files(layout, "records", str(drop) if drop else "*"), canonical.COLUMNS)


def roster(layout: Layout) -> str:
    """SQL: each employee's latest roster row."""
    rows = parquet(_files(layout, "roster"), ROSTER)
    return (
        f"(FROM {rows} QUALIFY row_number() OVER "
        "(PARTITION BY learner_id ORDER BY drop_date DESC, email, name, manager_id) = 1)"
    )


def rejects(layout: Layout) -> str:
    """SQL: lines of record files that could not be split into fields."""
    files = sorted(layout.canonical.glob("*/*/records-*.rejects.parquet"))
    return parquet(files, REJECTS)
