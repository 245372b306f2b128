"""DuckDB instances for tests, which are used again: making one takes longer than most queries.

Whoever has one has it alone, and finds it as a new one would be: temporary tables are the
connection's own, databases are detached and settings are set back when it is closed.
tests/test_engine.py holds this against the real thing.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from pipeline.settings import settings
from pipeline.storage import engine

Key = tuple[int, int]
# What the product sets while it works; DuckDB knows them for an instance, not for a connection.
SETTINGS = {
    "disabled_optimizers": "",
    "arrow_lossless_conversion": "false",
    "preserve_insertion_order": "false",
}
_idle: dict[Key, list[duckdb.DuckDBPyConnection]] = defaultdict(list)
opened_anew = engine.opened
_MEMORY = settings().memory


def idle() -> list[duckdb.DuckDBPyConnection]:
    """This process's instances that nobody has."""
    return _idle[os.getpid(), engine.cores()]


def _new(threads: int) -> duckdb.DuckDBPyConnection:
    made = duckdb.connect(
        config={"memory_limit": _MEMORY, "threads": str(threads), **engine.SETTINGS}
    )
    made.execute(engine.macros().replace("TEMP MACRO", "MACRO"))
    return made


def _as_new(instance: duckdb.DuckDBPyConnection) -> bool:
    """Set an instance back; False if it has become another."""
    databases = "SELECT database_name FROM duckdb_databases() WHERE NOT internal"
    for (name,) in instance.execute(databases).fetchall():
        if name != "memory":
            instance.execute(f'DETACH "{name}"')
    for name, usual in SETTINGS.items():
        instance.execute(f"SET {name} = '{usual}'")
    ((tables,),) = instance.execute("SELECT count(*) FROM duckdb_tables()").fetchall()
    return bool(tables == 0)


@contextmanager
def opened(work: Path, database: str, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """In place of pipeline.storage.engine.opened."""
    if database != ":memory:" or settings().memory != _MEMORY:
        with opened_anew(work, database, read_only) as connection:
            yield connection
        return
    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    free = idle()
    instance = free.pop() if free else _new(engine.cores())
    try:
        with instance.cursor() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
        if _as_new(instance):
            free.append(instance)
        else:
            instance.close()
    except BaseException:
        instance.close()
        raise
