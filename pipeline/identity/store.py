"""The identifiers as they were when the store was last classified: store/classified/identifiers.

Everything that looks for a person's rows afterwards reads this file, so that it finds the rows that
were taken to be the person's, whatever the rosters say by now.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from pipeline.identity.models import COLUMNS
from pipeline.storage.files import fsync
from pipeline.storage.layout import Layout
from pipeline.storage.relations import parquet
from pipeline.storage.schema import PARQUET
from pipeline.storage.sql import Sql, literal

NAME = "identifiers.parquet"


def path(layout: Layout) -> Path:
    return layout.classified / NAME


def identifiers(layout: Layout) -> Sql:
    """SQL: whom each identifier means, and when; none before the first run (columns: COLUMNS)."""
    stored = path(layout)
    return parquet([stored] if stored.exists() else [], COLUMNS)


def write(connection: duckdb.DuckDBPyConnection, made: Sql, folder: Path) -> None:
    """Write the relation of identifiers into a folder of classified months."""
    target = folder / NAME
    connection.execute(
        f"COPY (FROM {made} ORDER BY identifier, valid_from) TO {literal(target)} ({PARQUET})"
    )
    target.chmod(0o600)
    fsync(target)
