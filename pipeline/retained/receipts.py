"""Receipts: the proof that something was erased. Counts, hashes, rules and times; no value.

Each contains the hash of the one before, so that a removed or changed receipt is noticed.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from pipeline.access.log import AccessLog
from pipeline.retained.data_inventory import entry_name
from pipeline.retained.journal import ErasureJob, Journal
from pipeline.storage import cases
from pipeline.storage.files import replace_text
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout


def path(layout: Layout, name: str) -> Path:
    """Where the receipt of this name is stored."""
    return layout.receipts / f"{name}.json"


def contents(
    job: ErasureJob, journal: Journal, left: dict[str, int], seconds: dict[str, float]
) -> dict[str, Any]:
    """What a receipt contains: rule, counts and hashes before and after, what verification found.

    Args:
        left: what verification found, per place that it searched; all zero.
        seconds: how long each part took.
    """
    edits = journal.edits()
    totals: dict[str, dict[str, int]] = {}
    for one in edits:
        total = totals.setdefault(entry_name(one.file), {"before": 0, "after": 0})
        total["before"] += one.before
        total["after"] += one.after
    return {
        "kind": job.kind,
        "as_of": job.as_of,
        "completed_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "rules_sha256": job.rules_sha256,
        "request": job.request,
        "plan": job.plan,
        "rows": totals,
        "files": [one.as_dict() for one in edits],
        "removed_whole": journal.notes(),
        "found_afterwards": left,
        "cases": cases.lasting(cases.numbers(journal.layout)),
        "log": AccessLog(journal.layout).head(),
        "seconds": {part: round(spent, 1) for part, spent in seconds.items()},
    }


def newest_first(layout: Layout) -> list[Path]:
    """All receipts, newest first."""
    return sorted(layout.receipts.glob("*.json"), reverse=True)


def last_erasure(layout: Layout) -> str:
    """When data was last erased and the erasure verified, in one line."""
    last = next(iter(newest_first(layout)), None)
    if last is None:
        return "nothing has been erased so far"
    contents = json.loads(last.read_text("utf-8"))
    rows = sum(one["before"] - one["after"] for one in contents["rows"].values())
    return f"{contents['completed_at']}: {rows:,} rows, receipt {last.stem}"


def write(layout: Layout, name: str, contents: dict[str, Any]) -> None:
    """Store a receipt for good; it is on disk when this returns."""
    last = next(iter(newest_first(layout)), None)
    chain = {
        "previous": last.stem if last else None,
        "previous_sha256": file_sha256(last) if last else None,
    }
    replace_text(path(layout, name), json.dumps({"receipt": name, **contents, **chain}, indent=1))


def read(layout: Layout, name: str) -> dict[str, Any]:
    """The contents of a receipt."""
    contents: dict[str, Any] = json.loads(path(layout, name).read_text("utf-8"))
    return contents


def of_request(layout: Layout, request: str) -> dict[str, Any] | None:
    """The receipt of a data subject's request, if it was fulfilled."""
    contents = (read(layout, one.stem) for one in newest_first(layout))
    return next((one for one in contents if one["request"] == request), None)


def broken(layout: Layout) -> list[str]:
    """Names of receipts whose predecessor is missing or was changed.

    The oldest one left may point to a predecessor that was removed because it was past retention.
    """
    names = [one.stem for one in reversed(newest_first(layout))]
    found = []
    for name in names[1:]:
        contents = read(layout, name)
        before = contents["previous"]
        if before not in names or file_sha256(path(layout, before)) != contents["previous_sha256"]:
            found.append(name)
    return found
