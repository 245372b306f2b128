"""On which line of its file a row stands that is set aside.

The store does not say: DuckDB reads a file in pieces, by several threads, and counts only lines
that it rejects. So when somebody asks, the delivery is read once more, as it was opened then.
"""

from __future__ import annotations

import csv
import datetime as dt
import itertools
import json
from collections.abc import Collection, Iterator
from pathlib import Path

from pipeline.errors import PolicyError
from pipeline.policy.data_map import DataMap
from pipeline.raw import landing, register
from pipeline.raw.deliveries import admitted, content_sha256
from pipeline.raw.forms.readable import Kind, Readable, Table
from pipeline.raw.readers.base import MalformedFile
from pipeline.raw.readers.tabular import MAX_LINE
from pipeline.storage.layout import Layout

Row = tuple[str, str]  # file, raw


def find(
    layout: Layout, data_map: DataMap, delivery: dt.date, rows: Collection[Row]
) -> dict[Row, int]:
    """The line, from 1, on which each row begins, of equal ones the first.

    Left out: rows of what has no lines (workbooks, Parquet, JSON over several lines), and all of a
    delivery that is not as it was read, or not there any more.

    Args:
        rows: name of the file and the row as the store has it, `raw`.
    """
    last = register.latest(register.steps(layout, delivery))
    if not rows or last is None or not landing.is_delivered(layout, delivery):
        return {}
    try:
        with admitted(layout, data_map, delivery) as files:
            if content_sha256(files) != last.sha256:
                return {}
            return {
                (one.file.name, raw): line
                for one in files
                for raw, line in _lines(
                    one.file, {raw for file, raw in rows if file == one.file.name}
                )
            }
    except (PolicyError, MalformedFile, OSError):
        return {}  # it was replaced by what cannot be read, or is out of reach


def _lines(file: Readable, wanted: Collection[str]) -> Iterator[tuple[str, int]]:
    """Those of the wanted rows that are in a file, each with its line."""
    if wanted and file.table is None and file.used.get("form") != "parquet":
        yield from _of_statements(file.path, set(wanted))
    if wanted and file.table is not None and file.table.kind is Kind.DELIMITED:
        yield from _of_text(file.path, file.table, set(wanted))


def _of_statements(path: Path, wanted: set[str]) -> Iterator[tuple[str, int]]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as text:
        for number, line in enumerate(text, 1):
            if (raw := line.rstrip("\r\n")) in wanted:
                wanted.remove(raw)
                yield raw, number


def _of_text(path: Path, table: Table, wanted: set[str]) -> Iterator[tuple[str, int]]:
    """Of delimited text: a value with a line break makes a row of several lines. Behind a quote
    that nothing closes no rows are found; what is asked for is help, and stops nothing."""
    csv.field_size_limit(MAX_LINE)
    # An erasure can have emptied a row.
    of = {tuple(json.loads(raw).values()): raw for raw in wanted if raw}
    doubled = table.escape == table.quote
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        reader = csv.reader(
            itertools.islice(text, table.skip, None),
            delimiter=table.delimiter,
            quotechar=table.quote or None,
            quoting=csv.QUOTE_MINIMAL if table.quote else csv.QUOTE_NONE,
            doublequote=doubled,
            escapechar=None if doubled else table.escape or None,
        )
        begins = 1
        for row in _until_broken(reader):
            values = tuple(value or None for value in row[: len(table.columns)])
            if (raw := of.pop(values, None)) is not None:
                yield raw, table.skip + begins
            if not of:
                return
            begins = reader.line_num + 1


def _until_broken(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from rows
    except csv.Error:
        return  # a value longer than any line may be
