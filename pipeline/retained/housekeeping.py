"""Places whose things grow old as wholes: files, entries of lists, releases of keys."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.access.log import AccessLog
from pipeline.context import Ground
from pipeline.policy.retention import Keeping, Log
from pipeline.policy.windows import cutoff
from pipeline.retained.past_retention import Line, day
from pipeline.subjects import request_register, tombstones

# Files and folders that carry the day they were made in front of their name.
DATED = {
    "store/reconciliation/*.json": Keeping.RECONCILIATION,
    "receipts/*.json": Keeping.RECEIPTS,
    "backups/*": Keeping.BACKUPS,
    "vault/packages/*": Keeping.PACKAGES,
    "governance/*": Keeping.APPROVALS,
    "governance/reviews/*.json": Keeping.APPROVALS,
}


def _made_on(path: Path) -> dt.date | None:
    name = path.name[:10] if "-" in path.name[:8] else path.name[:8]
    try:
        return dt.date.fromisoformat(name)
    except ValueError:
        return None


def old_paths(ground: Ground, now: dt.datetime) -> Iterator[tuple[Keeping, Path]]:
    """Whole files and folders past their window."""
    for pattern, keeping in DATED.items():
        last = day(ground, keeping, now)
        for path in sorted(ground.layout.root.glob(pattern)):
            made = _made_on(path)
            if made is not None and made <= last:
                yield keeping, path
    last = day(ground, Keeping.REQUESTS, now)
    for request in request_register.every(ground.layout):
        if request.closed_on and request.closed_on <= last:
            yield Keeping.REQUESTS, request_register.path(ground.layout, request.name)


def _tombstones(ground: Ground, now: dt.datetime) -> tuple[list[dict[str, str]], int]:
    """Those that stay, and how many are past their window."""
    last = day(ground, Keeping.TOMBSTONES, now)
    told = tombstones.entries(ground.layout)
    kept = [one for one in told if dt.date.fromisoformat(one["made_on"]) > last]
    return kept, len(told) - len(kept)


def expired_before(ground: Ground, now: dt.datetime) -> dt.date:
    """Segments of the access log of earlier days are past their window."""
    rule = ground.rules.logs[Log.ACCESS_LOG]
    return cutoff(ground.rules, None, now, rule.duration).day + dt.timedelta(days=1)


def _segments(ground: Ground, now: dt.datetime) -> list[str]:
    """Segments of the access log past their window."""
    first = expired_before(ground, now).isoformat()
    return [day for day in AccessLog(ground.layout).kept.days() if day < first]


def lines(ground: Ground, now: dt.datetime) -> list[Line]:
    """Plan lines of everything that grows old as a whole."""
    found: dict[Keeping, int] = {}
    for keeping, _ in old_paths(ground, now):
        found[keeping] = found.get(keeping, 0) + 1
    told = [
        Line(keeping.replace("_", " "), "old ones, whole", f"keeping.{keeping}", n, 0,
             ", ".join(p for p, k in DATED.items() if k is keeping) or "vault/requests")
        for keeping, n in found.items()
    ]  # fmt: skip
    _, gone = _tombstones(ground, now)
    if gone:
        told.append(Line("tombstones", "old entries", f"keeping.{Keeping.TOMBSTONES}", gone, 0,
                         f"vault/{tombstones.FILE}"))  # fmt: skip
    if segments := _segments(ground, now):
        told.append(Line("access log", "old segments, whole", f"logs.{Log.ACCESS_LOG}",
                         len(segments), 0, "vault/access"))  # fmt: skip
    old = ground.ring.retired(day(ground, Keeping.KEY_EPOCHS, now))
    if old:
        told.append(Line("key ring", "retired epochs", f"keeping.{Keeping.KEY_EPOCHS}", len(old), 0,
                         ", ".join(f"epoch {epoch}" for epoch in old)))  # fmt: skip
    return told


def clear(ground: Ground, now: dt.datetime, note: Callable[[str, str, int], None]) -> None:
    """Remove what is past its window; every removal is noted before it is done."""
    for keeping, path in list(old_paths(ground, now)):
        note(f"keeping.{keeping}", path.name, 1)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    kept, gone = _tombstones(ground, now)
    if gone:
        note(f"keeping.{Keeping.TOMBSTONES}", tombstones.FILE, gone)
        tombstones.write(ground.layout, kept)
    for segment in _segments(ground, now):
        note(f"logs.{Log.ACCESS_LOG}", segment, 1)
        AccessLog(ground.layout).expire(segment)
    for epoch in ground.ring.retired(day(ground, Keeping.KEY_EPOCHS, now)):
        note(f"keeping.{Keeping.KEY_EPOCHS}", f"epoch {epoch}", 1)
        ground.ring.destroy(epoch)
