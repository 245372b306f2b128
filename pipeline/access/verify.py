"""Does the access log hold? Names the first entry that does not."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pipeline.access.log import END, GENESIS, LINK, AccessLog


@dataclass(frozen=True)
class Verdict:
    """What verification found.

    Attributes:
        entries: entries that hold, before the first broken one.
        broken: segment, line and rule of the first broken entry; None if all hold.
    """

    entries: int
    broken: str | None


class _BrokenError(Exception):
    """Where the log breaks, and how."""


def _signed(key: Ed25519PublicKey, end: bytes, where: str) -> None:
    try:
        key.verify(bytes.fromhex(end[LINK:].decode("ascii")), end[:LINK])
    except (InvalidSignature, ValueError):
        raise _BrokenError(f"{where}: not signed by the log's key") from None


def _anchor(log: AccessLog, key: Ed25519PublicKey) -> dict[str, list[bytes]]:
    """Segment to the ends of its entries, in order."""
    found: dict[str, list[bytes]] = {}
    end = None
    lines = log.anchor.read_bytes().splitlines() if log.anchor.exists() else []
    for number, line in enumerate(lines, 1):
        day, _, end = line.partition(b" ")
        if len(end) != END:
            raise _BrokenError(f"anchor, line {number}: torn")
        found.setdefault(day.decode("utf-8", "replace"), []).append(end)
    if end is not None:
        _signed(key, end, "anchor, last line")
    return found


def _segment(
    day: str, content: bytes, before: bytes, anchored: list[bytes], key: Ed25519PublicKey, *,
    newest: bool,
) -> tuple[int, bytes]:  # fmt: skip
    """Walk one segment; returns its number of entries and its end."""
    if newest and len(anchored) <= content.count(b"\n"):
        content = content[: content.rfind(b"\n") + 1]  # torn by a crash, never acknowledged
    lines = content.split(b"\n")
    if lines.pop():
        raise _BrokenError(f"segment {day}, line {len(lines) + 1}: torn")
    number, sha256, waiting = 0, hashlib.sha256, set(anchored)
    for number, line in enumerate(lines, 1):
        if sha256(before + line[END:]).hexdigest().encode() != line[:LINK]:
            raise _BrokenError(f"segment {day}, line {number}: does not follow from the one "
                               "before")  # fmt: skip
        before = line[:END]
        if before in waiting:
            waiting.remove(before)
        else:
            # An entry that a crash kept from the anchor proves itself.
            _signed(key, before, f"segment {day}, line {number}")
    if lines:
        _signed(key, before, f"segment {day}, line {number}")
    if waiting:
        lost = next(at for at, end in enumerate(anchored, 1) if end in waiting)
        raise _BrokenError(f"segment {day}: entry {lost} of the anchor is not here")
    return number, before


def verify(log: AccessLog, expired_before: dt.date, key: Ed25519PublicKey | None = None) -> Verdict:
    """Verify the whole log against its chain, its signatures and its anchor.

    Args:
        expired_before: segments of earlier days may be gone; no others.
        key: the auditor's copy of the public key; default the one beside the log.
    """
    entries = 0
    try:
        segments = log.kept.days()
        if not segments and not log.anchor.exists():
            return Verdict(0, None)
        key = key or log.public_key()
        anchor = _anchor(log, key)
        before, days = GENESIS, sorted({*segments, *anchor})
        for day in days:
            if day not in segments:
                if (segments and day > min(segments)) or day >= expired_before.isoformat():
                    raise _BrokenError(f"segment {day}: is missing")
                before = anchor[day][-1]
                continue
            number, before = _segment(day, log.kept.content(day), before, anchor.get(day, []),
                                      key, newest=day == days[-1])  # fmt: skip
            entries += number
    except _BrokenError as broken:
        return Verdict(entries, str(broken))
    return Verdict(entries, None)
