"""Months of an audience's store that a run need not make again: they were made of the same rows, by
the same SQL, under the same key.

marks.json beside the months has for each what it was made of, as a keyed hash, and what came of
it, as the hash of its file. A month that an erasure has rewritten since, or that was damaged, is
made again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import duckdb

from pipeline.keys.ring import AudienceKey
from pipeline.policy.fields import Audience
from pipeline.policy.windows import Cutoffs
from pipeline.pseudonymized.models import audience_model
from pipeline.pseudonymized.pseudonymize import before_sql
from pipeline.storage import relations
from pipeline.storage.engine import fingerprints
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout

MARKS = "marks.json"


def file(folder: Path, period: str) -> Path:
    """Where an audience's rows of one period lie."""
    return folder / period / "rows.parquet"


def marks(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    key: AudienceKey,
    cutoffs: Cutoffs,
    periods: list[str],
) -> dict[str, str]:
    """What each period would be made of now, as a keyed hash.

    Args:
        cutoffs: as `eligible`, and so is the connection.
        periods: their folders' names.
    """
    how = audience_model(key.audience, "rows")
    made_of: dict[str, tuple[int, int, int]] = {}
    # Of managers' rows the states of all trainings are looked up, and whichever is less is held in
    # memory: one month, or these.
    at_once = [[name] for name in periods] if key.audience is Audience.MANAGER else [periods]
    for names in at_once:
        rows = relations.classified_with_folder(layout, names)
        before = before_sql(rows, key.audience, cutoffs, "folder")
        made_of |= fingerprints(connection, before, "folder")
    return {name: key.keyed_hash(f"{how} {made_of.get(name)}") for name in periods}


def keep(folder: Path, marks: dict[str, str], out: Path) -> dict[str, list[str]]:
    """Let `out` have the files of `folder` whose marks are these; returns their periods, each with
    its mark and its file's hash."""
    stored = folder / MARKS
    before = json.loads(stored.read_text("utf-8")) if stored.exists() else {}
    unchanged = {}
    for name, mark in marks.items():
        path = file(folder, name)
        if path.exists() and before.get(name) == (now := [mark, file_sha256(path)]):
            # Files of the store are replaced, and never written into.
            os.link(path, file(out, name))
            unchanged[name] = now
    return unchanged


def remember(marks: dict[str, str], unchanged: dict[str, list[str]], out: Path) -> None:
    """Write down what the periods in `out` were made of.

    Args:
        unchanged: as `keep` returns it.
    """
    stored = {
        name: unchanged.get(name) or [mark, file_sha256(file(out, name))]
        for name, mark in marks.items()
    }
    (out / MARKS).write_text(json.dumps(stored, indent=1), "utf-8")
