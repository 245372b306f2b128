"""Places whose things grow old as wholes: files, entries of lists, releases of keys."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.access.log import AccessLog
from pipeline.ground import Ground
from pipeline.layout import write_settled
from pipeline.policy.retention import Keeping, Log
from pipeline.policy.windows import cutoff
from pipeline.retained.due import Line, day

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
    for path in sorted((ground.layout.vault / "requests").glob("*.json")):
        closed = json.loads(path.read_text("utf-8")).get("closed_on")
        if closed and dt.date.fromisoformat(closed) <= last:
            yield Keeping.REQUESTS, path


def _entries(ground: Ground, now: dt.datetime) -> Iterator[tuple[str, Path, list[str], int]]:
    """Lists with entries past their window: rule, file, the lines that stay, how many go."""
    last = day(ground, Keeping.TOMBSTONES, now)
    path = ground.layout.vault / "tombstones.json"
    if path.exists():
        told = json.loads(path.read_text("utf-8"))
        kept = [one for one in told if dt.date.fromisoformat(one["made_on"]) > last]
        if len(kept) < len(told):
            yield f"keeping.{Keeping.TOMBSTONES}", path, [json.dumps(kept)], len(told) - len(kept)


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
    told += [
        Line(path.stem, "old entries", rule, gone, 0, f"vault/{path.name}")
        for rule, path, _, gone in _entries(ground, now)
    ]
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
    for rule, path, kept, gone in list(_entries(ground, now)):
        note(rule, path.name, gone)
        write_settled(path, "".join(f"{line}\n" for line in kept))
    for segment in _segments(ground, now):
        note(f"logs.{Log.ACCESS_LOG}", segment, 1)
        AccessLog(ground.layout).expire(segment)
    for epoch in ground.ring.retired(day(ground, Keeping.KEY_EPOCHS, now)):
        note(f"keeping.{Keeping.KEY_EPOCHS}", f"epoch {epoch}", 1)
        ground.ring.destroy(epoch)
