"""One pass over a delivered file: its hash, and what has to be known of its bytes to read it."""

from __future__ import annotations

import codecs
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 19  # bytes; a line of a megabyte fills at least one chunk
HEAD = 1 << 18  # bytes
SAMPLE = 1 << 16  # bytes


@dataclass(frozen=True)
class Survey:
    """What a file's bytes are like.

    Attributes:
        head: its first bytes.
        multibyte: bytes that UTF-8 adds to the first one of a character.
        undecodable: bytes that are no UTF-8.
        around: some of the text with bytes that are no UTF-8.
        nul: is there a byte of zero?
        line_ends: those there are, of `\\n`, `\\r\\n` and `\\r`.
        long_lines: may a line be longer than a megabyte?
    """

    sha256: str
    size: int
    head: bytes
    multibyte: int
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
        if self._open and not chunk.startswith(b"\n"):
            self.found.add("\r")
        if b"\r" not in chunk and not self._open:
            if b"\n" in chunk:
                self.found.add("\n")
            return
        text = b"\r" + chunk if self._open else chunk
        self._open = text.endswith(b"\r")
        pairs, single = text.count(b"\r\n"), text.count(b"\r") - self._open
        self.found |= {
            name
            for name, n in (
                ("\r\n", pairs),
                ("\r", single - pairs),
                ("\n", text.count(b"\n") - pairs),
            )
            if n
        }

    def end(self) -> frozenset[str]:
        return frozenset(self.found | ({"\r"} if self._open else set()))


class _Utf8:
    """How much of the bytes is UTF-8, chunk by chunk. Plain ASCII costs one look."""

    def __init__(self) -> None:
        self.multibyte = self.undecodable = 0
        self.around = b""
        self._rest = b""

    def add(self, chunk: bytes, *, last: bool = False) -> None:
        if chunk.isascii() and not self._rest:
            return
        data = self._rest + chunk
        try:
            text, used = codecs.utf_8_decode(data, "strict", last)
            good = used
        except UnicodeDecodeError:
            text, used = codecs.utf_8_decode(data, "ignore", last)
            good = len(text.encode())
            self._note(data[:used], used - good)
        self.multibyte += good - len(text)
        self._rest = data[used:]

    def _note(self, data: bytes, undecodable: int) -> None:
        self.undecodable += undecodable
        if len(self.around) < SAMPLE:
            self.around += b"\n".join(x for x in data.splitlines() if not x.isascii())[:SAMPLE]


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
