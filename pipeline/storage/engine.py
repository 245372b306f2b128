"""The one way to open DuckDB: bounded memory, UTC, spill inside the data folder, no network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path

import duckdb

from pipeline.errors import EngineError
from pipeline.settings import settings
from pipeline.storage.spill import spill_folder

SETTINGS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "preserve_insertion_order": "false",
    # Rows wait in memory for the file of their period. By default half a million do, for every file
    # and thread: with a year of periods more than the memory there is.
    "partitioned_write_flush_threshold": "32768",
}


def cores() -> int:
    """How many threads or processes may work at once."""
    return settings().threads or os.cpu_count() or 2


@contextmanager
def engine(
    work: Path, database: Path | str = ":memory:", *, read_only: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection that closes by itself.

    Args:
        work: folder for spill files (they can hold raw values, so they stay in the data folder).
        database: file to open, or ":memory:".
        read_only: refuse writes.
    """
    with opened(work, str(database), read_only) as connection:
        try:
            yield connection
        except (
            duckdb.OutOfMemoryException,
            duckdb.IOException,
            duckdb.BinderException,
            duckdb.CatalogException,
            duckdb.ParserException,
        ) as error:
            # These speak of memory, files, disks and our own SQL, before any row is read.
            raise EngineError(str(error)) from None
        except duckdb.Error as error:
            name = type(error).__name__
            raise EngineError(f"{name} (text withheld, it may hold a value)") from None


@contextmanager
def opened(work: Path, database: str, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the settings and macros of `engine`; its errors are DuckDB's own."""
    spill = spill_folder(work)
    spill.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with duckdb.connect(
        database,
        read_only=read_only,
        config={
            "memory_limit": settings().memory,
            "threads": str(cores()),
            "temp_directory": str(spill),
            **SETTINGS,
        },
    ) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        load_macros(connection)
        yield connection


def load_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Give a connection the text functions of macros.sql; they are its own and are not stored."""
    connection.execute(macros())


@cache
def macros() -> str:
    """The SQL of the text functions."""
    return (resources.files("pipeline.storage") / "macros.sql").read_text("utf-8")


@contextmanager
def joined_as_written(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Joins hold in memory what is on their right, as the SQL has it. DuckDB takes it that a few of
    the rows pass each filter, and would hold a month of records where it should hold the people."""
    connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    try:
        yield
    finally:
        connection.execute("RESET disabled_optimizers")


def count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """The one number that a query gives; a sum over nothing is zero."""
    ((number,),) = connection.execute(query).fetchall()
    return int(number or 0)


# Rows, and two sums over the rows' hashes that no order changes.
_FINGERPRINT = "count(*), coalesce(bit_xor(hash(t)), 0), coalesce(sum(hash(t)::HUGEINT), 0)"


def fingerprint(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, int, int]:
    """What all rows of a query come to, in whatever order."""
    ((rows, mixed, total),) = connection.execute(
        f"SELECT {_FINGERPRINT} FROM ({query}) t"
    ).fetchall()
    return int(rows), int(mixed), int(total)


def fingerprints(
    connection: duckdb.DuckDBPyConnection, query: str, by: str
) -> dict[str, tuple[int, int, int]]:
    """As `fingerprint`, of the rows of each value of the column `by`."""
    found = connection.execute(
        f"SELECT {by}, {_FINGERPRINT} FROM ({query}) t GROUP BY {by}"
    ).fetchall()
    return {name: (int(rows), int(mixed), int(total)) for name, rows, mixed, total in found}
