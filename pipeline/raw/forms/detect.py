"""How a delimited text is written: its delimiter and the line of its header.

The columns that are expected decide: the delimiter and the line under which most of them appear.
Without any of them, the lines decide among themselves. All functions are pure; they are given the
beginning of a file as text (pipeline/raw/forms/encodings.py makes one of its bytes).
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from pipeline.policy.data_map import printable
from pipeline.policy.fields import plain
from pipeline.policy.form import Form
from pipeline.raw.readers import headers
from pipeline.raw.readers.base import MalformedFile

DELIMITERS = (",", ";", "\t", "|")
SEPARATOR_LINE = re.compile(r"[\"']?sep=(.|tab)[\"']?\s*", re.IGNORECASE)  # Excel's own first line
LINES = 100  # how far a header is searched for


@dataclass(frozen=True)
class Row:
    """A line of a text, or the lines of a row with line breaks in its fields.

    Attributes:
        line: its first one, from 1.
    """

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Header:
    """Where the column names of a text stand.

    Attributes:
        line: from 1.
        known: how many of the cells are expected.
        rows: what stands below it, as far as the text goes.
    """

    delimiter: str
    line: int
    cells: tuple[str, ...]
    known: int
    rows: tuple[Row, ...]


def rows_of(text: str, delimiter: str, quote: str = '"', escape: str = '"') -> list[Row]:
    """The rows of a text that is delimited so, without blank lines, up to the first that cannot be
    split."""
    options: dict[str, object] = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    if quote and escape != quote:
        options |= {"doublequote": False, "escapechar": escape}
    if len(delimiter) > 1:
        return _split(text, delimiter)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, **options)  # type: ignore[arg-type]
    rows, line = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(Row(line, tuple(cells)))
            line = reader.line_num + 1
    except csv.Error:
        pass  # a broken row is for the reader of the whole file
    return rows


def _split(text: str, delimiter: str) -> list[Row]:
    lines = enumerate(text.splitlines(), 1)
    return [Row(at, tuple(line.split(delimiter))) for at, line in lines if line.strip()]


def find_header(
    text: str, form: Form, known: Collection[str] = (), name: str = "the file"
) -> Header:
    """The header of a text.

    Args:
        text: the beginning of a file, of whole lines.
        form: what is declared decides.
        known: columns that are expected, by `plain`.
        name: of the file, for messages.

    Raises:
        MalformedFile: there is no line with names, or the delimiter cannot be found out.
    """
    candidates = _candidates(text, form)
    found = [
        header for one in candidates if (header := _header(text, one, form, known)) is not None
    ]
    if not found:
        raise MalformedFile(f"{name}, line {form.header_line or 1}: there is no header")
    best = max(header.known for header in found)
    if not best and form.delimiter is not None:
        _require_no_better(text, form, known, name)
    if best:
        return next(header for header in found if header.known == best)
    return _by_lines(found, name)


def _require_no_better(text: str, form: Form, known: Collection[str], name: str) -> None:
    """Stop where the declared delimiter parts nothing, and another one shows expected columns."""
    free = form.model_copy(update={"delimiter": None})
    others = (_header(text, one, free, known) for one in DELIMITERS)
    if better := [one for one in others if one is not None and one.known]:
        raise MalformedFile(
            f"{name}: its columns are parted by {_shown(better[:1])}; correct form.delimiter of "
            "its source in data_map.yaml, or leave it out"
        )


def _candidates(text: str, form: Form) -> tuple[str, ...]:
    if form.delimiter is not None:
        return (form.delimiter,)
    said = SEPARATOR_LINE.fullmatch(text.split("\n", 1)[0])
    return ({"tab": "\t"}.get(said[1].lower(), said[1]),) if said else DELIMITERS


def _header(text: str, delimiter: str, form: Form, known: Collection[str]) -> Header | None:
    """The header, if the text is delimited so."""
    rows = rows_of(text, delimiter, form.quote_mark, form.escape_mark)
    if rows and SEPARATOR_LINE.fullmatch(delimiter.join(rows[0].cells)):
        rows = rows[1:]
    return header_in(rows, delimiter, form, known)


def header_in(rows: list[Row], delimiter: str, form: Form, known: Collection[str]) -> Header | None:
    """The header among some rows: the declared one, or the first with the most expected columns."""
    if form.header_line is not None:
        rows = [row for row in rows if row.line >= form.header_line]
        rows = rows if rows and rows[0].line == form.header_line else []
    if not rows:
        return None
    counts = [sum(plain(cell) in known for cell in row.cells) for row in rows[:LINES]]
    at = counts.index(max(counts)) if form.header_line is None else 0
    if _hides_rows(rows, at):
        at = 0
    return Header(delimiter, rows[at].line, rows[at].cells, counts[at], tuple(rows[at + 1 :]))


def _hides_rows(rows: list[Row], at: int) -> bool:
    """Would rows be lost above the header? A title or a remark has fewer cells than a row."""
    width = sum(1 for cell in rows[at].cells if cell.strip())
    return any(sum(1 for cell in row.cells if cell.strip()) >= width for row in rows[:at])


def _by_lines(found: list[Header], name: str) -> Header:
    """The one delimiter that parts all lines into as many fields."""
    fits = [one for one in found if len(one.cells) > 1 and _agree(one)]
    if len(fits) > 1:
        raise MalformedFile(
            f"{name}: it cannot be known which of {_shown(fits)} parts its fields. Set "
            "form.delimiter of its source in data_map.yaml"
        )
    several = [one for one in found if len(one.cells) > 1]
    return fits[0] if fits else (several or found)[0]


def _agree(header: Header) -> bool:
    widths = Counter(len(row.cells) for row in header.rows)
    return not widths or widths[len(header.cells)] >= 0.9 * widths.total()


def _shown(found: list[Header]) -> str:
    return " and ".join("a tab" if one.delimiter == "\t" else f"`{one.delimiter}`" for one in found)


def require_names(header: Header, name: str) -> None:
    """Stop before names are shown that are none.

    Raises:
        MalformedFile: the file has no header; without a value.
    """
    below = [row.cells for row in header.rows[: headers.ROWS]]
    if header.known <= len(header.cells) / 2 and (values := headers.values_in(header.cells, below)):
        raise MalformedFile(
            f"{name}, line {header.line}: no header, but values in column "
            f"{', '.join(map(str, values))}. Nothing was written. Deliver the file with the names "
            "of its columns, or set form.header_line of its source in data_map.yaml."
        )


def column_names(header: Header, name: str) -> tuple[tuple[str, ...], int]:
    """The names of a header, and how many empty columns without a name stand behind them.

    Raises:
        MalformedFile: there is no header, a name is missing or there twice, or what has no name is
            not empty.
    """
    require_names(header, name)
    columns = header.cells
    while columns and not columns[-1].strip():
        columns = columns[:-1]
    behind = any(cell.strip() for row in header.rows for cell in row.cells[len(columns) :])
    if (behind and len(columns) < len(header.cells)) or any(not one.strip() for one in columns):
        raise MalformedFile(f"{name}, line {header.line}: a column has no name")
    twice = {one for one in columns if columns.count(one) > 1}
    if twice:
        shown = ", ".join(sorted(printable(one) for one in twice))
        raise MalformedFile(f"{name}, line {header.line}: duplicated column {shown}")
    return columns, len(header.cells) - len(columns)
