"""What is removed as a whole when it is past retention: files, list entries, key epochs."""

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
from pipeline.storage import cases
from pipeline.subjects import request_register, tombstones

# Files and folders whose names start with the day they were made.
DATED = {
    "store/reconciliation/*.json": StorageRule.RECONCILIATION,
    "store/deliveries/*.jsonl": StorageRule.RECONCILIATION,
    "store/set_aside/*": StorageRule.QUARANTINE,
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
    """Whole files and folders past retention."""
    for pattern, storage_rule in DATED.items():
        last = last_day(context.rules, storage_rule, now)
        for path in sorted(context.layout.root.glob(pattern)):
            made = _made_on(path)
            if made is not None and made <= last:
                yield storage_rule, path
    last = last_day(context.rules, StorageRule.REQUESTS, now)
    for request in request_register.every(context.layout):
        if request.closed_on and request.closed_on <= last:
            yield StorageRule.REQUESTS, request_register.path(context.layout, request.name)


def _tombstones(context: Context, now: dt.datetime) -> tuple[list[dict[str, str]], int]:
    """Those that stay, and how many are past retention."""
    last = last_day(context.rules, StorageRule.TOMBSTONES, now)
    entries = tombstones.entries(context.layout)
    staying = [one for one in entries if dt.date.fromisoformat(one["made_on"]) > last]
    return staying, len(entries) - len(staying)


def expired_before(context: Context, now: dt.datetime) -> dt.date:
    """Segments of the access log from before this day are past retention."""
    rule = context.rules.logs[Log.ACCESS_LOG]
    return cutoff(context.rules, None, now, rule.duration) + dt.timedelta(days=1)


def _segments(context: Context, now: dt.datetime) -> list[str]:
    """Segments of the access log past retention."""
    first = expired_before(context, now).isoformat()
    return [day for day in AccessLog(context.layout).kept.days() if day < first]


def items(context: Context, now: dt.datetime) -> Iterator[PlanItem]:
    """Plan items of everything that is removed as a whole."""
    found: dict[StorageRule, int] = {}
    for rule, _ in old_paths(context, now):
        found[rule] = found.get(rule, 0) + 1
    for rule, n in found.items():
        where = ", ".join(p for p, of in DATED.items() if of is rule) or "vault/requests"
        yield _item(rule.replace("_", " "), "old ones, whole", f"storage.{rule}", n, where)
    _, gone = _tombstones(context, now)
    if gone:
        rule, where = StorageRule.TOMBSTONES, f"vault/{tombstones.FILE}"
        yield _item("tombstones", "old entries", f"storage.{rule}", gone, where)
    if segments := _segments(context, now):
        rule_name = f"logs.{Log.ACCESS_LOG}"
        yield _item("access log", "old segments", rule_name, len(segments), "vault/access")
    if old := _retired_epochs(context, now):
        where = ", ".join(f"epoch {epoch}" for epoch in old)
        rule_name = f"storage.{StorageRule.KEY_EPOCHS}"
        yield _item("key ring", "retired epochs", rule_name, len(old), where)


def _item(place: str, what: str, rule: str, due: int, where: str) -> PlanItem:
    """A plan item of which nothing is held."""
    return PlanItem(place, what, rule, due, 0, where)


def _retired_epochs(context: Context, now: dt.datetime) -> list[int]:
    """Epochs whose keys are past retention."""
    return list(context.ring.retired(last_day(context.rules, StorageRule.KEY_EPOCHS, now)))


def clear(context: Context, now: dt.datetime, note: Callable[[str, str, int], None]) -> None:
    """Remove what is past retention; every removal is noted before it is done."""
    for storage_rule, path in list(old_paths(context, now)):
        note(f"storage.{storage_rule}", path.name, 1)
        if path.is_dir():
            shutil.rmtree(path)
        elif storage_rule is StorageRule.REQUESTS:
            cases.remove(context.layout, path)
        else:
            path.unlink()
    staying, gone = _tombstones(context, now)
    if gone:
        note(f"storage.{StorageRule.TOMBSTONES}", tombstones.FILE, gone)
        tombstones.write(context.layout, staying)
    for segment in _segments(context, now):
        note(f"logs.{Log.ACCESS_LOG}", segment, 1)
        AccessLog(context.layout).expire(segment)
    for epoch in _retired_epochs(context, now):
        note(f"storage.{StorageRule.KEY_EPOCHS}", f"epoch {epoch}", 1)
        context.ring.destroy(epoch)
