"""Strict CSV (RFC 4180, UTF-8) for all sources that deliver it.

The header is checked by itself before the body is read. Bad lines of the body (encoding, too
few or too many columns, broken quotes, a line over the limit) are rejected by DuckDB's reader
and stored apart with their line number.
"""

from __future__ import annotations

import csv
from itertools import islice
from pathlib import Path

import duckdb

from pipeline.policy.data_map import printable
from pipeline.policy.fields import Source
from pipeline.raw.readers import headers
from pipeline.raw.readers.base import MalformedFile
from pipeline.storage.sql import identifier, literal

MAX_HEADER = 64 * 1024  # bytes
MAX_LINE = 1_000_000  # bytes
# DuckDB needs a delimiter even for a file of whole lines; text has no such control character.
NO_DELIMITER = "\x1f"
# Keep delivered columns apart from canonical ones of the same name: as they were delivered, and
# without the blanks around their values.
DELIVERED, STRIPPED = "delivered:", "raw:"


def header(path: Path) -> list[str]:
    """Column names of a CSV file.

    Raises:
        MalformedFile: the file is empty, not UTF-8, has another delimiter, or has duplicated or
            empty column names.
    """
    with path.open("rb") as stream:
        line = stream.readline(MAX_HEADER)
    if not line.strip():
        raise MalformedFile(f"{path.name}, line 1: empty file")
    try:
        names = next(csv.reader([line.decode("utf-8-sig")], strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise MalformedFile(f"{path.name}, line 1: header is not UTF-8 CSV") from None
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise MalformedFile(f"{path.name}, line 1: wrong delimiter, expected a comma")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or any(not name.strip() for name in names):
        require_names(path, names)
        shown = ", ".join(printable(name) for name in twice if name.strip())
        fault = f"duplicated column {shown}" if shown else "a column has no name"
        raise MalformedFile(f"{path.name}, line 1: {fault}")
    return names


def require_names(path: Path, names: list[str]) -> None:
    """Stop before names are shown that are none.

    Raises:
        MalformedFile: the file has no header; without a value.
    """
    with path.open("rb") as stream:
        text = stream.read(MAX_HEADER).decode("utf-8-sig", errors="replace")
    rows = islice(csv.reader(text.splitlines()), 1, headers.ROWS + 1)
    if values := headers.values_in(names, list(rows)):
        raise MalformedFile(
            f"{path.name}, line 1: no header, but values in column {', '.join(map(str, values))}. "
            "Nothing was written. Deliver the file with the names of its columns in the first line."
        )


def csv_scan(path: Path) -> str:
    """SQL relation: every field as text, as delivered and `stripped`; bad lines go to the reject
    tables."""
    names = header(path)
    columns = ", ".join(f"{literal(DELIVERED + name)}: 'VARCHAR'" for name in names)
    values = ", ".join(f"stripped({identifier(DELIVERED + n)}) AS {raw(n)}" for n in names)
    return (
        f"(SELECT *, {values} FROM "
        f"read_csv({literal(path)}, auto_detect=false, header=true, delim=',', quote='\"', "
        f"escape='\"', columns={{{columns}}}, nullstr='', strict_mode=true, "
        f"max_line_size={MAX_LINE}, store_rejects=true, rejects_limit=0))"
    )


def line_scan(path: Path) -> str:
    """SQL table function: one column `line`; lines that are not text go to the reject tables."""
    return (
        f"read_csv({literal(path)}, auto_detect=false, header=false, "
        f"delim={literal(NO_DELIMITER)}, quote='', escape='', columns={{'line': 'VARCHAR'}}, "
        f"nullstr='', max_line_size={MAX_LINE}, store_rejects=true, rejects_limit=0)"
    )


def take_rejects(connection: duckdb.DuckDBPyConnection, out: Path) -> None:
    """Write the lines that DuckDB rejected to <out>.rejects.parquet, one row per line.

    Columns: file, line (BIGINT, from 1), field, rule, raw.
    """
    connection.execute(
        "COPY (SELECT parse_filename(any_value(file_path)) AS file, CAST(line AS BIGINT) AS line, "
        "any_value(column_name) AS field, lower(replace(min(error_type::VARCHAR), ' ', '_')) "
        "AS rule, any_value(csv_line) AS raw FROM reject_errors JOIN reject_scans "
        "USING (scan_id, file_id) GROUP BY scan_id, file_id, line) "
        f"TO {literal(out.with_suffix('.rejects.parquet'))} (FORMAT parquet)"
    )
    connection.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")


def raw(column: str) -> str:
    """SQL: a delivered column of `csv_scan`, without the blanks around its values."""
    return identifier(STRIPPED + column)


def as_delivered(path: Path) -> str:
    """SQL: the whole delivered row as JSON, in the file's own column names."""
    packed = ", ".join(
        f"{identifier(name)} := {identifier(DELIVERED + name)}" for name in header(path)
    )
    return f"to_json(struct_pack({packed}))"


def delivered_columns(path: Path, source: Source, required: tuple[str, ...]) -> dict[str, str]:
    """Canonical field to the SQL of its column, for the columns that the file has.

    Raises:
        MalformedFile: a required field's column is missing.
    """
    present = source.spelled(header(path))
    names = source.delivered()
    missing = [names.get(field, field) for field in required if names.get(field) not in present]
    if missing:
        shown = ", ".join(identifier(name) for name in missing)
        raise MalformedFile(f"{path.name}, line 1: missing column {shown}")
    return {field: raw(present[name]) for field, name in names.items() if name in present}
