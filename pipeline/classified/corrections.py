"""Corrections at the request of a person (GDPR Art. 16), and what they stand on.

A correction is a row of its own, with the rank CORRECTED_RANK. Its column `raw` has, with a blank
between each, a hash of the wrong values, so that only something else overtakes it, and the
deliveries that held the record, as <date>=<version>. The wrong rows are erased from these, so
nothing else knows of which deliveries the record was; and it is to go with the last of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

import duckdb

from pipeline.classified.models import CORRECTED_RANK, RECORD_KEY, values_of
from pipeline.raw import register
from pipeline.storage.layout import Layout
from pipeline.storage.relations import files, parquet
from pipeline.storage.schema import CANONICAL
from pipeline.storage.sql import Sql, literal


def made(layout: Layout) -> list[Path]:
    """The files of all corrections."""
    return files(layout, "records", layout.rectified.name)


def gone(connection: duckdb.DuckDBPyConnection, layout: Layout) -> list[str]:
    """Of the deliveries that corrections stand on, those that are not in use any more."""
    if not (found := made(layout)):
        return []
    return sorted(one for one in _held(connection, found) if _has_gone(layout, one))


def _held(connection: duckdb.DuckDBPyConnection, corrections: list[Path]) -> list[str]:
    held = "SELECT DISTINCT unnest(string_split(raw, ' ')[2:]) FROM "
    rows = connection.execute(f"{held}{parquet(corrections, CANONICAL)}").fetchall()
    return [str(one) for (one,) in rows]


def _has_gone(layout: Layout, held: str) -> bool:
    delivery, version = held.split("=", 1)
    return register.has_gone(layout, dt.date.fromisoformat(delivery), version)


def stands_on(
    connection: duckdb.DuckDBPyConnection, layout: Layout, wrong: Sql, rows: Sql
) -> list[str]:
    """The deliveries that hold a record which is to be corrected.

    Args:
        wrong: its current row with its record_key, which can be an earlier correction.
        rows: the resolved rows of the store.
    """
    own = connection.execute(
        f"SELECT DISTINCT delivery_date FROM {rows} WHERE rank <> {CORRECTED_RANK} "
        f"AND {RECORD_KEY} IN (SELECT record_key FROM {wrong})"
    ).fetchall()
    versions = {day: register.version_of(layout.canonical / str(day)) for (day,) in own}
    before = connection.execute(
        f"SELECT unnest(string_split(raw, ' ')[2:]) FROM {wrong} WHERE rank = {CORRECTED_RANK}"
    ).fetchall()
    return sorted(
        {f"{day}={version}" for day, version in versions.items()} | {str(one) for (one,) in before}
    )


def raw_of(wrong: Sql, deliveries: Iterable[str]) -> Sql:
    """SQL: the column `raw` of a correction; arguments as `stands_on` has and returns them."""
    values = f"CASE WHEN rank = {CORRECTED_RANK} THEN split_part(raw, ' ', 1) "
    held = literal("".join(f" {one}" for one in deliveries))
    return Sql(f"{values}ELSE {values_of(wrong)} END || {held}")
