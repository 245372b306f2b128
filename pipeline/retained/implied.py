"""What was made after an entry of the access log, and says after which: so a log that is shorter
than releases, receipts and signatures say is noticed, also where log and anchor were cut together.

A policy's signatures are made with people's own keys, so that nobody else can say otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.access import approval
from pipeline.access.verify import Implied
from pipeline.errors import BadInput
from pipeline.retained import receipts
from pipeline.storage.layout import Layout
from pipeline.storage.manifest import MANIFEST


def implied(layout: Layout) -> list[Implied]:
    """Entries that the access log must have, unless they have expired."""
    found = [(name, _read(path)) for name, path in _files(layout)]
    heads = [(name, one.get("log", one.get("statement", {}).get("log"))) for name, one in found]
    return [Implied(name, str(head)) for name, head in heads if head]


def of_copy(path: Path) -> Implied:
    """The last entry of a copy of the anchor.

    Raises:
        BadInput: it is none, or has no entry.
    """
    try:
        lines = path.read_text("ascii").splitlines()
        return Implied("the copy of the anchor", lines[-1])
    except (OSError, UnicodeDecodeError, IndexError):
        raise BadInput("the copy of the anchor cannot be read, or has no entry") from None


def _files(layout: Layout) -> Iterator[tuple[str, Path]]:
    """Release, receipts and signatures, each as a verification calls it."""
    yield "the release", layout.current / MANIFEST
    for path in receipts.newest_first(layout):
        yield f"the receipt {path.stem}", path
    for folder in approval.newest_first(layout):
        for path in sorted(folder.glob("*.json")):
            yield f"the signature of {path.stem} on the policy {folder.name}", path


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found
