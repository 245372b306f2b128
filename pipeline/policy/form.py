"""How a source writes its files: what the data map declares where detection must not decide.

The keys stand under `form` of a source in data_map.yaml. Where nothing is declared, the encoding,
the delimiter and the header's line are found out from the file (pipeline/raw/forms/detect.py).
"""

from __future__ import annotations

import codecs
import datetime as dt
from itertools import permutations
from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.policy.base import Strict

EXCEL = "excel"  # among the forms of dates: days since the end of 1899, as workbooks count them
NO_QUOTES = "none"
# Codecs of Python that are no encoding of a file.
NO_ENCODINGS = frozenset(
    {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}
)
# Shows whether two forms read one text as two dates.
PROBE = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)


def _is_encoding(name: str) -> str:
    try:
        found = codecs.lookup(name)
        "a".encode(name)  # refuses what makes no text, such as base64
    except (LookupError, UnicodeError):
        found = None
    if found is None or found.name.replace("_", "-") in NO_ENCODINGS:
        raise ValueError(
            "not an encoding; allowed are the names of Python, such as utf-8, utf-16, "
            "windows-1252, iso-8859-15, macintosh"
        )
    return found.name


def _is_delimiter(text: str) -> str:
    text = {"tab": "\t"}.get(text, text)
    if not 1 <= len(text) <= 4 or not text.isascii() or set(text) & set("\r\n\"'"):
        raise ValueError("allowed are one to four ASCII characters that are no quotes, or `tab`")
    if text.isalnum() or text in (".", "-"):
        raise ValueError(
            "a letter, a digit, a point or a hyphen stands in values and cannot part them"
        )
    return text


def _is_mark(allowed: str, *words: str) -> AfterValidator:
    def check(text: str) -> str:
        if (len(text) == 1 and text in allowed) or text in words:
            return text
        shown = ", ".join([*(f"`{one}`" for one in allowed), *words])
        raise ValueError(f"allowed are {shown}")

    return AfterValidator(check)


def _read(text: str, form: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(text, form)
    except ValueError:
        return None


def _are_dates(forms: tuple[str, ...]) -> tuple[str, ...]:
    """Forms of which no two read one text as different dates."""
    written = {form: PROBE.strftime(form) for form in forms if form != EXCEL}
    for form, text in written.items():
        if form == text or _read(text, form) is None:
            raise ValueError(
                f"`{form}` is no form of a date; allowed are `{EXCEL}` and what strptime reads, "
                "such as %d.%m.%Y or %m/%d/%Y %I:%M %p"
            )
    for one, other in permutations(written, 2):
        found = _read(written[one], other)
        if found is not None and found != _read(written[one], one):
            raise ValueError(
                f"`{one}` and `{other}` read one text as two dates; leave one of them out"
            )
    return forms


class Form(Strict):
    """How a source writes its files.

    Attributes:
        encoding: of text files.
        delimiter: between the fields of a line, or `tab`.
        quote: around fields; `none` where quotation marks are part of the values.
        escape: before a quotation mark inside a field; by default it is written twice.
        header_line: the line of the column names, from 1; what stands above it is left out. In a
            workbook the row.
        footer: how many lines at the end are totals or remarks, and no rows.
        decimal: the mark between whole and decimal places; the other one parts thousands.
        dates: forms of its dates, as strptime has them or `excel`, tried in this order. ISO 8601 is
            understood in any case.
        nulls: texts that stand where there is no value, in upper or lower case.
        sheet: of a workbook; by default the first one that is visible and not empty.
    """

    encoding: Annotated[str, AfterValidator(_is_encoding)] | None = None
    delimiter: Annotated[str, AfterValidator(_is_delimiter)] | None = None
    quote: Annotated[str, _is_mark("\"'", NO_QUOTES)] = '"'
    escape: Annotated[str, _is_mark("\\\"'")] | None = None
    header_line: Annotated[int, Field(ge=1, le=1000)] | None = None
    footer: Annotated[int, Field(ge=0, le=1000)] = 0
    decimal: Annotated[str, _is_mark(".,")] = "."
    dates: Annotated[tuple[str, ...], AfterValidator(_are_dates)] = ()
    nulls: tuple[str, ...] = ()
    sheet: str | None = None

    @property
    def null_texts(self) -> tuple[str, ...]:
        """`nulls` in lower case."""
        return tuple(text.lower() for text in self.nulls)

    @property
    def used_footer(self) -> dict[str, object]:
        """For a run's metadata: how many lines were left out, if any."""
        return {"footer": self.footer} if self.footer else {}

    @property
    def quote_mark(self) -> str:
        """The quotation mark; empty if there is none."""
        return "" if self.quote == NO_QUOTES else self.quote

    @property
    def escape_mark(self) -> str:
        """What stands before a quotation mark inside a field."""
        return (self.escape or self.quote_mark) if self.quote_mark else ""
