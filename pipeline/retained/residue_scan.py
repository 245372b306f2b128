"""Looking for one person in every place, after the erasure and apart from it.

Every file below the data folder is read as bytes, and every store that compresses or is encrypted
is opened and asked column by column: bytes of such data prove presence, never absence.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import duckdb

from pipeline.raw.deliveries import hits_in
from pipeline.retained.data_inventory import files, place_of
from pipeline.storage import encryption
from pipeline.storage.engine import count, engine
from pipeline.storage.layout import Layout
from pipeline.storage.sql import identifier, literal
from pipeline.subjects.identity import Subject


def _texts(connection: duckdb.DuckDBPyConnection, relation: str) -> list[str]:
    shape = connection.sql(f"FROM {relation} LIMIT 0")
    kinds = dict(zip(shape.columns, map(str, shape.types), strict=True))
    return [name for name, kind in kinds.items() if "VARCHAR" in kind or kind in ("JSON", "BLOB")]


def rows_with(connection: duckdb.DuckDBPyConnection, relation: str, pattern: str) -> int:
    """Rows of which some text column matches."""
    columns = _texts(connection, relation)
    if not columns:
        return 0
    tests = " OR ".join(
        f"regexp_matches(CAST({identifier(name)} AS VARCHAR), {literal(pattern)})"
        for name in columns
    )
    return count(connection, f"SELECT count(*) FROM {relation} WHERE {tests}")


def bytes_with(path: Path, pattern: re.Pattern[bytes]) -> int:
    """Hits in a file's bytes."""
    with path.open("rb") as stream:
        return hits_in(stream, pattern)


def text_with(layout: Layout, path: Path, pattern: re.Pattern[bytes]) -> int:
    """Hits in what a file says: an encrypted text is opened."""
    if path.suffix == encryption.TEXT:
        return len(pattern.findall((encryption.read_text(layout, path) or "").encode()))
    return bytes_with(path, pattern)


def _inside(layout: Layout, path: Path, pattern: str) -> int:
    if path.suffix == ".parquet":
        with engine(layout.work) as connection:
            encrypted = encryption.is_encrypted(path)
            rows = encryption.rows(connection, layout, path) if encrypted else literal(path)
            return rows_with(connection, rows, pattern)
    if path.suffix == ".duckdb":
        with engine(layout.work) as connection:
            connection.execute(f"ATTACH {literal(path)} AS swept (READ_ONLY)")
            tables = connection.sql(
                "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'swept'"
            ).fetchall()
            return sum(
                rows_with(connection, f"swept.{identifier(s)}.{identifier(t)}", pattern)
                for s, t in tables
            )
    return 0


def scan(
    layout: Layout, subject: Subject, pattern: str, leave_out: Path | None = None
) -> dict[str, int]:
    """Hits by place; a place without a hit is not named.

    Args:
        pattern: everything that means the person, pseudonyms included. The access log alone may
            keep pseudonyms: it proves who saw what, and without the vault's entry they lead to
            nobody.
        leave_out: the folder of the work list that the search itself is made from.
    """
    found: Counter[str] = Counter()
    for relative, path in files(layout):
        if leave_out is not None and path.is_relative_to(leave_out):
            continue
        place = place_of(relative)
        meant = subject.pattern if place and place.name == "access log" else pattern
        compiled = re.compile(meant.encode())
        # A file name is data, too.
        named = bool(compiled.search(relative.encode()))
        hits = text_with(layout, path, compiled) + _inside(layout, path, meant) + named
        if hits:
            found[place.name if place else "not on the list"] += hits
    return dict(found)
