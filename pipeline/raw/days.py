"""Names of folders and files that are days."""

from __future__ import annotations

import datetime as dt
import re

DATED = re.compile(r"\d{4}-\d{2}-\d{2}")


def day_of(name: str) -> dt.date | None:
    """The day that a folder is named after; None if it is none, such as 2026-02-30."""
    try:
        return dt.date.fromisoformat(name) if DATED.fullmatch(name) else None
    except ValueError:
        return None
