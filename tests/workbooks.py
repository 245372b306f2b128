"""Workbooks as office programs write them, with typed cells."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape

import xlsxwriter
import xlwt

Cell = str | int | float | bool | dt.datetime | None
Sheets = Mapping[str, Iterable[Sequence[Cell]]]


def typed(text: str) -> Cell:
    """What a program makes of a text that somebody types."""
    if text.isdecimal():
        return int(text)
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return text or None


def table(rows: Sequence[Mapping[str, str]]) -> list[list[Cell]]:
    """A header and its rows."""
    return [[*rows[0]], *([typed(cell) for cell in row.values()] for row in rows)]


def xlsx(sheets: Sheets, hidden: Sequence[str] = (), percentages: str = "") -> bytes:
    """A text that begins with = is a formula; with ==, one without a value.

    Args:
        percentages: the format that numbers with decimals are shown in.
    """
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        days = book.add_format({"num_format": "dd.mm.yyyy"})
        shares = book.add_format({"num_format": percentages} if percentages else {})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            sheet.hide() if name in hidden else sheet.activate()
            for at, row in enumerate(rows):
                for column, cell in enumerate(row):
                    if isinstance(cell, dt.datetime):
                        sheet.write_datetime(at, column, cell, days)
                    elif isinstance(cell, str) and cell.startswith("=="):
                        sheet.write_formula(at, column, cell[1:], None, "")
                    elif isinstance(cell, str) and cell.startswith("="):
                        sheet.write_formula(at, column, cell, None, cell[1:].strip('"'))
                    elif isinstance(cell, float):
                        sheet.write_number(at, column, cell, shares)
                    elif cell is not None:
                        sheet.write(at, column, cell)
    return out.getvalue()


def xls(sheets: Sheets) -> bytes:
    out, book = io.BytesIO(), xlwt.Workbook()
    days = xlwt.easyxf(num_format_str="DD.MM.YYYY")
    for name, rows in sheets.items():
        sheet = book.add_sheet(name)
        for at, row in enumerate(rows):
            for column, cell in enumerate(row):
                style = [days] if isinstance(cell, dt.datetime) else []
                sheet.write(at, column, cell, *style)
    book.save(out)
    return out.getvalue()


def ods(sheets: Sheets) -> bytes:
    tables = "".join(
        f'<table:table table:name="{name}">{"".join(map(_ods_row, rows))}</table:table>'
        for name, rows in sheets.items()
    )
    names = "urn:oasis:names:tc:opendocument:xmlns"
    content = (
        '<?xml version="1.0" encoding="UTF-8"?><office:document-content '
        f'xmlns:office="{names}:office:1.0" xmlns:table="{names}:table:1.0" '
        f'xmlns:text="{names}:text:1.0"><office:body><office:spreadsheet>{tables}'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", content)
        archive.writestr(
            "META-INF/manifest.xml",
            '<?xml version="1.0"?><manifest:manifest '
            f'xmlns:manifest="{names}:manifest:1.0"><manifest:file-entry manifest:full-path="/" '
            'manifest:media-type="application/vnd.oasis.opendocument.spreadsheet"/>'
            "</manifest:manifest>",
        )
    return out.getvalue()


def _ods_row(row: Sequence[Cell]) -> str:
    return f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>"


def _ods_cell(cell: Cell) -> str:
    match cell:
        case None:
            return "<table:table-cell/>"
        case dt.datetime():
            kind = f'office:value-type="date" office:date-value="{cell:%Y-%m-%d}"'
        case int() | float():
            kind = f'office:value-type="float" office:value="{cell}"'
        case _:
            kind = 'office:value-type="string"'
    return f"<table:table-cell {kind}><text:p>{escape(str(cell))}</text:p></table:table-cell>"
