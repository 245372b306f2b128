"""The encoding of a text file, and its text as a stream of UTF-8.

A byte order mark decides, then zero bytes as UTF-16 has them, then whether it is UTF-8. What is
none of these is Windows-1252 (with Latin-1 in it) if its letters make words of it; anything else
has to be declared, since Mac, DOS, Eastern European and Cyrillic bytes differ in their meaning
only.

What cannot be decoded goes on as a byte that is no UTF-8, so that DuckDB rejects its line under the
line's own number.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from pipeline.raw.forms.survey import Survey
from pipeline.raw.readers.base import MalformedFile

UTF8 = "utf-8"
MARKS = (
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins like the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
WESTERN = "cp1252"
# Windows-1252 writes letters of Western Europe so, and signs between words or behind them.
HIGH = rb"[\xc0-\xd6\xd8-\xf6\xf8-\xfd]"
WESTERN_WORD = re.compile(rb"[A-Za-z]" + HIGH + rb"|" + HIGH + rb"[A-Za-z]")
DAMAGE = b"\xfe\xff"  # rather than letters
# In no Western word: a sign between two letters or a rare letter behind one (but French has oe in
# one sign), three such letters in a row, and bytes without a meaning.
FOREIGN_WORD = re.compile(
    rb"[A-Za-z](?:[\x80-\x91\x93-\x95\x97-\x9b\xa1-\xa9\xab\xac\xaf-\xb3\xb5\xb6\xb8\xb9\xbb-\xbf]"
    rb"[A-Za-z]|[\x83\x86-\x8a\x8e\x98\x9a\x9e\x9f]|\x9c(?![ui]))"
    rb"|" + HIGH + rb"{3}|[\x81\x8d\x8f\x90\x9d]"
)
# Latin-1 has controls where Windows has signs; nobody writes those.
SAME = {"iso8859-1": WESTERN, "utf-8-sig": UTF8}
BAD = "\udcff"  # becomes a byte that no UTF-8 has
READ = 1 << 20  # bytes
LONGEST_LINE = 1_000_000  # characters; the tabular readers reject longer ones


def _marked(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return BAD, error.end


codecs.register_error("milestones-mark", _marked)


def named(encoding: str) -> str:
    """An encoding as people call it."""
    return {"cp1252": "windows-1252", "mac-roman": "macintosh"}.get(encoding, encoding)


def by_mark(head: bytes) -> str | None:
    """The encoding that a byte order mark shows."""
    return next((name for mark, name in MARKS if head.startswith(mark)), None)


def _by_zeros(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: Western text has a zero byte in every other place."""
    head = head[: len(head) // 4 * 4]
    full = [len(head[at::4].replace(b"\0", b"")) * 8 > len(head) for at in range(4)]
    return {
        (True, False, True, False): "utf-16-le",
        (False, True, False, True): "utf-16-be",
        (True, False, False, False): "utf-32-le",
        (False, False, False, True): "utf-32-be",
    }.get((full[0], full[1], full[2], full[3]))


def encoding_of(found: Survey, declared: str | None, name: str) -> str:
    """The encoding to read a file in.

    Raises:
        MalformedFile: it cannot be found out, or what is declared contradicts the file.
    """
    seen = by_mark(found.head) or (_by_zeros(found.head) if found.nul else None)
    if declared is not None:
        return _declared(found, declared, seen, name)
    if seen is not None:
        return seen
    if not found.undecodable or found.multibyte:
        # Some damaged lines make no other encoding of it; they are set aside one by one.
        return UTF8
    if found.around.translate(None, DAMAGE).isascii():
        return UTF8
    if WESTERN_WORD.search(found.around) and not FOREIGN_WORD.search(found.around):
        return WESTERN
    raise MalformedFile(
        f"{name}: it is not UTF-8, and cannot be known for Windows-1252. Set form.encoding of its "
        "source in data_map.yaml, for example windows-1252, macintosh, cp850, iso-8859-2"
    )


def _declared(found: Survey, declared: str, seen: str | None, name: str) -> str:
    wide = declared.startswith(("utf-16", "utf-32"))
    utf8 = UTF8 if found.multibyte and not found.undecodable else None
    is_in = seen or utf8 or ("an encoding without zero bytes" if wide else None)
    if is_in is not None and not is_in.startswith(declared.removesuffix("-sig")):
        raise MalformedFile(
            f"{name}: form.encoding says {named(declared)}, but the file is in {is_in}; correct "
            "form.encoding of its source in data_map.yaml, or leave it out"
        )
    return seen or SAME.get(declared, declared)


def decoded(stream: BinaryIO, encoding: str) -> Iterator[str]:
    """The text of a stream, without a byte order mark, piece by piece. What cannot be decoded is
    BAD, and so is a zero byte."""
    decoder = codecs.getincrementaldecoder(encoding)("milestones-mark")
    first = True
    while True:
        chunk = stream.read(READ)
        text = decoder.decode(chunk, final=not chunk)
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        if text:
            yield text.replace("\0", BAD) if "\0" in text else text
        if not chunk:
            return


def even_line_ends(texts: Iterable[str], line_ends: frozenset[str]) -> Iterator[str]:
    """The text with one kind of line end, and as many lines. A \\r in the midst of other line ends
    is a blank, since editors and DuckDB count no line there."""
    alone = "\n" if line_ends == {"\r"} else " "
    rest = ""
    for piece in texts:
        text = rest + piece
        rest = "\r" if text.endswith("\r") else ""
        text = text.removesuffix(rest)
        yield text.replace("\r\n", "\n").replace("\r", alone) if "\r" in text else text
    if rest:
        yield alone


def without_long_lines(texts: Iterable[str]) -> Iterator[str]:
    """The text with what a line has beyond the longest length left out, and marked as BAD; DuckDB
    would lose a line of tens of megabytes without a word. Needs even line ends."""
    length = 0
    for text in texts:
        kept = []
        for at, part in enumerate(text.split("\n")):
            length = 0 if at else length
            end = "\n" if at else ""
            kept.append(end + (part if length + len(part) <= LONGEST_LINE else _cut(length)))
            length += len(part)
        yield "".join(kept)


def _cut(length: int) -> str:
    """Stands for the rest of a line that is too long; once."""
    return BAD if length <= LONGEST_LINE else ""


def as_utf8(text: str) -> bytes:
    """UTF-8, in which BAD is a byte that no UTF-8 has."""
    return text.encode(UTF8, "surrogateescape")
