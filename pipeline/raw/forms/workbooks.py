"""Workbooks (xlsx, xls, ods): their cells as texts, row by row as the sheet has them.

A number comes as people type it (1001, never 1001.0), a date in ISO 8601, a truth value as true or
false, a formula as its stored value.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pipeline.policy.data_map import printable
from pipeline.policy.form import Form
from pipeline.raw.forms import detect, percentages
from pipeline.raw.forms.detect import Header, Row
from pipeline.raw.forms.readable import Kind, Readable, Table
from pipeline.raw.readers.base import MalformedFile

if TYPE_CHECKING:
    import fastexcel
    import polars as pl

LARGEST = 1 << 31  # bytes of its parts, unpacked; a workbook is read as a whole
HEAD = 200  # rows in which a header is searched for
FORMULA_WITHOUT_VALUE = re.compile(rb"<f(?:\s[^>]*)?(?:/>|>[^<]*</f>)(?:<v\s*/>|<v></v>)?</c>")


@contextmanager
def _sealed() -> Iterator[None]:
    """The library's own messages can quote a cell, and what surprises it ends in a panic.

    Raises:
        ValueError: it is no workbook that can be opened.
    """
    import fastexcel

    try:
        yield
    except BaseException as error:
        if isinstance(error, fastexcel.FastExcelError) or type(error).__name__ == "PanicException":
            raise ValueError("not a workbook") from None
        raise


def _opened(source: bytes | str) -> fastexcel.ExcelReader:
    # Loaded here: most commands, and most deliveries, have no workbook.
    import fastexcel

    with _sealed():
        return fastexcel.read_excel(source)


def _rows(book: fastexcel.ExcelReader, at: int) -> tuple[pl.DataFrame, bool]:
    """The rows of a sheet from its first one, as texts, and whether people see the sheet."""
    import polars as pl

    with _sealed():
        sheet = book.load_sheet(at, header_row=None, skip_rows=0, dtypes="string")
        rows = sheet.to_polars() if sheet.width else pl.DataFrame()
    return rows, sheet.visible == "visible"


def texts(data: bytes) -> Iterator[str]:
    """Every row of every sheet, hidden ones too, as one text.

    Raises:
        ValueError: it is no workbook that can be opened.
    """
    book = _opened(data)
    yield "\n".join(book.sheet_names)
    for at in range(len(book.sheet_names)):
        rows, _ = _rows(book, at)
        yield from ("\t".join(cell or "" for cell in row) for row in rows.iter_rows())


def workbook(path: Path, name: str, form: Form, known: Collection[str], copy: Path) -> Readable:
    """A table in a workbook.

    Args:
        known: columns that are expected, by `pipeline.policy.fields.plain`.
        copy: where its rows are written, as Parquet.

    Raises:
        MalformedFile: it cannot be opened, or its sheet or header cannot be known.
    """
    _require_whole(path, name)
    try:
        book = _opened(str(path))
        at, header, rows = _sheet(book, name, form, known)
    except ValueError as error:
        if isinstance(error, MalformedFile):
            raise
        raise MalformedFile(
            f"{name}: the workbook cannot be opened; it is damaged or needs a password"
        ) from None
    columns, _ = detect.column_names(header, name)
    body = _body(rows, header, columns, form, name)
    _with_percentages(body, percentages.columns(path, at), name).write_parquet(copy)
    table = Table(columns, Kind.CELLS, skip=header.line - 1, nulls=form.null_texts)
    used: dict[str, object] = {"form": "workbook", "sheet": at + 1, "header_line": header.line}
    return Readable(copy, name, table, used | form.used_footer)


def _require_whole(path: Path, name: str) -> None:
    """Refuse a workbook that is too large for memory, or whose formulas were never calculated."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as parts:
            if sum(part.file_size for part in parts.infolist()) > LARGEST:
                raise MalformedFile(f"{name}: the workbook is larger than {LARGEST:,} bytes")
            sheets = [one for one in parts.namelist() if one.startswith("xl/worksheets/")]
            for sheet in sheets:
                with parts.open(sheet) as stream:
                    _require_values(stream, name)
    except (OSError, RuntimeError, zipfile.BadZipFile):
        raise MalformedFile(f"{name}: the workbook is damaged") from None


