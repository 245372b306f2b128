"""Whose records are kept but not used: restriction (GDPR Art. 18) and objection (Art. 21).

One list in the vault, of entries person (raw identifier), purpose, and kind. The night leaves
these people out of the purpose's tables; retention does not erase restricted people's records.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import duckdb

from pipeline.layout import Layout, write_settled
from pipeline.policy.data_map import Purpose

RESTRICTED = "restricted"
OBJECTED = "objected"
Entry = tuple[str, str, str]


def path(layout: Layout) -> Path:
    return layout.vault / "withheld.json"


def entries(layout: Layout) -> list[Entry]:
    if not path(layout).exists():
        return []
    return [(who, purpose, kind) for who, purpose, kind in json.loads(path(layout).read_text())]


def restricted(layout: Layout) -> list[str]:
    """People whose records must be kept and not used."""
    return sorted({who for who, _, kind in entries(layout) if kind == RESTRICTED})


def withhold(layout: Layout, person: str, purposes: Iterable[Purpose], kind: str) -> None:
    """Leave a person out of some purposes from now on."""
    wanted = {(person, purpose.value, kind) for purpose in purposes}
    write_settled(path(layout), json.dumps(sorted(set(entries(layout)) | wanted)))


def release(layout: Layout, person: str, kind: str | None = None) -> None:
    """Forget a person's restrictions, objections, or both."""
    kept = [e for e in entries(layout) if e[0] != person or kind not in (None, e[2])]
    write_settled(path(layout), json.dumps(kept))


def make_withheld(connection: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Create the temporary table `withheld` (person, purpose) that `filters` asks."""
    connection.execute("CREATE OR REPLACE TEMP TABLE withheld (person VARCHAR, purpose VARCHAR)")
    rows = [(who, purpose) for who, purpose, _ in entries(layout)]
    if rows:
        connection.executemany("INSERT INTO withheld VALUES (?, ?)", rows)
