"""SQL relations over what the store holds; every one exists with its columns, if empty.

Whoever makes a temporary relation returns its name (`temp_table`, `temp_view`), and whoever reads
it takes that.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from pipeline.errors import PolicyError
from pipeline.storage.layout import Layout
from pipeline.storage.schema import CANONICAL, CLASSIFIED, LEFT_OUT, REJECTS, ROSTER
from pipeline.storage.sql import Sql, identifier, literals, render

if TYPE_CHECKING:
    import pyarrow as pa


def temp_table(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    query: str,
    parameters: Mapping[str, object] | None = None,
) -> Sql:
    """Make a temporary table of a query's rows; returns it as a relation."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {identifier(name)} AS {query}", parameters)
    return identifier(name)


def temp_table_of(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> Sql:
    """Make a temporary table of rows in memory; returns it as a relation."""
    connection.register("rows_in_memory", rows)
    made = temp_table(connection, name, "FROM rows_in_memory")
    connection.unregister("rows_in_memory")
    return made


def temp_view(connection: duckdb.DuckDBPyConnection, name: str, query: str) -> Sql:
    """Make a temporary view of a query; returns it as a relation."""
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {identifier(name)} AS {query}")
    return identifier(name)


def subquery(query: str) -> Sql:
    """A query as a relation."""
    return Sql(f"({query})")


def parquet(files: list[Path], columns: dict[str, str]) -> Sql:
    """SQL: the rows of some Parquet files, or no row of these columns."""
    if not files:
        nothing = ", ".join(f"NULL::{kind} AS {name}" for name, kind in columns.items())
        return Sql(f"(SELECT {nothing} WHERE false)")
    return Sql(f"read_parquet([{literals(files)}], hive_partitioning=false)")


def files(layout: Layout, kind: str, delivery: str = "*") -> list[Path]:
    """The canonical files of a kind, `records`, `roster` or `left_out`, of one delivery or of all.

    Those of accepted deliveries, and of what a run under way is for: whatever was refused or
    withdrawn lies elsewhere (pipeline/raw/register.py).
    """
    return sorted(p for p in layout.canonical.glob(f"{delivery}/*/*") if holds(p, kind))


def set_aside(layout: Layout, delivery: str = "*") -> list[Path]:
    """The files of deliveries that no run reads, of one or of all: records, rosters and lines."""
    return sorted(
        path
        for folder in (layout.set_aside, layout.replaced)
        for path in folder.glob(f"{delivery}/*/*.parquet")
    )


def holds(path: Path, kind: str) -> bool:
    """Is it a canonical file of this kind, `records`, `roster` or `left_out`?"""
    return path.match(f"{kind}-*.parquet") and not path.match("*.rejects.parquet")


def source_of(path: Path) -> str:
    """The source that a canonical file was read from: <kind>-<source>-<n>.parquet."""
    return path.stem.split("-", 1)[1].rsplit("-", 1)[0]


def records(layout: Layout, delivery: dt.date | None = None) -> Sql:
    """SQL: the canonical rows of one delivery or of all, good and quarantined."""
    return parquet(files(layout, "records", str(delivery) if delivery else "*"), CANONICAL)


def left_out(layout: Layout, delivery: dt.date | None = None) -> Sql:
    """SQL: what the readers counted and did not store (columns: LEFT_OUT), of one delivery or of
    all."""
    return parquet(files(layout, "left_out", str(delivery) if delivery else "*"), LEFT_OUT)


def left_out_of(path: Path) -> Path:
    """The file of what was left out of what a file of records was made from."""
    return path.with_name(f"left_out-{path.name.removeprefix('records-')}")


def roster_history(layout: Layout, delivery: dt.date | None = None) -> Sql:
    """SQL: every roster row of one delivery or of all."""
    return parquet(files(layout, "roster", str(delivery) if delivery else "*"), ROSTER)


def roster(layout: Layout) -> Sql:
    """SQL: each employee's latest roster row."""
    return subquery(render("pipeline.storage", "roster.sql", history=roster_history(layout)))


def classified(layout: Layout, period: str = "period=*") -> Sql:
    """SQL: the classified rows of all periods, or of the one in a folder of this name."""
    return parquet(period_files(layout.classified, period), CLASSIFIED)


def classified_with_folder(layout: Layout, periods: Iterable[str]) -> Sql:
    """SQL: the classified rows in some folders, each with the name of its own, as `folder`."""
    found = [path for name in periods for path in period_files(layout.classified, name)]
    if not found:
        return parquet([], {**CLASSIFIED, "folder": "VARCHAR"})
    return Sql(
        "(SELECT * EXCLUDE (filename), parse_path(filename)[-2] AS folder FROM "
        f"read_parquet([{literals(found)}], hive_partitioning=false, filename=true))"
    )


def pseudonymized(layout: Layout, audience: str) -> Sql:
    """SQL: one audience's pseudonymized rows of all periods.

    Raises:
        PolicyError: they were never made; unlike the deliveries, they do not begin empty.
    """
    made = period_files(layout.pseudonymized_for(audience))
    if not made:
        raise PolicyError(f"nothing is pseudonymized for {audience} yet")
    return parquet(made, {})


def period_files(folder: Path, period: str = "period=*") -> list[Path]:
    """The files of a store that is partitioned by period, oldest first."""
    return sorted(folder.glob(f"{period}/*.parquet"))


def rejects_of(path: Path) -> list[Path]:
    """The file of the lines that could not be read of what a canonical file was made from."""
    beside = path.with_suffix(".rejects.parquet")
    return [beside] if beside.exists() else []


def reject_files(layout: Layout) -> list[Path]:
    """The files of lines that could not be split, of record files and rosters."""
    return sorted(layout.canonical.glob("*/*/*.rejects.parquet"))


def rejects(layout: Layout) -> Sql:
    """SQL: lines of record files that could not be split into fields."""
    found = [path for path in reject_files(layout) if path.name.startswith("records-")]
    return parquet(found, REJECTS)
