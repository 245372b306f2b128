"""Places whose things grow old as wholes: files, entries of lists, releases of keys."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.access.log import AccessLog
from pipeline.context import Context
from pipeline.policy.retention import Log, StorageRule
from pipeline.policy.windows import cutoff
from pipeline.retained.past_retention import PlanItem, last_day
from pipeline.subjects import request_register, tombstones

# Files and folders that carry the day they were made in front of their name.
DATED = {
    "store/reconciliation/*.json": StorageRule.RECONCILIATION,
    "receipts/*.json": StorageRule.RECEIPTS,
    "backups/*": StorageRule.BACKUPS,
    "vault/packages/*": StorageRule.PACKAGES,
    "governance/*": StorageRule.APPROVALS,
    "governance/reviews/*.json": StorageRule.APPROVALS,
}


def _made_on(path: Path) -> dt.date | None:
    name = path.name[:10] if "-" in path.name[:8] else path.name[:8]
    try:
        return dt.date.fromisoformat(name)
    except ValueError:
        return None


def old_paths(context: Context, now: dt.datetime) -> Iterator[tuple[StorageRule, Path]]:
    """Whole files and folders past their window."""
    for pattern, storage_rule in DATED.items():
        last = last_day(context, storage_rule, now)
        for path in sorted(context.layout.root.glob(pattern)):
            made = _made_on(path)
            if made is not None and made <= last:
                yield storage_rule, path
    last = last_day(context, StorageRule.REQUESTS, now)
    for request in request_register.every(context.layout):
        if request.closed_on and request.closed_on <= last:
            yield StorageRule.REQUESTS, request_register.path(context.layout, request.name)


def _tombstones(context: Context, now: dt.datetime) -> tuple[list[dict[str, str]], int]:
    """Those that stay, and how many are past their window."""
    last = last_day(context, StorageRule.TOMBSTONES, now)
    told = tombstones.entries(context.layout)
    kept = [one for one in told if dt.date.fromisoformat(one["made_on"]) > last]
    return kept, len(told) - len(kept)


def expired_before(context: Context, now: dt.datetime) -> dt.date:
    """Segments of the access log of earlier days are past their window."""
    rule = context.rules.logs[Log.ACCESS_LOG]
    return cutoff(context.rules, None, now, rule.duration).day + dt.timedelta(days=1)


def _segments(context: Context, now: dt.datetime) -> list[str]:
    """Segments of the access log past their window."""
    first = expired_before(context, now).isoformat()
    return [last_day for last_day in AccessLog(context.layout).kept.days() if last_day < first]


def lines(context: Context, now: dt.datetime) -> list[PlanItem]:
    """Plan lines of everything that grows old as a whole."""
    found: dict[StorageRule, int] = {}
    for storage_rule, _ in old_paths(context, now):
        found[storage_rule] = found.get(storage_rule, 0) + 1
    told = [
        PlanItem(storage_rule.replace("_", " "), "old ones, whole", f"storage.{storage_rule}", n, 0,
             ", ".join(p for p, k in DATED.items() if k is storage_rule) or "vault/requests")
        for storage_rule, n in found.items()
    ]  # fmt: skip
    _, gone = _tombstones(context, now)
    if gone:
        told.append(PlanItem("tombstones", "old entries", f"storage.{StorageRule.TOMBSTONES}", gone, 0,
                         f"vault/{tombstones.FILE}"))  # fmt: skip
    if segments := _segments(context, now):
        told.append(PlanItem("access log", "old segments, whole", f"logs.{Log.ACCESS_LOG}",
                         len(segments), 0, "vault/access"))  # fmt: skip
    old = context.ring.retired(last_day(context, StorageRule.KEY_EPOCHS, now))
    if old:
        told.append(PlanItem("key ring", "retired epochs", f"storage.{StorageRule.KEY_EPOCHS}", len(old), 0,
                         ", ".join(f"epoch {epoch}" for epoch in old)))  # fmt: skip
    return told


def clear(context: Context, now: dt.datetime, note: Callable[[str, str, int], None]) -> None:
    """Remove what is past its window; every removal is noted before it is done."""
    for storage_rule, path in list(old_paths(context, now)):
        note(f"storage.{storage_rule}", path.name, 1)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    kept, gone = _tombstones(context, now)
    if gone:
        note(f"storage.{StorageRule.TOMBSTONES}", tombstones.FILE, gone)
        tombstones.write(context.layout, kept)
    for segment in _segments(context, now):
        note(f"logs.{Log.ACCESS_LOG}", segment, 1)
        AccessLog(context.layout).expire(segment)
    for epoch in context.ring.retired(last_day(context, StorageRule.KEY_EPOCHS, now)):
        note(f"storage.{StorageRule.KEY_EPOCHS}", f"epoch {epoch}", 1)
        context.ring.destroy(epoch)
