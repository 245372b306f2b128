"""Tombstones: an erased person does not come back by a repeated export or a restored backup.

Only a keyed hash of each identifier is kept (HMAC-SHA256 under a key of its own), so the list
tells nothing without the key ring, and can still be asked "is it this one?".
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from pathlib import Path

import duckdb

from pipeline.context import Context
from pipeline.keys.ring import KeyRing
from pipeline.storage import encryption
from pipeline.storage.file_edit import FileEdit, apply_edit
from pipeline.storage.layout import Layout
from pipeline.storage.sql import literal

FILE = "tombstones.json.enc"


def entries(layout: Layout) -> list[dict[str, str]]:
    """Keyed hash (`hmac`) and day (`made_on`) of every erased identifier."""
    told: list[dict[str, str]] = json.loads(
        encryption.read_text(layout, layout.vault / FILE) or "[]"
    )
    return told


def write(layout: Layout, told: list[dict[str, str]]) -> None:
    encryption.write_text(layout, layout.vault / FILE, json.dumps(told))


def add(context: Context, identifiers: Iterable[str], today: dt.date) -> None:
    """Set a tombstone for every identifier of an erased person; a repeated call changes nothing."""
    layout = context.layout
    context.ring.create()
    new = sorted(context.ring.tombstone(identifiers) - hashes(layout))
    if new:
        told = [*entries(layout), *({"hmac": h, "made_on": today.isoformat()} for h in new)]
        write(layout, told)


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
    connection: duckdb.DuckDBPyConnection, layout: Layout, ring: KeyRing, known: set[str],
    files: Iterable[Path],
) -> int:  # fmt: skip
    """Take erased people out of record and roster files that nobody reads yet.

    Returns:
        Rows that went.
    """
    gone = 0
    for path in files if known else ():
        ids = _refused(connection, ring, known, path)
        if ids:
            listed = ", ".join(literal(one) for one in ids)
            edit = FileEdit(path, f"learner_id IN ({listed})",
                            {"manager_id": f"manager_id IN ({listed})"})  # fmt: skip
            done = apply_edit(connection, layout, edit)
            gone += done.before - done.after if done else 0
    return gone
