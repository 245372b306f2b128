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
end was cut off. An entry is acknowledged once both files are on the disk; one that a crash left out
of the anchor, the next one adds. So no more than the last entry can be missing there.

The signing key belongs elsewhere, too (`MILESTONES_LOG_KEY`, `MILESTONES_LOG_KEY_VAULT`): who has
it and both files can write another log.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline.access.segments import Files, Postgres, Segments, append_lines, last_line
from pipeline.errors import PolicyError
from pipeline.keys import signing
from pipeline.settings import settings
from pipeline.storage import hashicorp
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


@lru_cache(maxsize=1)
def _from_vault(place: str) -> Ed25519PrivateKey:
    return signing.load_private_key(hashicorp.read(place, "access log's key").encode())


@lru_cache(maxsize=2)
def _server(url: str) -> Postgres:
    return Postgres(url)


def _kept(layout: Layout) -> Segments:
    url = settings().log
    return _server(url.get_secret_value()) if url else Files(layout.vault / "access")


def has_entries(layout: Layout) -> bool:
    """Was anything ever written down? Makes no folder."""
    return bool(_kept(layout).days()) or _anchor(layout).exists()


def _anchor(layout: Layout) -> Path:
    return settings().anchor or layout.vault / "access" / "anchor"


def not_elsewhere(layout: Layout) -> list[str]:
    """What lies in the data folder, where whoever writes the log can change it, too."""
    given, root = settings(), layout.root.resolve()

    def inside(path: Path | None) -> bool:
        return path is None or path.resolve().is_relative_to(root)

    places = {
        "the anchor (MILESTONES_ANCHOR)": inside(given.anchor),
        "the signing key (MILESTONES_LOG_KEY or MILESTONES_LOG_KEY_VAULT)": (
            given.log_key_vault is None and inside(given.log_key)
        ),
    }
    return [name for name, is_inside in places.items() if is_inside]


def require_elsewhere(layout: Layout) -> None:
    """In production (MILESTONES_PRODUCTION), nothing is written down, and so nothing is done, while
    anchor or signing key lie in the data folder.

    Raises:
        PolicyError: naming them.
    """
    found = not_elsewhere(layout)
    if found and settings().production:
        raise PolicyError(
            f"access log: {' and '.join(found)} must not lie in the data folder in production"
        )


class AccessLog:
    """The log of one data folder, in its vault or in the database of MILESTONES_LOG. Writers in any
    number of processes take turns."""

    def __init__(self, layout: Layout) -> None:
        self.kept = _kept(layout)
        self.anchor = _anchor(layout)
        self._layout = layout
        self.key_path = settings().log_key or layout.vault / "access-key.pem"
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
        """The signing key, made with the first entry unless Vault has it.

        Raises:
            PolicyError: it is lost, or another one than has signed so far. Or, in production, it
                or the anchor lies in the data folder.
        """
        require_elsewhere(self._layout)
        place = settings().log_key_vault
        if place is not None:
            return self._of_this_log(_from_vault(place))
        if not self.key_path.exists():
            if self.public_path.exists():
                raise PolicyError("access log: its signing key is missing; restore it")
            made = Ed25519PrivateKey.generate()
            replace_text(self.public_path, signing.public_pem(made))
            replace_text(self.key_path, signing.private_pem(made))
        return self._of_this_log(_loaded(str(self.key_path), self.key_path.stat().st_mtime_ns))

    def _of_this_log(self, key: Ed25519PrivateKey) -> Ed25519PrivateKey:
        public = signing.public_pem(key)
        if not self.public_path.exists():
            replace_text(self.public_path, public)
        if self.public_path.read_text("ascii") != public:
            raise PolicyError("access log: this is not the key that has signed it so far")
        return key

    def append(self, *bodies: dict[str, object], today: dt.date | None = None) -> None:
        """Write entries; they and their anchor are on the disk when this returns."""
        with self.kept.alone():
            self._append(bodies, today or dt.datetime.now(dt.UTC).date())

    def append_once(self, mark: str, since: dt.date, body: dict[str, object]) -> bool:
        """Write an entry with a mark (`used`) that no entry since a day has; was it written?

        Raises:
            PolicyError: the log does not end as its anchor does, so the mark could have been there.
        """
        with self.kept.alone():
            days = self.kept.days()
            if not self._ends_as_anchored(days, since.isoformat()):
                raise PolicyError(
                    "the access log does not end as its anchor does: `milestones access verify`"
                )
            wanted = f',"used":{json.dumps(mark)}'.encode()
            if any(wanted in self.kept.content(day) for day in days if day >= since.isoformat()):
                return False
            self._append([body | {"used": mark}], dt.datetime.now(dt.UTC).date())
        return True

    def _append(self, bodies: Sequence[dict[str, object]], today: dt.date) -> None:
        self.anchor.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key, days = self._key(), self.kept.days()
        # A clock that was set back does not reopen an older segment.
        day = max([today.isoformat(), *days[-1:]])
        last = self._last(days)
        before = last.end if last else self._anchored()
        lines, anchored = [], []
        if last is not None and self._is_left_out(last):
            anchored.append(days[-1].encode() + b" " + last.end + b"\n")
        for body in bodies:
            text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
            made = link(before, text)
            before = made + key.sign(made).hex().encode()
            lines.append(Entry(before, text).line())
            anchored.append(day.encode() + b" " + before + b"\n")
        self.kept.append(day, b"".join(lines))
        append_lines(self.anchor, b"".join(anchored))

    def _last(self, days: list[str]) -> Entry | None:
        """The last entry; None where all segments have expired."""
        lines = (self.kept.last(day) for day in reversed(days))
        return next((Entry.parse(line) for line in lines if line is not None), None)

    def _anchored(self) -> bytes:
        """The end of the last entry that the anchor knows."""
        line = last_line(self.anchor)
        return GENESIS if line is None else line.split(b" ")[1]

    def _is_left_out(self, last: Entry) -> bool:
        """Is this the one entry after the anchor's last, which a crash left out of it?"""
        return link(self._anchored(), last.body) == last.end[:LINK]

    def _ends_as_anchored(self, days: list[str], since: str) -> bool:
        """Does the log have all that the anchor has since a day?"""
        last = self._last(days)
        if last is None:
            head = self.head()
            return head is None or head < since
        return last.end == self._anchored() or self._is_left_out(last)

    def head(self) -> str | None:
        """Segment and end of the last entry, for whatever implies that it was there; None if there
        is none."""
        line = last_line(self.anchor)
        return None if line is None else line.decode("ascii")

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
