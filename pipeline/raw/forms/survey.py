"""One pass over a delivered file: its hash, and what has to be known of its bytes to read it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

CHUNK = 1 << 19  # bytes; a line of a megabyte fills at least one chunk
HEAD = 1 << 18  # bytes
SAMPLE = 1 << 16  # bytes


@dataclass(frozen=True)
class Survey:
    """What a file's bytes are like.

    Attributes:
        head: its first bytes.
        multibyte: are there characters of several bytes, as UTF-8 writes them?
        undecodable: bytes that are no UTF-8.
        around: some of the text with bytes that are no UTF-8.
        nul: is there a byte of zero?
        line_ends: those there are, of `\\n`, `\\r\\n` and `\\r`.
        long_lines: may a line be longer than a megabyte?
    """

    sha256: str
    size: int
    head: bytes
    multibyte: bool
    undecodable: int
    around: bytes
    nul: bool
    line_ends: frozenset[str]
    long_lines: bool

    @property
    def is_whole(self) -> bool:
        """Is the head the whole file?"""
        return self.size == len(self.head)


class _LineEnds:
    """Which line ends there are, chunk by chunk."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._open = False  # the last chunk ended in \r

    def add(self, chunk: bytes) -> None:
        pair_before = self._open and chunk.startswith(b"\n")
        if self._open:
            self.found.add("\r\n" if pair_before else "\r")
        self._open = chunk.endswith(b"\r")
        pairs = 0
        if b"\r" in chunk:
            data = np.frombuffer(chunk, dtype=np.uint8)
            returns = np.flatnonzero(data == ord("\r"))[: -1 if self._open else None]
            pairs = int((data[returns + 1] == ord("\n")).sum())
            self.found |= ({"\r\n"} if pairs else set()) | (
                {"\r"} if len(returns) > pairs else set()
            )
        if chunk.count(b"\n") > pairs + pair_before:
            self.found.add("\n")

    def end(self) -> frozenset[str]:
        return frozenset(self.found | ({"\r"} if self._open else set()))


class _Utf8:
    """How much of the bytes is UTF-8, chunk by chunk. Plain ASCII costs one look."""

    def __init__(self) -> None:
        self.multibyte = False
        self.undecodable = 0
        self.around = b""
        self._rest = b""

    def add(self, chunk: bytes, *, last: bool = False) -> None:
        if chunk.isascii() and not self._rest:
            return
        data = self._rest + chunk
        end = len(data) if last else len(data) - _begun(data)
        whole, self._rest = data[:end], data[end:]
        if _is_utf8(whole):
            self.multibyte = self.multibyte or not whole.isascii()
        else:
            self._note(whole)

    def _note(self, data: bytes) -> None:
        text = data.decode("utf-8", "ignore")
        self.multibyte = self.multibyte or not text.isascii()
        self.undecodable += len(data) - len(text.encode())
        if len(self.around) < SAMPLE:
            self.around += b"\n".join(x for x in data.splitlines() if not x.isascii())[:SAMPLE]


def _is_utf8(data: bytes) -> bool:
    """Arrow looks at many bytes at once, and makes no text of them."""
    ends = np.array([0, len(data)], dtype=np.int32)
    try:
        pa.StringArray.from_buffers(1, pa.py_buffer(ends), pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _begun(data: bytes) -> int:
    """How many bytes at the end begin a character that is not whole."""
    for at in range(1, min(3, len(data)) + 1):
        byte = data[-at]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return at if length > at else 0
        if byte < 0x80:
            break
    return 0


def of_stream(stream: BinaryIO) -> Survey:
    """Survey a stream from where it is to its end."""
    hasher, ends, utf8 = hashlib.sha256(), _LineEnds(), _Utf8()
    head, size, nul, long_lines = b"", 0, False, False
    while chunk := stream.read(CHUNK):
        hasher.update(chunk)
        if len(head) < HEAD:
            head += chunk[: HEAD - len(head)]
        size += len(chunk)
        nul = nul or b"\0" in chunk
        long_lines = long_lines or (
            len(chunk) == CHUNK and b"\n" not in chunk and b"\r" not in chunk
        )
        ends.add(chunk)
        utf8.add(chunk)
    utf8.add(b"", last=True)
    return Survey(
        hasher.hexdigest(),
        size,
        head,
        utf8.multibyte,
        utf8.undecodable,
        utf8.around,
        nul,
        ends.end(),
        long_lines,
    )


def of_file(path: Path) -> Survey:
    """Survey a file."""
    with path.open("rb") as stream:
        return of_stream(stream)
