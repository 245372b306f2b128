"""Aggregate, then erase: coaching months whose records have begun to go stay as published last.

The figures passed the gate with k people at the least, so they tell of nobody (GDPR recital 26).
Keeping the published figure, instead of a new one each night while the month's records fade, also
leaves no two nights to subtract from each other.
"""

from __future__ import annotations

import duckdb

from pipeline.engine import literal
from pipeline.layout import Layout, built_beside
from pipeline.policy.data_map import Purpose
from pipeline.readers.canonical import PARQUET

TABLE = "coaching_period"


def kept(layout: Layout) -> str | None:
    """SQL: the kept months, columns as the published table's; None before there are any."""
    return f"read_parquet({literal(layout.aggregates)})" if layout.aggregates.exists() else None


def months(layout: Layout) -> str:
    """SQL: the kept months as a list for IN."""
    found = kept(layout)
    return f"(SELECT period FROM {found})" if found else "(SELECT NULL::DATE WHERE false)"


def freeze(connection: duckdb.DuckDBPyConnection, layout: Layout, going: str) -> None:
    """Keep every month in which a record is about to go and that is published now.

    Args:
        going: SQL query of one column, the months.
    """
    database = layout.current / f"{Purpose.COACHING.value}.duckdb"
    if not database.exists():
        return
    connection.execute(f"ATTACH {literal(database)} AS published (READ_ONLY)")
    try:
        new = f"FROM published.{TABLE} WHERE period IN ({going}) AND period NOT IN {months(layout)}"
        if not connection.sql(f"{new} LIMIT 1").fetchall():
            return
        old = kept(layout)
        both = f"FROM {old} UNION ALL ({new})" if old else new
        with built_beside(layout.aggregates, layout.work) as beside:
            connection.execute(
                f"COPY (FROM ({both}) ORDER BY period) TO {literal(beside)} ({PARQUET})"
            )
    finally:
        connection.execute("DETACH published")
