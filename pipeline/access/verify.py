"""Verify the access log; the first entry that is not valid is named."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pipeline.access.log import END, GENESIS, LINK, AccessLog, Entry, not_elsewhere
from pipeline.access.segments import Segments
from pipeline.keys import signing
from pipeline.storage.layout import Layout

DAY = len("2026-11-25")  # bytes in front of an anchor's line
LINE = DAY + 1 + END + 1
MANY = 100_000  # entries from which more processes pay off


@dataclass(frozen=True)
class LogVerification:
    """What verification found.

    Attributes:
        entries: valid entries before the first broken one.
        broken: segment, line and rule of the first broken entry; None if all are valid.
        left_out: the last entry is not in the anchor: it was cut off by a crash, or the anchor was
            cut off by somebody. The next entry adds it.
    """

    entries: int
    broken: str | None
    left_out: bool = False


@dataclass(frozen=True)
class Implied:
    """Something that was made after an entry, so that the log had it then.

    Attributes:
        by: what implies it, such as a receipt.
        head: segment and end of the entry (pipeline/access/log.py).
    """

    by: str
    head: str


class _BrokenError(Exception):
    """Where the log breaks, and how; `entries` of the segment are valid before it."""

    def __init__(self, where: str, entries: int = 0) -> None:
        super().__init__(where)
        self.entries = entries


def _signed(key: Ed25519PublicKey, end: bytes, where: str) -> None:
    try:
        key.verify(bytes.fromhex(end[LINK:].decode("ascii")), end[:LINK])
    except (InvalidSignature, ValueError):
        raise _BrokenError(f"{where}: not signed by the log's key") from None


def _anchor(content: bytes, key: Ed25519PublicKey) -> dict[str, tuple[int, int]]:
    """Segment to where its lines begin and end in the anchor, in bytes."""
    # An incomplete line at the end was never acknowledged; the next append removes it.
    content = content[: content.rfind(b"\n") + 1]
    number = len(content) // LINE
    if len(content) % LINE or content[LINE - 1 :: LINE].count(b"\n") < number:
        torn = next(n for n, one in enumerate(content.split(b"\n"), 1) if len(one) != LINE - 1)
        raise _BrokenError(f"anchor, line {torn}: incomplete")

    def day_of(line: int) -> bytes:
        return content[line * LINE : line * LINE + DAY]

    found: dict[str, tuple[int, int]] = {}
    line, before = 0, b""
    while line < number:
        day = day_of(line)
        after = bisect_right(range(number), day, lo=line, key=day_of)
        run = content[line * LINE : after * LINE]
        alike = all(set(run[at::LINE]) == {letter} for at, letter in enumerate(day + b" "))
        if day <= before or not alike:
            raise _BrokenError(f"anchor, line {line + 1}: this line or a later one is out of order")
        found[day.decode("utf-8", "replace")] = line * LINE, after * LINE
        line, before = after, day
    if number:
        _signed(key, content[-END - 1 : -1], "anchor, last line")
    return found


def _segment(walk: _Walk, content: bytes, key: Ed25519PublicKey) -> int:
    """Verify one segment; returns its number of entries."""
    day, before, ends = walk.day, walk.before, list[bytes]()
    anchored = _lines(walk)
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        lines = content.count(b"\n")
        if not walk.newest or len(anchored) // LINE > lines:
            raise _BrokenError(f"segment {day}, line {lines + 1}: incomplete")
        # Left by a crash, never acknowledged.
    sha256, find, at = hashlib.sha256, content.find, 0
    while at < whole:
        stop = find(b"\n", at)
        end = content[at : at + END]
        if sha256(before + content[at + END : stop]).hexdigest().encode() != end[:LINK]:
            raise _BrokenError(
                f"segment {day}, line {len(ends) + 1}: does not follow from the line before",
                len(ends),
            )
        ends.append(end)
        before, at = end, stop + 1
    if ends:
        _signed(key, before, f"segment {day}, line {len(ends)}")
    start = day.encode() + b" "
    own = [b"%b%b\n" % (start, end) for end in ends]
    if b"".join(own) != anchored:
        _compare(walk, own, anchored.splitlines(keepends=True))
    return len(ends)


def _lines(walk: _Walk) -> bytes:
    """The anchor's lines of a segment; read when needed, since the anchor is long."""
    start, stop = walk.anchored
    if start == stop:
        return b""
    with walk.anchor.open("rb") as stream:
        stream.seek(start)
        return stream.read(stop - start)


def _compare(walk: _Walk, own: list[bytes], anchored: list[bytes]) -> None:
    """Check a segment whose entries are not exactly the anchor's: the last one of the log may be
    missing there, since a crash can keep it from the anchor."""
    if walk.newest and own[:-1] == anchored:
        return
    pairs = zip(own, anchored, strict=False)
    at = next((n for n, (one, other) in enumerate(pairs) if one != other), None)
    if at is None and len(own) > len(anchored):
        raise _BrokenError(
            f"segment {walk.day}, line {len(anchored) + 1}: is missing in the anchor", len(anchored)
        )
    lost = len(own) if at is None else at
    raise _BrokenError(f"segment {walk.day}: entry {lost + 1} of the anchor is missing", lost)


