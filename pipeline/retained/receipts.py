"""Receipts: the proof that something was erased. Counts, hashes, rules and times; no value.

Each names the hash of the one before, so that a receipt that is taken out or changed is found.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from pipeline.retained.data_inventory import place_of
from pipeline.retained.journal import ErasureJob, Journal
from pipeline.storage.files import replace_text
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout


def path(layout: Layout, name: str) -> Path:
    return layout.receipts / f"{name}.json"


def contents(
    order: ErasureJob, journal: Journal, left: dict[str, int], seconds: dict[str, float]
) -> dict[str, Any]:
    """What a receipt says: rule, counts and hashes before and after, what was found afterwards."""
    edits = journal.edits()
    totals: dict[str, dict[str, int]] = {}
    for one in edits:
        place = place_of(one.file)
        total = totals.setdefault(place.name if place else "?", {"before": 0, "after": 0})
        total["before"] += one.before
        total["after"] += one.after
    return {
        "kind": order.kind,
        "as_of": order.as_of,
        "completed_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "rules_sha256": order.rules_sha256,
        "request": order.request,
        "plan": order.plan,
        "rows": totals,
        "files": [one.as_dict() for one in edits],
        "removed_whole": journal.notes(),
        "found_afterwards": left,
        "seconds": {leg: round(spent, 1) for leg, spent in seconds.items()},
    }


def newest_first(layout: Layout) -> list[Path]:
    return sorted(layout.receipts.glob("*.json"), reverse=True)


def last_erasure(layout: Layout) -> str:
    """When something was last erased and proven gone, in a line."""
    last = next(iter(newest_first(layout)), None)
    if last is None:
        return "nothing was due so far"
    contents = json.loads(last.read_text("utf-8"))
    rows = sum(one["before"] - one["after"] for one in contents["rows"].values())
    return f"{contents['completed_at']}: {rows:,} rows, receipt {last.stem}"


def write(layout: Layout, name: str, contents: dict[str, Any]) -> None:
    """Store a receipt, once and for all; it is on disk when this returns."""
    last = next(iter(newest_first(layout)), None)
    chain = {"previous": last.stem if last else None, "previous_sha256": file_sha256(last) if last
             else None}  # fmt: skip
    replace_text(path(layout, name), json.dumps({"receipt": name, **contents, **chain}, indent=1))


def read(layout: Layout, name: str) -> dict[str, Any]:
    contents: dict[str, Any] = json.loads(path(layout, name).read_text("utf-8"))
    return contents


def of_request(layout: Layout, request: str) -> dict[str, Any] | None:
    """The receipt of a data subject's request, if it was carried out."""
    contents = (read(layout, one.stem) for one in newest_first(layout))
    return next((one for one in contents if one["request"] == request), None)


def broken(layout: Layout) -> list[str]:
    """Names of receipts whose predecessor is missing or is not what it was.

    The oldest one that is left may point at a predecessor past its window.
    """
    names = [one.stem for one in reversed(newest_first(layout))]
    found = []
    for name in names[1:]:
        contents = read(layout, name)
        before = contents["previous"]
        if before not in names or file_sha256(path(layout, before)) != contents["previous_sha256"]:
            found.append(name)
    return found
