"""Tombstones: an erased person does not come back by a repeated export or a restored backup.

Only a keyed hash of each identifier is kept (HMAC-SHA256 under a key of its own), so the list
reveals nothing without the key ring, and an identifier can still be compared with it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from pathlib import Path

import duckdb

from pipeline.context import Context
from pipeline.keys.ring import KeyRing
from pipeline.storage import cases
from pipeline.storage.file_edit import FileEdit, apply_edit
from pipeline.storage.layout import Layout
from pipeline.storage.sql import literal

FILE = "tombstones.json.enc"


def entries(layout: Layout) -> list[dict[str, str]]:
    """Keyed hash (`hmac`) and day (`made_on`) of every erased identifier."""
    found: list[dict[str, str]] = json.loads(cases.read(layout, layout.vault / FILE) or "[]")
    return found


def write(layout: Layout, changed: list[dict[str, str]]) -> None:
    """Replace the list."""
    cases.write(layout, layout.vault / FILE, json.dumps(changed))


def add(context: Context, identifiers: Iterable[str], today: dt.date) -> None:
    """Set a tombstone for every identifier of an erased person; a repeated call changes nothing."""
    layout = context.layout
    context.ring.create()
    known = hashes(layout)
    new = {one for one in identifiers if not context.ring.tombstone([one]) & known}
    if new:
        made_on = today.isoformat()
        own = sorted(context.ring.own_tombstone(one) for one in new)
        added = [{"hmac": one, "made_on": made_on} for one in own]
        write(layout, [*entries(layout), *added])


def unite(layout: Layout, added: Iterable[dict[str, str]]) -> None:
    """Add the tombstones of a backup."""
    there = entries(layout)
    known = {one["hmac"] for one in there}
    new = {one["hmac"]: one for one in added if one["hmac"] not in known}
    if new:
        write(layout, [*there, *new.values()])


def hashes(layout: Layout) -> set[str]:
    """The keyed hashes of all erased people's identifiers."""
    return {one["hmac"] for one in entries(layout)}


def _refused(
    connection: duckdb.DuckDBPyConnection, ring: KeyRing, known: set[str], path: Path
) -> list[str]:
    """Learner and manager identifiers of a file that have a tombstone."""
    found = []
    for (one,) in connection.sql(
        f"SELECT DISTINCT learner_id FROM {literal(path)} UNION "
        f"SELECT DISTINCT manager_id FROM {literal(path)}"
    ).fetchall():
        also = {str(one)}
        if str(one).startswith("acct:"):
            also.add("emp:" + str(one).rsplit("#", 1)[-1])
        if ring.tombstone(also) & known:
            found.append(str(one))
    return found


def refuse(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    ring: KeyRing,
    known: set[str],
    files: Iterable[Path],
) -> int:
    """Remove erased people from record and roster files before anybody reads them.

    Returns:
        Rows removed.
    """
    removed = 0
    for path in files if known else ():
        ids = _refused(connection, ring, known, path)
        if ids:
            listed = ", ".join(literal(one) for one in ids)
            manager = {"manager_id": f"manager_id IN ({listed})"}
            edit = FileEdit(path, f"learner_id IN ({listed})", manager)
            result = apply_edit(connection, layout, edit)
            removed += result.before - result.after if result else 0
    return removed
