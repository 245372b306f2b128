"""Tombstones: an erased person does not come back by a repeated export or a restored backup.

Only a keyed hash of each identifier is kept (HMAC-SHA256 under a key of its own), so the list
tells nothing without the key ring, and can still be asked "is it this one?".
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable

import duckdb

from pipeline.engine import literal
from pipeline.keys import KeyRing
from pipeline.layout import Layout, write_settled
from pipeline.retained.ground import Ground
from pipeline.transforms import stored


def _entries(layout: Layout) -> list[dict[str, str]]:
    path = layout.vault / "tombstones.json"
    if not path.exists():
        return []
    told: list[dict[str, str]] = json.loads(path.read_text("utf-8"))
    return told


def add(ground: Ground, identifiers: Iterable[str], today: dt.date) -> None:
    """Set a tombstone for every identifier of an erased person; a repeated call changes nothing."""
    layout = ground.layout
    ground.ring.create()
    known = {one["hmac"] for one in _entries(layout)}
    new = sorted(ground.ring.tombstone(identifiers) - known)
    if new:
        told = [*_entries(layout), *({"hmac": h, "made_on": today.isoformat()} for h in new)]
        write_settled(layout.vault / "tombstones.json", json.dumps(told))


def refused(
    connection: duckdb.DuckDBPyConnection, layout: Layout, ring: KeyRing, relation: str
) -> list[str]:
    """Learner and manager identifiers of a relation that have a tombstone."""
    stones = {one["hmac"] for one in _entries(layout)}
    if not stones:
        return []
    columns = set(connection.sql(f"FROM {relation} LIMIT 0").columns)
    named = [c for c in ("learner_id", "manager_id") if c in columns]
    union = " UNION ".join(f"SELECT {c} AS id FROM {relation} WHERE {c} IS NOT NULL" for c in named)
    found = []
    for (one,) in connection.sql(f"SELECT DISTINCT id FROM ({union})").fetchall():
        also = {str(one)}
        if str(one).startswith("acct:"):
            also.add("emp:" + str(one).rsplit("#", 1)[-1])
        if ring.tombstone(also) & stones:
            found.append(str(one))
    return found


def refuse(connection: duckdb.DuckDBPyConnection, layout: Layout, ring: KeyRing,
           drop: dt.date) -> int:  # fmt: skip
    """Take erased people out of a drop that was just taken in; returns how many rows went."""
    from pipeline.retained.rewrite import Stroke, rewrite, swap

    gone = 0
    for kind in ("records", "roster"):
        for path in stored.files(layout, kind, str(drop)):
            ids = refused(connection, layout, ring, literal(path))
            if ids:
                listed = ", ".join(literal(one) for one in ids)
                made = rewrite(connection, layout, Stroke(
                    path, f"learner_id IN ({listed})", {"manager_id": f"manager_id IN ({listed})"}
                ))  # fmt: skip
                if made:
                    done, fresh = made
                    swap(fresh, path)
                    gone += done.before - done.after
    return gone
