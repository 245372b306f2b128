"""Who read, or was refused, single rows, and why: on disk before the rows are handed out."""

from __future__ import annotations

import datetime as dt
import getpass
import json
import os
from collections.abc import Iterable
from typing import Any

from pipeline.access.log import AccessLog
from pipeline.layout import Layout

SHOWN = ("at", "actor", "table", "purpose", "decision")


def actor() -> str:
    """The person at the keyboard: MILESTONES_ACTOR, or the user of the operating system."""
    return os.environ.get("MILESTONES_ACTOR") or getpass.getuser()


def note(
    layout: Layout, table: str, purpose: str, refs: Iterable[str], *, fields: Iterable[str] = (),
    rows: int = 0, decision: str = "granted",
) -> None:  # fmt: skip
    """Write down a read of some people's rows, by pseudonym, or a refusal with its rule."""
    AccessLog(layout).append({
        "at": dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds"),
        "actor": actor(),
        "table": table,
        "purpose": purpose,
        "people": sorted(set(refs)),
        "fields": list(fields),
        "rows": rows,
        "decision": decision,
    })  # fmt: skip


def about(layout: Layout, refs: set[str]) -> list[dict[str, Any]]:
    """Reads that showed one of these pseudonyms, oldest first."""
    told = (json.loads(entry.body) for entry in AccessLog(layout).entries())
    return [{name: one[name] for name in SHOWN} for one in told if refs & set(one["people"])]
