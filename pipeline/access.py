"""Who read single rows: one line per read, on disk before the rows are handed out."""

from __future__ import annotations

import datetime as dt
import getpass
import json
import os
from collections.abc import Iterable
from typing import Any

from pipeline.layout import Layout, append_settled


def actor() -> str:
    """The person at the keyboard: MILESTONES_ACTOR, or the user of the operating system."""
    return os.environ.get("MILESTONES_ACTOR") or getpass.getuser()


def note(layout: Layout, table: str, purpose: str, refs: Iterable[str]) -> None:
    """Write down a read of some people's rows, by pseudonym."""
    line = {
        "at": dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds"),
        "actor": actor(),
        "table": table,
        "purpose": purpose,
        "people": sorted(set(refs)),
    }
    append_settled(layout.vault / "access.jsonl", json.dumps(line))


def about(layout: Layout, refs: set[str]) -> list[dict[str, Any]]:
    """Reads that showed one of these pseudonyms, oldest first."""
    path = layout.vault / "access.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    told = [json.loads(line) for line in lines]
    return [
        {name: one[name] for name in ("at", "actor", "table", "purpose")}
        for one in told
        if refs & set(one["people"])
    ]
