"""The manifest of the published release: what it is, and what it was made from."""

from __future__ import annotations

import json

from pipeline.errors import Unfinished
from pipeline.storage.layout import Layout

MANIFEST = "release.json"


def manifest(layout: Layout) -> dict[str, object]:
    """What is published now: `partition` (the run date), `run_id`, `released_at`, `ran_at` (when
    the run released it, of which an erasure releases what is left), `rows` and `sha256` per table
    and file, `made_from` per audience, `deliveries` with their versions, `policy`, `erasure`, and
    what was on record by then: `history` (of publications) and `cases` (how often each register
    had changed).

    Raises:
        Unfinished: nothing is published yet.
    """
    path = layout.current / MANIFEST
    if not path.exists():
        raise Unfinished("nothing is published yet")
    found: dict[str, object] = json.loads(path.read_text("utf-8"))
    return found


def published_deliveries(layout: Layout) -> dict[str, str]:
    """The deliveries that the published release was made from, each with its version; none if
    nothing is published, or by a version before deliveries had states."""
    if not (layout.current / MANIFEST).exists():
        return {}
    found = manifest(layout).get("deliveries", {})
    assert isinstance(found, dict)
    return found


def release_date(layout: Layout, partition: str) -> str:
    """The run date that a release gets: never an older one than what is published has."""
    if not (layout.current / MANIFEST).exists():
        return partition
    return max(partition, str(manifest(layout)["partition"]))
