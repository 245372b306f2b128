"""The access log: append-only, chained by hashes, every entry signed, one segment a day.

The segments lie in files or in PostgreSQL (pipeline/access/segments.py).

A line is link and signature in hexadecimal, a blank, and the body as JSON. The link is SHA-256 over
the previous line's link and signature and the body, so that an entry cannot be edited, removed,
swapped or inserted without breaking the chain after it (Haber & Stornetta 1991; Schneier & Kelsey
1999). The signature is Ed25519 over the link, so that nobody without the key can write an entry. A
segment continues where the previous one ended, and expires as a whole: the rest still verifies,
because the anchor records where it ended.

The anchor is a second file with one line for each entry (segment, link and signature). It belongs
where the writer of the log has no other write access (`MILESTONES_ANCHOR`), and reveals a log whose
end was cut off. An entry is acknowledged once both files are on the disk.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline.access.segments import Files, Postgres, Segments, append_lines, last_line
from pipeline.keys import signing
from pipeline.settings import settings
from pipeline.storage.files import replace_text
from pipeline.storage.layout import Layout

LINK, END = 64, 192  # characters of a link; of a link and a signature
GENESIS = b"0" * END


@dataclass(frozen=True)
class Entry:
    """One line of a segment.

    Attributes:
        end: link and signature, from which the next link is made.
        body: the entry, as JSON.
    """

    end: bytes
    body: bytes

    @classmethod
    def parse(cls, line: bytes) -> Entry:
        return cls(line[:END], line[END + 1 :])

    def line(self) -> bytes:
        return self.end + b" " + self.body + b"\n"


def link(before: bytes, body: bytes) -> bytes:
    """The link of an entry that follows `before`."""
    return hashlib.sha256(before + b" " + body).hexdigest().encode()


@lru_cache(maxsize=4)
def _loaded(path: str, changed: int) -> Ed25519PrivateKey:
    return signing.load_private_key(Path(path).read_bytes())


@lru_cache(maxsize=2)
def _server(url: str) -> Postgres:
    return Postgres(url)


class AccessLog:
    """The log of one data folder, in its vault or in the database of MILESTONES_LOG. Writers in any
    number of processes take turns."""

    def __init__(self, layout: Layout) -> None:
        folder = layout.vault / "access"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        given = settings()
        self.kept: Segments = _server(given.log.get_secret_value()) if given.log else Files(folder)
        self.anchor = given.anchor or folder / "anchor"
        self.key_path = layout.vault / "access-key.pem"
        self.public_path = layout.vault / "access-key.pub"

    def entries(self) -> Iterator[Entry]:
        """All entries, oldest first; an incomplete line at the very end is left out."""
        for day in self.kept.days():
            for line in self.kept.content(day).split(b"\n")[:-1]:
                yield Entry.parse(line)

    def public_key(self) -> Ed25519PublicKey:
        """The key that verifies the signatures; give it to the auditor."""
        return signing.load_public_key(self.public_path.read_bytes())

    def _key(self) -> Ed25519PrivateKey:
        """The signing key, made with the first entry."""
        if not self.key_path.exists():
            made = Ed25519PrivateKey.generate()
            replace_text(self.public_path, signing.public_pem(made))
            replace_text(self.key_path, signing.private_pem(made))
        return _loaded(str(self.key_path), self.key_path.stat().st_mtime_ns)

    def append(self, *bodies: dict[str, object], today: dt.date | None = None) -> None:
        """Write entries; they and their anchor are on the disk when this returns."""
        with self.kept.alone():
            key, days = self._key(), self.kept.days()
            day = (today or dt.datetime.now(dt.UTC).date()).isoformat()
            # A clock that was set back does not reopen an older segment.
            day = max([day, *days[-1:]])
            before = self._end(days)
            lines, anchored = [], []
            for body in bodies:
                text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
                made = link(before, text)
                before = made + key.sign(made).hex().encode()
                lines.append(Entry(before, text).line())
                anchored.append(day.encode() + b" " + before + b"\n")
            self.kept.append(day, b"".join(lines))
            append_lines(self.anchor, b"".join(anchored))

    def _end(self, days: list[str]) -> bytes:
        """What the next entry's link is made from: the last entry or, where its segment has
        expired, its line in the anchor."""
        for day in reversed(days):
            line = self.kept.last(day)
            if line is not None:
                return Entry.parse(line).end
        line = last_line(self.anchor)
        if line is None:
            return GENESIS
        return line.split(b" ")[1]

    def expire(self, day: str) -> None:
        """Remove a whole segment; the anchor keeps only the link of its last entry."""
        with self.kept.alone():
            start = day.encode()
            kept: list[bytes] = []
            for line in self.anchor.read_bytes().splitlines():
                if kept and line.startswith(start) and kept[-1].startswith(start):
                    kept.pop()
                kept.append(line)
            replace_text(self.anchor, "".join(line.decode() + "\n" for line in kept))
            self.kept.remove(day)
