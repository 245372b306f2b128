"""Whose records are kept but not used: restriction (GDPR Art. 18) and objection (Art. 21)."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

from pipeline.layout import Layout


def path(layout: Layout) -> Path:
    """JSON lines in the vault: person (raw identifier) and purpose."""
    return layout.vault / "withheld.json"


def make_withheld(connection: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Create the temporary table `withheld` (person, purpose) that `filters` asks."""
    connection.execute("CREATE OR REPLACE TEMP TABLE withheld (person VARCHAR, purpose VARCHAR)")
    if path(layout).exists():
        rows = json.loads(path(layout).read_text("utf-8"))
        if rows:
            connection.executemany("INSERT INTO withheld VALUES (?, ?)", rows)
