"""What a reader gets and what it owes.

A reader is a module with `columns(path)` (names as delivered, for the data map's check) and
`read(path, out, context)`, which writes <out>.parquet in the canonical schema and the rows it
set aside as <out>.quarantine.parquet and <out>.rejects.parquet.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import duckdb

from pipeline.engine import literal


@dataclass(frozen=True)
class DropContext:
    """One drop's facts, as the SQL fragments that readers need."""

    connection: duckdb.DuckDBPyConnection
    drop: dt.date
    earliest_date: dt.date
    region: str | None = None

    @property
    def drop_instant(self) -> str:
        return f"TIMESTAMP '{self.drop:%Y-%m-%d} 00:00:00'"

    @property
    def earliest(self) -> str:
        return f"TIMESTAMP '{self.earliest_date:%Y-%m-%d} 00:00:00'"

    @property
    def latest(self) -> str:
        # A drop is written on its day, in any zone on Earth; nothing in it can have happened later.
        return f"TIMESTAMP '{self.drop + dt.timedelta(days=2):%Y-%m-%d} 00:00:00'"

    @property
    def region_sql(self) -> str:
        return literal(self.region) if self.region else "NULL"


class Reader(Protocol):
    """The interface that every module in pipeline/readers implements."""

    @staticmethod
    def columns(path: Path) -> list[str]: ...

    @staticmethod
    def read(path: Path, out: Path, context: DropContext) -> None: ...
