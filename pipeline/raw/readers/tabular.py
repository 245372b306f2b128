"""Tables of columns that the data map names, however they are written (pipeline/raw/forms/).

The header is checked by itself before the body is read. Bad lines of a delimited text (encoding,
too few or too many columns, broken quotes, a line over the limit) are rejected by DuckDB's reader
and stored apart with their line number.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.policy.fields import Source
from pipeline.raw.forms import objects
from pipeline.raw.forms.readable import Kind, Readable, Table
from pipeline.raw.readers.base import MalformedFile
from pipeline.storage.sql import identifier, literal, literals

if TYPE_CHECKING:
    import numpy.typing as npt

MAX_LINE = 1_000_000  # bytes
# DuckDB needs a delimiter even for a file of whole lines; text has no such control character.
NO_DELIMITER = "\x1f"
# Keep delivered columns apart from canonical ones of the same name: as they were delivered, and
# without the blanks around their values.
DELIVERED, STRIPPED = "delivered:", "raw:"
UNNAMED = "unnamed:"
# Of a report with a column for every course: the course, and the cell.
COURSE, CELL = "wide:course", "wide:cell"
READ = 1 << 24  # bytes
LINE_BY_LINE = (
    "SELECT *, parse_filename(file_path) AS file FROM reject_errors "
    "JOIN reject_scans USING (scan_id, file_id)"
)


def _table(file: Readable) -> Table:
    if file.table is None:
        raise MalformedFile(f"{file.name}: it is no table")
    return file.table


def header(file: Readable) -> list[str]:
    """Column names of a table."""
    return list(_table(file).columns)


def scan(file: Readable) -> str:
    """SQL relation: every field as text, as delivered and `stripped`, NULL where there is no value;
    bad lines go to the reject tables."""
    table = _table(file)
    values = ", ".join(f"{_value(name, table)} AS {raw(name)}" for name in table.columns)
    return f"(SELECT *, {values} FROM {_rows(file.path, table)})"


def _value(name: str, table: Table) -> str:
    value = f"stripped({identifier(DELIVERED + name)})"
    if not table.nulls:
        return value
    return f"(CASE WHEN lower({value}) NOT IN ({literals(table.nulls)}) THEN {value} END)"


def _rows(path: Path, table: Table) -> str:
    """SQL relation: every field as delivered, as text."""
    if table.kind is Kind.DELIMITED:
        return _delimited(path, table)
    if table.kind is not Kind.CELLS:
        return _objects(path, table)
    fields = ", ".join(
        f"nullif(CAST({identifier(name)} AS VARCHAR), '') AS {identifier(DELIVERED + name)}"
        for name in table.columns
    )
    return f"(SELECT {fields} FROM read_parquet({literal(path)}))"


def _objects(path: Path, table: Table) -> str:
    fields = ", ".join(
        f"nullif({objects.value('j', name)}, '') AS {identifier(DELIVERED + name)}"
        for name in table.columns
    )
    return f"(SELECT {fields} FROM ({objects.parsed(objects.scan(path, table.kind))}))"


def _delimited(path: Path, table: Table) -> str:
    names = [DELIVERED + name for name in table.columns]
    names += [f"{UNNAMED}{at}" for at in range(table.unnamed)]
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    return (
        f"read_csv({literal(path)}, auto_detect=false, header=true, skip={table.skip}, "
        f"delim={literal(table.delimiter)}, quote={literal(table.quote)}, "
        f"escape={literal(table.escape)}, columns={{{columns}}}, nullstr='', strict_mode=true, "
        f"compression='none', max_line_size={MAX_LINE}, store_rejects=true, rejects_limit=0)"
    )


def line_scan(path: Path) -> str:
    """SQL table function: one column `line`; lines that are not text go to the reject tables."""
    return (
        f"read_csv({literal(path)}, auto_detect=false, header=false, "
        f"delim={literal(NO_DELIMITER)}, quote='', escape='', columns={{'line': 'VARCHAR'}}, "
        f"nullstr='', compression='none', max_line_size={MAX_LINE}, store_rejects=true, "
        "rejects_limit=0)"
    )


def take_rejects(
    connection: duckdb.DuckDBPyConnection, out: Path, files: list[Readable] | None = None
) -> None:
    """Write the lines that DuckDB rejected to <out>.rejects.parquet, one row per line.

    Columns: file, line (BIGINT, from 1), field, rule, raw.

    Args:
        files: what was read, by whose names they go; by default that of their paths, one row being
            one line.
    """
    kinds = {file.table.kind for file in files or () if file.table}
    if kinds & {Kind.CELLS, Kind.ARRAY}:
        return
    rejected = _rejected(connection, files) if files else LINE_BY_LINE
    if files and Kind.LINES in kinds:
        rejected = f"{LINE_BY_LINE} UNION ALL BY NAME {_no_objects(files[0])}"
    connection.execute(
        f"COPY (SELECT file, CAST(line AS BIGINT) AS line, "
        "any_value(column_name) AS field, lower(replace(min(error_type::VARCHAR), ' ', '_')) "
        f"AS rule, any_value(csv_line) AS raw FROM ({rejected}) GROUP BY scan_id, file_id, file, "
        f"line) TO {literal(out.with_suffix('.rejects.parquet'))} (FORMAT parquet)"
    )
    connection.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")


def _no_objects(file: Readable) -> str:
    """SQL: as `_rejected`, the lines that are no row of a table of JSON objects. What DuckDB has
    rejected above them is not counted as a line."""
    lines = objects.scan(file.path, Kind.LINES, "ignore_errors=true")
    return (
        f"SELECT -1 AS scan_id, 0 AS file_id, {literal(file.name)} AS file, line + ("
        "SELECT count(*) FROM (SELECT r.line - row_number() OVER (ORDER BY r.line) + 1 AS above "
        "FROM (SELECT DISTINCT line FROM reject_errors) AS r) WHERE above <= numbered.line"
        ") AS line, csv_line, 'NOT A JSON OBJECT' AS error_type, NULL AS column_name "
        f"FROM (SELECT row_number() OVER () AS line, line AS csv_line FROM ({lines})) AS numbered "
        f"WHERE csv_line IS NOT NULL AND NOT {objects.is_object('csv_line')}"
    )


def _rejected(connection: duckdb.DuckDBPyConnection, files: list[Readable]) -> str:
    """SQL: the rejected rows by the names of their files and the numbers of their lines.

    DuckDB counts rows, and a field can have several lines: so the line ends above a row are
    counted, and those that DuckDB takes for the beginning of the row.
    """
    found = connection.sql(
        "SELECT DISTINCT file_path, line_byte_position FROM reject_errors "
        "JOIN reject_scans USING (scan_id, file_id) WHERE line_byte_position > 0 ORDER BY ALL"
    ).fetchnumpy()
    paths, places = found["file_path"].astype(str), found["line_byte_position"]
    above = np.zeros(len(places), dtype=np.int64)
    names = {str(file.path): file.name for file in files}
    for path in names:
        above[paths == path] = line_ends_before(Path(path), places[paths == path] - 1)
    shown = np.array([names[path] for path in paths], dtype=object)
    counted = {"file_path": paths.astype(object), "line_byte_position": places, "above": above}
    connection.register("line_ends_above", pa.table(counted | {"file": shown}))
    return (
        "SELECT * REPLACE (coalesce(above + 1 + length(regexp_replace(regexp_extract(csv_line, "
        "'^[\r\n]*'), '\r', '', 'g')), line) AS line, "
        "coalesce(file, parse_filename(file_path)) AS file) "
        "FROM reject_errors JOIN reject_scans USING (scan_id, file_id) "
        "LEFT JOIN line_ends_above USING (file_path, line_byte_position)"
    )


def line_ends_before(path: Path, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many lines of a file end before each of some places (bytes from 0, ascending)."""
    counts = np.zeros(len(places), dtype=np.int64)
    start = ended = 0
    with path.open("rb") as stream:
        while start <= max(places, default=-1) and (chunk := stream.read(READ)):
            ends = np.flatnonzero(np.frombuffer(chunk, dtype=np.uint8) == ord("\n"))
            here = (places >= start) & (places < start + len(chunk))
            counts[here] = ended + np.searchsorted(ends, places[here] - start)
            start, ended = start + len(chunk), ended + len(ends)
    counts[places >= start] = ended
    return counts


