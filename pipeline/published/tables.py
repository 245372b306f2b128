"""How a published table is stored in a folder, and the one way to open it there.

An audience's tables are one DuckDB file; where data_map.yaml says `encrypted`, the audience has one
table, and it is a folder of encrypted Parquet files (pipeline/storage/encryption.py), one per
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
from pipeline.policy.data_map import DataMap
from pipeline.storage import encryption
from pipeline.storage.engine import engine
from pipeline.storage.sql import identifier, literal

ORIGINS = "_origins.json"  # readers of a Parquet folder ignore files that start with an underscore


# How the files that people receive are written, so that DuckDB reads them from 1.1 on; what this
# version writes by default, only this version reads.
READABLE = "STORAGE_VERSION 'v1.0.0'"


def describe(
    connection: duckdb.DuckDBPyConnection, database: str, table: str, data_map: DataMap
) -> None:
    """Write what a table and its columns mean into its file, where tools show it."""
    spec, name = data_map.published[table], f"{database}.{identifier(table)}"
    comments = [f"TABLE {name} IS {literal(spec.description)}"] + [
        f"COLUMN {name}.{identifier(column)} IS {literal(data_map.columns[column].description)}"
        for column in spec.columns
    ]
    # Each would otherwise be a transaction of its own, and be written to the disk.
    statements = ["BEGIN", *(f"COMMENT ON {one}" for one in comments), "COMMIT"]
    connection.execute("; ".join(statements))


def _require_whole(folder: Path) -> None:
    """Encryption reveals that a file was changed, but not that one is missing.

    Raises:
        EngineError: the months in the folder are not those that were made.
    """
    path = folder / ORIGINS
    made = set(json.loads(path.read_text("utf-8"))) if path.exists() else set()
    if not made or {file.name for file in folder.glob("*.parquet")} != made:
        raise EngineError(f"encrypted table {folder.stem}: there are months missing, or too many")


@contextmanager
def attached(
    connection: duckdb.DuckDBPyConnection, context: Context, folder: Path, table: str, name: str
) -> Iterator[None]:
    """Open the file of a published table for reading during the block: its tables are
    `{name}.{table}`.

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
    """A separate connection to a published table, as `released.{table}`."""
    with (
        engine(context.layout.work) as connection,
        attached(connection, context, folder, table, "released"),
    ):
        yield connection
