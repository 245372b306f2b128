"""Columns of an xlsx sheet that show percentages: a cell that reads 85% holds 0.85.

What a cell looks like is not among the values that Polars is given, so it is looked up in the parts
of the workbook (ECMA-376 part 1, 18.3.1.4 and 18.8): styles name formats of numbers, cells name
styles.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from pathlib import Path

BUILT_IN = {9, 10}  # 0% and 0.00%
FORMAT = re.compile(rb'<numFmt\s[^>]*?numFmtId="(\d+)"[^>]*?formatCode="([^"]*)"')
STYLES = re.compile(rb"<cellXfs\b.*?</cellXfs>", re.DOTALL)
STYLE = re.compile(rb'<xf\s[^>]*?numFmtId="(\d+)"')
SHEET = re.compile(rb'<sheet\s[^>]*?r:id="([^"]+)"')
PART = re.compile(rb"<Relationship\s[^>]*>")
ATTRIBUTE = re.compile(rb'(\w+)="([^"]*)"')
# The first cell of a row with something in it.
FIRST = re.compile(rb'<row\b[^>]*>(?:<c\b[^>]*/>)*<c r="([A-Z]+)\d+"[^>/]*>')
READ = 1 << 20  # bytes
LONGEST_CELL = 1 << 12  # bytes, up to its value


def columns(path: Path, sheet: int) -> Counter[int]:
    """Position of a column, from the first one that is not empty, to how many of its cells hold a
    number that is shown as a percentage.

    Args:
        path: a workbook that can be opened; if it is no xlsx, nothing is found.
        sheet: its position in the workbook.
    """
    if not zipfile.is_zipfile(path):
        return Counter()
    with zipfile.ZipFile(path) as parts:
        names = parts.namelist()
        if "xl/styles.xml" not in names:
            return Counter()
        styles = _styles(parts.read("xl/styles.xml"))
        part = _part(parts, sheet)
        return _cells(parts, part, styles) if styles and part in names else Counter()


def _styles(text: bytes) -> list[int]:
    """The styles of cells that show percentages, by their positions."""
    formats = BUILT_IN | {int(number) for number, code in FORMAT.findall(text) if b"%" in code}
    listed = STYLES.search(text)
    found = STYLE.findall(listed[0]) if listed else []
    return [at for at, number in enumerate(found) if int(number) in formats]


def _part(parts: zipfile.ZipFile, sheet: int) -> str:
    """The part of a workbook that holds a sheet; empty if that cannot be followed."""
    try:
        wanted = SHEET.findall(parts.read("xl/workbook.xml"))[sheet]
        listed = PART.findall(parts.read("xl/_rels/workbook.xml.rels"))
    except (KeyError, IndexError):
        return ""
    for one in map(dict, map(ATTRIBUTE.findall, listed)):
        if one.get(b"Id") == wanted:
            target = one[b"Target"].decode().lstrip("/")
            return target if target.startswith("xl/") else f"xl/{target}"
    return ""


def _cells(parts: zipfile.ZipFile, part: str, styles: list[int]) -> Counter[int]:
    numbers = "|".join(map(str, styles)).encode()
    cell = re.compile(
        rb'<c r="([A-Z]+)\d+" s="(?:' + numbers + rb')"(?: t="n")?>'
        rb"(?:<f[^>]*>[^<]*</f>|<f[^>]*/>)?<v>"
    )
    found: Counter[int] = Counter()
    first: set[int] = set()
    rest = b""
    with parts.open(part) as stream:
        while chunk := stream.read(READ):
            text = rest + chunk
            first.update(map(_position, FIRST.findall(text)))
            ends = [one.end() for one in cell.finditer(text)]
            found.update(_position(one[1]) for one in cell.finditer(text))
            rest = text[max([len(text) - LONGEST_CELL, *ends[-1:]]) :]
    return Counter({at - min(first, default=0): n for at, n in found.items()})


def _position(letters: bytes) -> int:
    """Of a column: A is 0, AA is 26."""
    at = 0
    for letter in letters:
        at = at * 26 + letter - ord("A") + 1
    return at - 1
