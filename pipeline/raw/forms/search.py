"""Does a delivered file name somebody, however it is written?

An erasure removes the deliveries that do, and its verification asks again. Bytes alone would not
show: a compressed file, a workbook or another encoding hides what it holds. So everything that can
be opened is opened, and searched in every encoding that its bytes allow. What cannot be opened
(encrypted, damaged, of an unknown kind) may name anybody, and counts as if it did.
"""

from __future__ import annotations

import gzip
import html
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.raw.forms.kinds import MAGIC_BYTES, Container, container_of

CHUNK = 1 << 20  # bytes; a multiple of four, so that UTF-16 and UTF-32 stay aligned
OVERLAP = 1 << 12  # bytes; longer than anything that is searched for
DEEPEST = 4  # archives in archives
LONGEST = 1 << 38  # bytes in one file; more is a decompression bomb
ONE_BYTE = ("cp1252", "mac-roman", "cp850", "cp1250", "cp1251", "cp1253", "cp1254", "gb18030")
WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
JSON_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
CANNOT_BE_OPENED = (
    OSError,
    EOFError,
    RuntimeError,  # encrypted, or an unknown method of compression
    ValueError,
    zlib.error,
    zipfile.BadZipFile,
    pa.ArrowException,
)


def names(stream: BinaryIO, pattern: str, depth: int = 0) -> bool:
    """Does a file match a pattern, or can it not be opened?

    Args:
        stream: at its beginning; of a workbook, an archive or Parquet one that can be sought in.
        depth: in how many archives it is.
    """
    kind = container_of(stream.read(MAGIC_BYTES))
    stream.seek(0)
    if depth > DEEPEST or kind is Container.OPAQUE:
        return True
    if kind is Container.NONE:
        return _in_text(stream, pattern)
    try:
        # A container has names of files and remarks around what it contains.
        if _in_bytes(stream, pattern):
            return True
        stream.seek(0)
        return _inside(stream, kind, pattern, depth)
    except CANNOT_BE_OPENED:
        # A magic number alone makes no archive: a text may begin so.
        return True


def _inside(stream: BinaryIO, kind: Container, pattern: str, depth: int) -> bool:
    """As `names`, of a container; raises CANNOT_BE_OPENED."""
    match kind:
        case Container.GZIP:
            with gzip.open(stream) as opened:
                return names(io.BufferedReader(opened), pattern, depth + 1)
        case Container.ZSTD:
            return _in_zstd(stream, pattern, depth)
        case Container.ZIP:
            return _in_zip(stream, pattern, depth)
        case Container.OLE:
            return _in_workbook(stream, pattern)
        case Container.PARQUET:
            return _in_parquet(stream, pattern)
    return _in_text(stream, pattern)


def _in_text(stream: BinaryIO, pattern: str) -> bool:
    sought, tail, size = re.compile(pattern), b"", 0
    while chunk := stream.read(CHUNK):
        data = tail + chunk
        if any(sought.search(text) for text in readings(data)):
            return True
        tail, size = data[-OVERLAP:], size + len(chunk)
        if size > LONGEST:
            return True
    return False


def _in_bytes(stream: BinaryIO, pattern: str) -> bool:
    sought, tail = re.compile(pattern.encode()), b""
    while chunk := stream.read(CHUNK):
        if sought.search(tail + chunk):
            return True
        tail = chunk[-OVERLAP:]
    return False


def readings(data: bytes) -> Iterator[str]:
    """The texts that some bytes can be: in their encodings, and with their escapes resolved."""
    text = data.decode("utf-8", "replace")
    yield text
    if "\ufffd" in text:
        yield from (data.decode(encoding, "replace") for encoding in ONE_BYTE)
    if b"\0" in data:
        yield from (data.decode(encoding, "replace") for encoding in WIDE)
    if "&" in text or "\\u" in text:
        yield JSON_ESCAPE.sub(lambda found: chr(int(found[1], 16)), html.unescape(text))


def _in_zstd(stream: BinaryIO, pattern: str, depth: int) -> bool:
    with pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd") as opened:
        head = opened.read(MAGIC_BYTES)
        if container_of(head) is not Container.NONE:
            return True  # an archive in an archive, which cannot be sought in
        return _in_text(io.BufferedReader(_Joined(head, opened)), pattern)


class _Joined(io.RawIOBase):
    """What has been read of a stream, and the rest of it."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._head[: len(buffer)] or self._rest.read(len(buffer))
        self._head = self._head[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


def _in_zip(stream: BinaryIO, pattern: str, depth: int) -> bool:
    """In a member or its name; of a workbook, also in its cells, as its text may be in pieces."""
    with zipfile.ZipFile(stream) as archive:
        members = archive.namelist()
        if re.search(pattern, "\n".join(members)):
            return True
        for member in members:
            with archive.open(member) as opened:
                if names(opened, pattern, depth + 1):  # type: ignore[arg-type]
                    return True
    stream.seek(0)
    return _is_workbook(members) and _in_workbook(stream, pattern)


def _is_workbook(members: list[str]) -> bool:
    return "content.xml" in members or any(name.startswith("xl/") for name in members)


def _in_workbook(stream: BinaryIO, pattern: str) -> bool:
    from pipeline.raw.forms.workbooks import texts

    sought = re.compile(pattern)
    return any(sought.search(text) for text in texts(stream.read()))


def _in_parquet(stream: BinaryIO, pattern: str) -> bool:
    try:
        table = pq.read_table(stream)
    except pa.ArrowInvalid:
        # A name alone makes no Parquet file.
        stream.seek(0)
        return _in_text(stream, pattern)
    return any(
        pc.any(pc.match_substring_regex(column.cast(pa.string()), pattern)).as_py()
        for column in table.columns
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    )