@dataclass(frozen=True)
class _Walk:
    """A segment to verify: what its first link is made from, and its bytes in the anchor."""

    day: str
    before: bytes
    anchor: Path
    anchored: tuple[int, int]
    newest: bool


def _walks(
    log: AccessLog,
    segments: list[str],
    anchor: dict[str, tuple[int, int]],
    expired_before: dt.date,
) -> Iterator[_Walk]:
    """Every segment with what it follows, so that each can be verified by itself: a segment whose
    end was changed is found broken by itself."""
    before, days = GENESIS, sorted({*segments, *anchor})
    for day in days:
        walk = _Walk(day, before, log.anchor, anchor.get(day, (0, 0)), day == days[-1])
        if day in segments:
            yield walk
            line = log.kept.last(day)
            before = before if line is None else Entry.parse(line).end
        elif (segments and day > min(segments)) or day >= expired_before.isoformat():
            raise _BrokenError(f"segment {day}: is missing")
        else:
            before = _lines(walk)[-END - 1 : -1]


def _walk(kept: Segments, key: bytes, newest: bytes, walk: _Walk) -> tuple[int, str | None]:
    """Verify one segment, in this process or another: its entries, and how it is broken."""
    content = newest if walk.newest and newest else kept.content(walk.day)
    try:
        return _segment(walk, content, signing.load_public_key(key)), None
    except _BrokenError as broken:
        return broken.entries, str(broken)


def _workers() -> ProcessPoolExecutor:
    # Not forked, since DuckDB's threads may be running.
    return ProcessPoolExecutor(os.cpu_count(), get_context("spawn"))


def verify(
    log: AccessLog,
    expired_before: dt.date,
    key: Ed25519PublicKey | None = None,
    implied: Iterable[Implied] = (),
) -> LogVerification:
    """Verify the whole log against its chain, its signatures, its anchor and what implies entries.

    Args:
        expired_before: segments of earlier days may be missing; no others.
        key: the auditor's copy of the public key; by default the one beside the log.
        implied: entries that must be there, unless their segment has expired.
    """
    entries = 0
    try:
        with log.kept.alone():
            # As they are at one moment: an entry that is written meanwhile is in neither.
            segments = log.kept.days()
            newest = log.kept.content(segments[-1]) if segments else b""
            anchored = log.anchor.read_bytes() if log.anchor.exists() else b""
        _require(implied, anchored, expired_before)
        if not segments and not anchored:
            return LogVerification(0, None)
        pem = signing.public_bytes(key or log.public_key())
        anchor = _anchor(anchored, signing.load_public_key(pem))
        walks = list(_walks(log, segments, anchor, expired_before))
        several = len(segments) > 1 and len(anchored) > MANY * LINE
        walked = partial(_walk, log.kept, pem, newest)
        with _workers() if several else nullcontext() as workers:
            for number, broken in workers.map(walked, walks) if workers else map(walked, walks):
                entries += number
                if broken is not None:
                    raise _BrokenError(broken)
    except _BrokenError as broken:
        return LogVerification(entries, str(broken))
    left_out = entries > 0 and bool(newest) and _last_end(newest) != _last_end(anchored)
    return LogVerification(entries, None, left_out)


def _last_end(lines: bytes) -> bytes:
    """The end in the last complete line of a segment, or of the anchor."""
    line = lines[: lines.rfind(b"\n") + 1].splitlines()[-1] if b"\n" in lines else b""
    return line[DAY + 1 :] if line[DAY : DAY + 1] == b" " else line[:END]


def _require(implied: Iterable[Implied], anchored: bytes, expired_before: dt.date) -> None:
    """Is every entry that something implies in the anchor?"""
    for one in implied:
        day = one.head[:DAY]
        if day >= expired_before.isoformat() and f"{one.head}\n".encode() not in anchored:
            raise _BrokenError(f"segment {day}: an entry is missing that {one.by} implies")


def blind_spots(layout: Layout, *, own_key: bool, copy: bool) -> list[str]:
    """What a verification cannot see here.

    Args:
        own_key: it was verified with the auditor's copy of the key.
        copy: it was verified with a copy of the anchor.
    """
    since = "the copy of the anchor" if copy else "the newest release, receipt or signature"
    found = [
        f"entries after {since} could have been cut off together with the anchor, or replaced by "
        "whoever acts as the account that runs the pipeline, since it reads the signing key"
        + ("" if copy else "; a copy of it that is kept elsewhere shows that (--anchor)")
    ]
    if places := not_elsewhere(layout):
        found.append(
            f"{' and '.join(places)}: in the data folder, so whoever can write there can write "
            "another log"
        )
    if not own_key:
        found.append(
            "a log that was written anew with another key: verify with the auditor's copy (--key)"
        )
    return found
