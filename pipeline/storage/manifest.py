"""The manifest of the published release: what it is, and what it was made from."""

from __future__ import annotations

import json

from pipeline.errors import Unfinished
from pipeline.storage.layout import Layout

MANIFEST = "release.json"


def manifest(layout: Layout) -> dict[str, object]:
    """What is published now: `partition` (the run date), `run_id`, `released_at`, `ran_at` (when
    the run released it, of which an erasure releases what is left), `rows` and `sha256` per table
    and file, `made_from` per audience, `policy` and `erasure`.

    Raises:
        Unfinished: nothing is published yet.
    """
    path = layout.current / MANIFEST
    if not path.exists():
        raise Unfinished("nothing is published yet")
    found: dict[str, object] = json.loads(path.read_text("utf-8"))
    return found
