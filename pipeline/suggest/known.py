"""Which preset a table's columns are those of."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from pipeline.policy import preset
from pipeline.raw.readers.corporate import REQUIRED

LEAST = 0.8  # of a file's columns, the share that the preset lists


@dataclass(frozen=True)
class Known:
    """A preset that fits a table.

    Attributes:
        zone: the time zone in the names of its columns, if it has one there.
        columns: those of the table that the preset lists, to their canonical names.
        statuses: the words that it knows.
    """

    name: str
    zone: str | None
    columns: dict[str, str]
    statuses: dict[str, str]


def preset_of(columns: Collection[str]) -> Known | None:
    """The shipped preset that lists most of a table's columns, with all that a reader needs."""
    fits = [found for name in preset.shipped() if (found := _fit(name, columns)) is not None]
    return max(fits, key=lambda found: len(found.columns), default=None)


def _fit(name: str, columns: Collection[str]) -> Known | None:
    source = preset.parsed(name, preset.shipped()[name]).source
    listed: dict[str, str] = {}
    zone = None
    for column in columns:
        for key, entry in source["fields"].items():
            found = re.fullmatch(_pattern(key), column.strip(), re.IGNORECASE)
            if found:
                listed[column] = entry["name"]
                zone = found.groupdict().get("zone") or zone
    if not set(REQUIRED) <= set(listed.values()) or len(listed) < LEAST * len(columns):
        return None
    return Known(name, zone, listed, source.get("statuses", {}))


def _pattern(key: str) -> str:
    return re.escape(key).replace(re.escape(preset.ZONE), r"(?P<zone>[\w/+\-]+)")
