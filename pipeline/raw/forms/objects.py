"""Rows as JSON: an object a line, or one array of objects, each with the columns as its keys.

Values are texts, numbers and truth values; an object or an array inside a row is no table.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import duckdb

from pipeline.policy.data_map import printable
from pipeline.policy.fields import plain
from pipeline.policy.form import Form
from pipeline.raw.forms import detect
from pipeline.raw.forms.detect import Header, Row
from pipeline.raw.forms.readable import Kind, Readable, Table
from pipeline.raw.readers.base import MalformedFile
from pipeline.storage.sql import literal

LARGEST = 16 * 1024 * 1024  # bytes of a row
ROWS = 200  # that the names are compared with
# DuckDB needs a delimiter even for a file of whole lines; text has no such control character.
NO_DELIMITER = "\x1f"


def kind_of(head: str) -> Kind | None:
    """How the rows of a JSON text are written; None if it is none."""
    return {"[": Kind.ARRAY, "{": Kind.LINES}.get(head.lstrip()[:1])


def scan(path: Path, kind: Kind, bad: str = "store_rejects=true, rejects_limit=0") -> str:
    """SQL query: one text column `line`, a row for every object; of lines also what is none.

    Args:
        bad: what becomes of lines that are no text.
    """
    if kind is Kind.ARRAY:
        return (
            f"SELECT CAST(json AS VARCHAR) AS line FROM read_json_objects({literal(path)}, "
            f"format='array', compression='none', maximum_object_size={LARGEST})"
        )
    return (
        f"SELECT line FROM read_csv({literal(path)}, auto_detect=false, header=false, "
        f"delim={literal(NO_DELIMITER)}, quote='', escape='', columns={{'line': 'VARCHAR'}}, "
        f"nullstr='', compression='none', max_line_size=1000000, {bad})"
    )


def value(line: str, key: str) -> str:
    """SQL: the value of a key, as text."""
    return f"{line} ->> {literal('$.' + json.dumps(key, ensure_ascii=False))}"


def is_object(line: str) -> str:
    """SQL: is a line a row?"""
    return f"(CASE WHEN json_valid({line}) THEN json_type({line}) = 'OBJECT' ELSE false END)"


def parsed(rows: str) -> str:
    """SQL query: the rows of `scan` as JSON, without what is no row."""
    # A cast that stands beside the test could be tried before it.
    return (
        f"SELECT j FROM (SELECT CASE WHEN {is_object('line')} THEN line::JSON END AS j "
        f"FROM ({rows})) WHERE j IS NOT NULL"
    )


def rows(file: Readable, kind: Kind, form: Form, known: Collection[str]) -> Readable:
    """A table of JSON objects.

    Raises:
        MalformedFile: it is no valid array, no row is an object, or a value is no plain one.
    """
    header = _header(file, kind, known)
    columns, _ = detect.column_names(header, file.name)
    used = file.used | {"form": "JSON"}
    return Readable(file.path, file.name, Table(columns, kind, nulls=form.null_texts), used)


def _header(file: Readable, kind: Kind, known: Collection[str]) -> Header:
    """The keys of all rows, in the order of the first row, as a header above some rows."""
    objects = f"({parsed(scan(file.path, kind))})"
    shapes = f"SELECT DISTINCT json_structure(j)::VARCHAR FROM {objects}"
    try:
        with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
            found = [json.loads(shape) for (shape,) in connection.execute(shapes).fetchall()]
            first = connection.execute(f"SELECT j::VARCHAR FROM {objects} LIMIT {ROWS}").fetchall()
    except duckdb.Error:
        # The engine's message quotes the text around the fault.
        raise MalformedFile(f"{file.name}: not a valid JSON array of rows") from None
    below = [json.loads(row) for (row,) in first]
    if not below:
        raise MalformedFile(f"{file.name}: no row of it is a JSON object")
    keys = set().union(*(_keys(shape, file.name) for shape in found))
    cells = tuple(dict.fromkeys([*below[0], *sorted(keys)]))
    rows = tuple(_row(at, row, cells) for at, row in enumerate(below, 1))
    return Header("", 1, cells, sum(plain(cell) in known for cell in cells), rows)


def _row(at: int, row: dict[str, object], columns: tuple[str, ...]) -> Row:
    return Row(at, tuple(str(row.get(column) or "") for column in columns))


def _keys(structure: object, name: str) -> set[str]:
    """Of rows of one structure.

    Raises:
        MalformedFile: a key holds an object or an array.
    """
    kinds = structure if isinstance(structure, dict) else {}
    if nested := sorted(key for key, kind in kinds.items() if not isinstance(kind, str)):
        shown = ", ".join(map(printable, nested))
        raise MalformedFile(f"{name}: no table, since these keys hold more than a value: {shown}")
    return set(kinds)