def _require_values(stream: IO[bytes], name: str) -> None:
    tail = b""
    while chunk := stream.read(1 << 20):
        if FORMULA_WITHOUT_VALUE.search(tail + chunk):
            raise MalformedFile(
                f"{name}: it has formulas that were never calculated; open it in a spreadsheet "
                "program, save it, and deliver that file"
            )
        tail = chunk[-(1 << 12) :]


def _sheet(
    book: fastexcel.ExcelReader, name: str, form: Form, known: Collection[str]
) -> tuple[int, Header, pl.DataFrame]:
    """The sheet to read, by its position, with its header and rows."""
    wanted = None if form.sheet is None else form.sheet.strip().casefold()
    names = [one.strip().casefold() for one in book.sheet_names]
    if wanted is not None and wanted not in names:
        raise MalformedFile(f"{name}: it has no sheet of the name that form.sheet gives")
    found = []
    for at in range(len(names)) if wanted is None else [names.index(wanted)]:
        rows, visible = _rows(book, at)
        header = _header(rows, form, known) if visible or wanted is not None else None
        if header is not None:
            found.append((at, header, rows))
    if not found:
        raise MalformedFile(f"{name}: it has no sheet with rows")
    best = max(header.known for _, header, _ in found)
    fits = [one for one in found if one[1].known == best]
    if best and len(fits) > 1:
        raise MalformedFile(
            f"{name}: {len(fits)} sheets have the columns of its source. Set form.sheet of the "
            "source in data_map.yaml, or deliver a file for each"
        )
    return fits[0]


def _header(rows: pl.DataFrame, form: Form, known: Collection[str]) -> Header | None:
    head = [
        Row(at, tuple(cell or "" for cell in cells))
        for at, cells in enumerate(rows.head(max(HEAD, form.header_line or 0)).iter_rows(), 1)
        if any(cells)
    ]
    return detect.header_in(head, "", form, known)


def _body(
    rows: pl.DataFrame, header: Header, columns: tuple[str, ...], form: Form, name: str
) -> pl.DataFrame:
    """The rows below the header that are not empty, without those of the footer."""
    import polars as pl

    below = rows.slice(header.line).filter(pl.any_horizontal(pl.all().str.strip_chars() != ""))
    below = below.head(max(0, below.height - form.footer))
    behind = below.select(pl.nth(range(len(columns), below.width)))
    if behind.width and behind.select(pl.all_horizontal(pl.all().is_null().all())).item() is False:
        raise MalformedFile(f"{name}, row {header.line}: a column has no name")
    return below.select(pl.nth(range(len(columns)))).rename(
        dict(zip(below.columns, columns, strict=False))
    )


def _with_percentages(rows: pl.DataFrame, shown: Mapping[int, int], name: str) -> pl.DataFrame:
    """The rows with numbers as the sheet shows them, 85% for 0.85.

    Args:
        shown: position of a column to how many of its numbers are shown as percentages.

    Raises:
        MalformedFile: a column has percentages and other numbers, which nobody could tell apart.
    """
    import polars as pl

    for at, column in enumerate(rows.columns):
        if not shown.get(at):
            continue
        number = pl.col(column).cast(pl.Float64, strict=False)
        if rows.select(number.is_not_null().sum()).item() > shown[at]:
            raise MalformedFile(
                f"{name}: the column {printable(column)} has percentages and other numbers; show "
                "all of its cells alike"
            )
        percent = (number * 100).round(6).cast(pl.String).str.strip_suffix(".0") + "%"
        rows = rows.with_columns(pl.coalesce(percent, pl.col(column)).alias(column))
    return rows
