"""The access log: append-only, chained by hashes, every entry signed, one segment a day.

A line is link and signature in hexadecimal, a blank, and the body as JSON. The link is SHA-256 over
the line before it (link and signature) and the body, so that an entry cannot be edited, dropped,
swapped or spliced without breaking the chain behind it (Haber & Stornetta 1991; Schneier & Kelsey
1999). The signature is Ed25519 over the link, so that nobody without the key can write an entry. A
segment goes on where the last one ended, and expires as a whole: the rest still verifies, because
the anchor remembers where it ended.

The anchor is a second file, one line an entry (segment, link and signature): it belongs where
who writes the log cannot write (`MILESTONES_ANCHOR`), and shows when the log's end was cut off.
An entry is acknowledged once both files are on the disk.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline import signing
from pipeline.layout import Layout, settle, write_settled

LINK, END = 64, 192  # characters of a link; of a link and a signature
GENESIS = b"0" * END
TAIL = 1 << 13  # bytes that are read to find a file's last line; longer lines read it whole


@dataclass(frozen=True)
class Entry:
    """One line of a segment. `end` is link and signature, of which the next link is made."""

    end: bytes
    body: bytes

    @classmethod
    def parse(cls, line: bytes) -> Entry:
        return cls(line[:END], line[END + 1 :])

    def line(self) -> bytes:
        return self.end + b" " + self.body + b"\n"


def link(before: bytes, body: bytes) -> bytes:
    """The link of an entry behind `before`."""
    return hashlib.sha256(before + b" " + body).hexdigest().encode()


def last_line(path: Path) -> bytes | None:
    """The last whole line of a file; None for none. A torn one at the end was never whole."""
    if not path.exists():
        return None
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - TAIL))
        tail = stream.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        if whole.count(b"\n") < 2 and size > TAIL:
            stream.seek(0)
            tail = stream.read()
            whole = tail[: tail.rfind(b"\n") + 1]
    return whole.splitlines()[-1] if whole else None


def _cut_torn(path: Path) -> None:
    """Remove a line that a crash tore: it was never acknowledged."""
    if path.exists() and path.stat().st_size:
        with path.open("rb+") as stream:
            stream.seek(-1, os.SEEK_END)
            if stream.read() != b"\n":
                stream.seek(0)
                stream.truncate(stream.read().rfind(b"\n") + 1)


def _append(path: Path, line: bytes) -> None:
    fresh = not path.exists()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, line)
        os.fdatasync(handle)
    finally:
        os.close(handle)
    if fresh:
        settle(path.parent)


@lru_cache(maxsize=4)
def _loaded(path: str, changed: int) -> Ed25519PrivateKey:
    return signing.load_private_key(Path(path).read_bytes())


class AccessLog:
    """The log of one data folder. Writers in any number of processes take turns."""

    def __init__(self, layout: Layout) -> None:
        self.folder = layout.vault / "access"
        given = os.environ.get("MILESTONES_ANCHOR")
        self.anchor = Path(given) if given else self.folder / "anchor"
        self.key_path = layout.vault / "access-key.pem"
        self.public_path = layout.vault / "access-key.pub"

    def segments(self) -> list[Path]:
        """All segments, oldest first."""
        if not self.folder.exists():
            return []
        names = (name for name in os.listdir(self.folder) if name.endswith(".log"))
        return [self.folder / name for name in sorted(names)]

    def entries(self) -> Iterator[Entry]:
        """All entries, oldest first; a torn line at the very end is left out."""
        for path in self.segments():
            with path.open("rb") as stream:
                for line in stream:
                    if line.endswith(b"\n"):
                        yield Entry.parse(line[:-1])

    def public_key(self) -> Ed25519PublicKey:
        """What verifies the signatures; hand it to the auditor."""
        return signing.load_public_key(self.public_path.read_bytes())

    def _key(self) -> Ed25519PrivateKey:
        """The signing key; made at the first use."""
        if not self.key_path.exists():
            made = Ed25519PrivateKey.generate()
            write_settled(self.public_path, signing.public_pem(made))
            write_settled(self.key_path, signing.private_pem(made))
        return _loaded(str(self.key_path), self.key_path.stat().st_mtime_ns)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Writers take turns; the operating system lets go of a dead one's lock."""
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def append(self, *bodies: dict[str, object], today: dt.date | None = None) -> None:
        """Write entries; they are on the disk, anchored, when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._alone():
            key = self._key()
            segments = self.segments()
            day = (today or dt.datetime.now(dt.UTC).date()).isoformat()
            # A clock that was set back does not reopen an older segment.
            path = max([self.folder / f"{day}.log", *segments[-1:]])
            _cut_torn(path)
            _cut_torn(self.anchor)
            before = self._end(segments)
            lines, anchored = [], []
            for body in bodies:
                text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
                made = link(before, text)
                before = made + key.sign(made).hex().encode()
                lines.append(Entry(before, text).line())
                anchored.append(path.stem.encode() + b" " + before + b"\n")
            _append(path, b"".join(lines))
            _append(self.anchor, b"".join(anchored))

    def _end(self, segments: list[Path]) -> bytes:
        """What the next entry's link is made from: the last entry, or, where its segment has
        expired, what the anchor remembers of it."""
        for path in reversed(segments):
            line = last_line(path)
            if line is not None:
                return Entry.parse(line).end
        line = last_line(self.anchor)
        if line is None:
            return GENESIS
        return line.split(b" ")[1]

    def expire(self, path: Path) -> None:
        """Remove a whole segment; of its entries the anchor keeps the last one's link only."""
        with self._alone():
            day = path.stem.encode()
            kept: list[bytes] = []
            for line in self.anchor.read_bytes().splitlines():
                if kept and line.startswith(day) and kept[-1].startswith(day):
                    kept.pop()
                kept.append(line)
            write_settled(self.anchor, "".join(line.decode() + "\n" for line in kept))
            path.unlink()
            settle(self.folder)
