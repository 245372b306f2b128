"""Delimited and other text as readers read it: UTF-8, one kind of line end, nothing below the rows.

A file that is so already is read where it lies. Any other is copied once, as a stream, with as many
lines, so that the numbers of rejected lines are those of the delivered file.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from pipeline.policy.form import Form
from pipeline.raw.forms import detect, encodings
from pipeline.raw.forms.detect import Header
from pipeline.raw.forms.encodings import UTF8
from pipeline.raw.forms.readable import Readable, Table
from pipeline.raw.forms.survey import Survey
from pipeline.raw.readers.base import MalformedFile

MAX_HEADER = 64 * 1024  # characters
TAIL = 1 << 20  # bytes; the lines of a footer
# Many systems call such a page .xls, since Excel opens it.
MARKUP = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\0]*<[\0]*[a-zA-Z!?]")
EMPTY = b" \t\r;,|\"'"  # what an empty line may consist of


def plain_text(path: Path, name: str, found: Survey, form: Form, copy: Path) -> Readable:
    """A text that is no table, such as statements, in UTF-8.

    Args:
        copy: where to write it, if it has to be written anew.

    Raises:
        MalformedFile: the encoding cannot be known.
    """
    encoding = encodings.encoding_of(found, form.encoding, name)
    used: dict[str, object] = {"encoding": encodings.named(encoding)}
    if encoding == UTF8 and not found.nul:
        return Readable(path, name, used=used)
    with path.open("rb") as stream, copy.open("xb") as out:
        _write(encodings.decoded(stream, encoding), out)
    return Readable(copy, name, used=used)


def delimited(
    path: Path, name: str, found: Survey, form: Form, known: Collection[str], copy: Path
) -> Readable:
    """A table of delimited text; arguments as `plain_text`.

    Args:
        known: columns that are expected, by `pipeline.policy.fields.plain`.

    Raises:
        MalformedFile: there is no header, or encoding or delimiter cannot be known.
    """
    encoding = encodings.encoding_of(found, form.encoding, name)
    head = beginning(found, name, form)
    if len(head) == MAX_HEADER and "\n" not in head:
        raise MalformedFile(f"{name}, line 1: no header ends within {MAX_HEADER:,} characters")
    if MARKUP.match(found.head):
        raise MalformedFile(
            f"{name}: it is a page of HTML or XML, and no table of text; open it in a spreadsheet "
            "program, save it as CSV or xlsx, and deliver that file"
        )
    header = detect.find_header(head, form, known, name)
    columns, unnamed = detect.column_names(header, name)
    table = Table(
        columns,
        delimiter=header.delimiter,
        quote=form.quote_mark,
        escape=form.escape_mark,
        skip=header.line - 1,
        unnamed=unnamed,
        nulls=form.null_texts,
    )
    used: dict[str, object] = {
        "encoding": encodings.named(encoding),
        "delimiter": header.delimiter,
        "header_line": header.line,
        **form.used_footer,
    }
    if _is_plain(found, encoding, form, header):
        return Readable(path, name, table, used)
    with path.open("rb") as stream, copy.open("xb") as out:
        _write(_lines(encodings.decoded(stream, encoding), found, header.line - 1), out)
    cut_footer(copy, form.footer, header.line)
    return Readable(copy, name, table, used)


def _is_plain(found: Survey, encoding: str, form: Form, header: Header) -> bool:
    """Can DuckDB read the file as it was delivered? Above the header, a quotation mark would
    open a field; behind a byte order mark, a header of several lines would be a row."""
    several_lines = any("\n" in cell for cell in header.cells)
    return (
        encoding == UTF8
        and len(found.line_ends) <= 1
        and not (found.nul or found.long_lines or form.footer)
        and (header.line == 1 or b'"' not in found.head)
        and not (several_lines and encodings.by_mark(found.head))
    )


def beginning(found: Survey, name: str, form: Form) -> str:
    """The first whole lines of a file; of an endless one its beginning.

    Raises:
        MalformedFile: it is empty, or its encoding cannot be known.
    """
    encoding = encodings.encoding_of(found, form.encoding, name)
    pieces = encodings.decoded(io.BytesIO(found.head), encoding)
    text = "".join(encodings.even_line_ends(pieces, found.line_ends))[:MAX_HEADER]
    if not text.strip():
        raise MalformedFile(f"{name}, line 1: empty file")
    if found.is_whole and len(text) < MAX_HEADER:
        return text
    return text[: text.rfind("\n") + 1] or text


def _lines(texts: Iterable[str], found: Survey, above: int) -> Iterator[str]:
    even = encodings.even_line_ends(texts, found.line_ends)
    cut = encodings.without_long_lines(even) if found.long_lines else even
    return _blanked(cut, above)


def _blanked(texts: Iterable[str], above: int) -> Iterator[str]:
    """The text with so many lines at its beginning made empty."""
    left = above
    for text in texts:
        while left and "\n" in text:
            text, left = text[text.index("\n") + 1 :], left - 1
            yield "\n"
        if not left:
            yield text


def _write(texts: Iterable[str], out: io.BufferedIOBase | io.BufferedWriter) -> None:
    for text in texts:
        out.write(encodings.as_utf8(text))


def cut_footer(path: Path, lines: int, header_line: int) -> None:
    """Remove lines from the end of a file, but not its header; empty ones do not count."""
    if not lines:
        return
    with path.open("r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        start = stream.seek(max(0, size - TAIL))
        kept = stream.read().split(b"\n")
        least = 0 if start else header_line
        for left in range(lines, -1, -1):
            while len(kept) > least and not kept[-1].strip(EMPTY):
                kept.pop()
            if left and len(kept) > least:
                kept.pop()
        stream.seek(start)
        stream.truncate()
        stream.write(b"".join(line + b"\n" for line in kept))
