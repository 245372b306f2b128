"""SQL relations over what the store holds; every one exists with its columns, if empty."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pipeline.errors import PolicyError
from pipeline.storage.layout import Layout
from pipeline.storage.schema import CANONICAL, CLASSIFIED, REJECTS, ROSTER
from pipeline.storage.sql import literal


def parquet(files: list[Path], columns: dict[str, str]) -> str:
    """SQL: the rows of some Parquet files, or no row of these columns."""
    if not files:
        nothing = ", ".join(f"NULL::{kind} AS {name}" for name, kind in columns.items())
        return f"(SELECT {nothing} WHERE false)"
    names = ", ".join(literal(path) for path in files)
    return f"read_parquet([{names}], hive_partitioning=false)"


def files(layout: Layout, kind: str, delivery: str = "*") -> list[Path]:
    return sorted(p for p in layout.canonical.glob(f"{delivery}/*/*") if holds(p, kind))


def holds(path: Path, kind: str) -> bool:
    """Is it a canonical file of this kind, `records` or `roster`?"""
    return path.match(f"{kind}-*.parquet") and not path.match("*.rejects.parquet")


def records(layout: Layout, delivery: dt.date | None = None) -> str:
    """SQL: the canonical rows of one delivery or of all, good and quarantined."""
    return parquet(files(layout, "records", str(delivery) if delivery else "*"), CANONICAL)


def roster_history(layout: Layout) -> str:
    """SQL: every roster row of every delivery."""
    return parquet(files(layout, "roster"), ROSTER)


def roster(layout: Layout) -> str:
    """SQL: each employee's latest roster row."""
    return (
        f"(FROM {roster_history(layout)} QUALIFY row_number() OVER "
        "(PARTITION BY learner_id ORDER BY delivery_date DESC, email, name, manager_id) = 1)"
    )


def classified(layout: Layout, period: str = "period=*") -> str:
    """SQL: the classified rows of all periods, or of the one in a folder of this name."""
    return parquet(period_files(layout.classified, period), CLASSIFIED)


def pseudonymized(layout: Layout, audience: str) -> str:
    """SQL: one audience's pseudonymized rows of all periods.

    Raises:
        PolicyError: they were never made; unlike the deliveries, they have no empty beginning.
    """
    made = period_files(layout.pseudonymized_for(audience))
    if not made:
        raise PolicyError(f"nothing is pseudonymized for {audience} yet")
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
