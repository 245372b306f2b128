"""Scanning the whole data inventory for one person, after the erasure and independently of it.

Every file below the data folder is read as bytes, every store that compresses or is encrypted is
opened and searched column by column, and every delivered file in whatever form it came: bytes of
such data can prove presence, never absence.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import duckdb

from pipeline.raw.forms import search
from pipeline.raw.landing import hits_in
from pipeline.retained.data_inventory import RAW_DELIVERIES, entry_name, files
from pipeline.storage import encryption
from pipeline.storage.engine import count
from pipeline.storage.layout import Layout
from pipeline.storage.sql import identifier, literal
from pipeline.subjects.identity import Subject


def _texts(connection: duckdb.DuckDBPyConnection, relation: str) -> list[str]:
    shape = connection.sql(f"FROM {relation} LIMIT 0")
    kinds = dict(zip(shape.columns, map(str, shape.types), strict=True))
    return [name for name, kind in kinds.items() if "VARCHAR" in kind or kind in ("JSON", "BLOB")]


def rows_with(connection: duckdb.DuckDBPyConnection, relation: str, pattern: str) -> int:
    """Rows in which any text column matches."""
    columns = _texts(connection, relation)
    if not columns:
        return 0
    texts = ", ".join(f"CAST({identifier(name)} AS VARCHAR)" for name in columns)
    # One text a row, so one search; a line break belongs to no word, as the end of a text does.
    text = f"concat_ws(chr(10), {texts})"
    return count(
        connection,
        f"SELECT count(*) FROM {relation} WHERE regexp_matches({text}, {literal(pattern)})",
    )


def bytes_with(path: Path, pattern: re.Pattern[bytes]) -> int:
    """Hits in a file's bytes."""
    with path.open("rb") as stream:
        return hits_in(stream, pattern)


def text_with(layout: Layout, path: Path, pattern: re.Pattern[bytes]) -> int:
    """Hits in the contents of a file; an encrypted text is decrypted."""
    if path.suffix == encryption.TEXT:
        return len(pattern.findall((encryption.read_text(layout, path) or "").encode()))
    return bytes_with(path, pattern)


def delivered_with(path: Path, pattern: str) -> int:
    """Does a delivered file match, however it is written? One that cannot be opened may."""
    with path.open("rb") as stream:
        return int(search.names(stream, pattern))


def _inside(connection: duckdb.DuckDBPyConnection, layout: Layout, path: Path, pattern: str) -> int:
    if path.suffix == ".parquet":
        encrypted = encryption.is_encrypted(path)
        rows = encryption.rows(connection, layout, path) if encrypted else literal(path)
        return rows_with(connection, rows, pattern)
    if path.suffix == ".duckdb":
        connection.execute(f"ATTACH {literal(path)} AS scanned (READ_ONLY)")
        try:
            tables = connection.execute(
                "SELECT schema_name, table_name FROM duckdb_tables() "
                "WHERE database_name = 'scanned'"
            ).fetchall()
            return sum(
                rows_with(connection, f"scanned.{identifier(s)}.{identifier(t)}", pattern)
                for s, t in tables
            )
        finally:
            connection.execute("DETACH scanned")
    return 0


def scan(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    subject: Subject,
    pattern: str,
    leave_out: Path | None = None,
) -> dict[str, int]:
    """Hits per entry of the data inventory; entries without a hit are left out.

    Args:
        pattern: everything that refers to the person, including pseudonyms. Only the access log may
            contain pseudonyms: it proves who saw what, and without the vault's entry they lead to
            nobody.
        leave_out: the folder of the work list that the scan itself is made from.
    """
    found: Counter[str] = Counter()
    for relative, path in files(layout):
        if leave_out is not None and path.is_relative_to(leave_out):
            continue
        entry = entry_name(relative)
        meant = subject.pattern if entry == "access log" else pattern
        compiled = re.compile(meant.encode())
        # A file name is data as well.
        named = bool(compiled.search(relative.encode()))
        hits = named + (
            delivered_with(path, meant)
            if entry == RAW_DELIVERIES
            else text_with(layout, path, compiled) + _inside(connection, layout, path, meant)
        )
        if hits:
            found[entry] += hits
    return dict(found)