def raw(column: str) -> str:
    """SQL: a delivered column of `scan`, without the blanks around its values."""
    return identifier(STRIPPED + column)


def as_delivered(file: Readable) -> str:
    """SQL: the whole delivered row as JSON, in the file's own column names."""
    packed = ", ".join(
        f"{identifier(name)} := {identifier(DELIVERED + name)}" for name in header(file)
    )
    return f"to_json(struct_pack({packed}))"


def rows(file: Readable, source: Source) -> str:
    """SQL relation: as `scan`, with a row for every course of a report that has a column for each;
    an empty cell is no record."""
    courses = source.courses(header(file))
    if not courses:
        return scan(file)
    cells = ", ".join(
        f"{{{literal(COURSE)}: {literal(course)}, {literal(CELL)}: {raw(column)}}}"
        for column, course in courses.items()
    )
    return (
        f"(FROM (SELECT *, unnest([{cells}], recursive := true) FROM {scan(file)}) "
        f"WHERE {identifier(CELL)} IS NOT NULL)"
    )


def decimal_mark(file: Readable, source: Source) -> str:
    """What stands before the decimals of a file's numbers: where numbers are no text, a point."""
    return source.form.decimal if _table(file).kind is Kind.DELIMITED else "."


def delivered_columns(file: Readable, source: Source, required: tuple[str, ...]) -> dict[str, str]:
    """Canonical field to the SQL of its column, for the columns that the file has, and of its
    constant for the others.

    Raises:
        MalformedFile: a required field's column is missing.
    """
    table = _table(file)
    present = source.spelled(list(table.columns))
    names = source.delivered()
    given = {field: raw(present[name]) for field, name in names.items() if name in present}
    if source.courses(list(table.columns)):
        given |= {"course_code": identifier(COURSE), source.wide_field: identifier(CELL)}
    given = {field: literal(text) for field, text in source.constants.items()} | given
    missing = [names.get(field, field) for field in required if field not in given]
    if missing:
        shown = ", ".join(identifier(name) for name in missing)
        raise MalformedFile(f"{file.name}, line {table.skip + 1}: missing column {shown}")
    return given
