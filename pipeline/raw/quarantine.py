"""What is set aside of a delivery: rows that break a rule, and lines that could not be read.

A delivery that was refused as a whole lies in store/set_aside/, an accepted one in
store/canonical/; where both are there, the refused one is what somebody asks about.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable
from pathlib import Path

import duckdb

from pipeline.errors import BadInput
from pipeline.policy.data_map import DataMap
from pipeline.raw import row_lines
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout
from pipeline.storage.relations import holds, parquet
from pipeline.storage.schema import CANONICAL, LEFT_OUT, REJECTS
from pipeline.storage.sql import Sql, literal

Count = tuple[str, str, int, str]  # rule, file, rows, lines of a few


def _files(layout: Layout, delivery: dt.date) -> list[Path]:
    """The files of a delivery in the store.

    Raises:
        BadInput: the store holds nothing of the delivery.
    """
    folders = [layout.set_aside / str(delivery), layout.canonical / str(delivery)]
    folder = next((one for one in folders if one.is_dir()), None)
    if folder is None:
        raise BadInput(f"the store holds no delivery of {delivery}")
    return sorted(folder.glob("*/*.parquet"))


def _rows(files: list[Path]) -> Sql:
    """SQL: rule, file, line and raw of everything set aside."""
    rows = parquet([one for one in files if holds(one, "records")], CANONICAL)
    lines = parquet([one for one in files if one.match("*.rejects.parquet")], REJECTS)
    return Sql(
        "(SELECT problem AS rule, file, NULL::BIGINT AS line, raw "
        f"FROM {rows} WHERE problem IS NOT NULL UNION ALL BY NAME "
        f"SELECT 'line:' || rule AS rule, file, line, raw FROM {lines})"
    )


def counts(layout: Layout, data_map: DataMap, delivery: dt.date) -> list[Count]:
    """How many rows and lines are set aside, by rule and file, the most first, each with the lines
    of a few; raises as `_files`.

    Records that were only counted follow, by source: nothing of them is stored.
    """
    files = _files(layout, delivery)
    counted = parquet([one for one in files if holds(one, "left_out")], LEFT_OUT)
    with engine(layout.work) as connection:
        found = connection.execute(
            "SELECT rule, coalesce(file, ''), count(*), min(line, 5), "
            f"min(raw, 5) FILTER (line IS NULL) FROM {_rows(files)} "
            "GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
        ).fetchall()
        left_out = connection.execute(
            "SELECT concat_ws(': ', 'counted only', reason, name), source, sum(records) "
            f"FROM {counted} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
        ).fetchall()
    wanted = {(file, raw) for _, file, _, _, raws in found for raw in raws or ()}
    line_of = row_lines.find(layout, data_map, delivery, wanted)
    return [
        (rule, file, n, _shown(lines or [line_of.get((file, raw)) for raw in raws or ()]))
        for rule, file, n, lines, raws in found
    ] + [(reason, source, n, "") for reason, source, n in left_out]


def _shown(lines: Iterable[int | None]) -> str:
    return ", ".join(map(str, sorted({line for line in lines if line is not None})))


def export(layout: Layout, delivery: dt.date, to: Path) -> int:
    """Write rule, file, line and the row as delivered to a new CSV file, mode 0600; returns how
    many rows.

    Raises:
        BadInput: as `_files`; or the file exists.
    """
    rows = _rows(_files(layout, delivery))
    try:
        os.close(os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise BadInput(f"--export: {error.strerror}") from None
    with engine(layout.work) as connection:
        return _copied(connection, f"FROM {rows} ORDER BY file, line, rule", to)


def _copied(connection: duckdb.DuckDBPyConnection, query: str, to: Path) -> int:
    # Into a stream of our own: DuckDB would make the file anew, with other permissions.
    beside = to.with_name(f".{to.name}.beside")
    try:
        os.close(os.open(beside, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
        connection.execute(f"COPY ({query}) TO {literal(beside)} (FORMAT csv, HEADER)")
        beside.chmod(0o600)
        os.replace(beside, to)
    finally:
        beside.unlink(missing_ok=True)
    ((written,),) = connection.execute(f"SELECT count(*) FROM ({query})").fetchall()
    return int(written)
