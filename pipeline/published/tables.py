"""How a published table lies in a folder, and the one way of opening it there.

An audience's tables are one DuckDB file; where data_map.yaml says `encrypted`, the audience has one
table, and it is a folder of encrypted Parquet files (pipeline/storage/encryption.py), one a
month of the pseudonymized rows, that DuckDB reads in place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from pipeline.context import Context
from pipeline.errors import EngineError
from pipeline.storage import encryption
from pipeline.storage.engine import engine
from pipeline.storage.sql import identifier, literal

ORIGINS = "_origins.json"  # readers of a folder of Parquet leave out what begins so


def _require_whole(folder: Path) -> None:
    """Encryption shows that a file was changed, and not that one is missing.

    Raises:
        EngineError: the months in the folder are not those that were made.
    """
    path = folder / ORIGINS
    made = set(json.loads(path.read_text("utf-8"))) if path.exists() else set()
    if not made or {file.name for file in folder.glob("*.parquet")} != made:
        raise EngineError(f"encrypted table {folder.stem}: some months are missing, or too many")


@contextmanager
def attached(
    connection: duckdb.DuckDBPyConnection, context: Context, folder: Path, table: str, name: str
) -> Iterator[None]:
    """Have the file of a published table open for reading during the block: its tables are found
    as `{name}.{table}`.

    Raises:
        EngineError: it is not there, or not as it was made.
    """
    spec = context.data_map.published[table]
    path = folder / spec.file
    if spec.encrypted:
        _require_whole(path)
        rows = encryption.rows(connection, context.layout, path)
        connection.execute(f"ATTACH ':memory:' AS {name}")
    else:
        connection.execute(f"ATTACH {literal(path)} AS {name} (READ_ONLY)")
    try:
        if spec.encrypted:
            connection.execute(f"CREATE VIEW {name}.{identifier(table)} AS FROM {rows}")
        yield
    finally:
        connection.execute(f"DETACH {name}")


@contextmanager
def opened(context: Context, folder: Path, table: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own to a published table, which is found as `released.{table}`."""
    with (
        engine(context.layout.work) as connection,
        attached(connection, context, folder, table, "released"),
    ):
        yield connection
