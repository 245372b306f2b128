"""What a reader receives and what it must produce.

A reader is given files that it can open, whatever they were delivered as (pipeline/raw/forms/). It
names the columns of a file (for the data map's check) and writes the file's rows, valid and
quarantined, as one Parquet file (pipeline/raw/readers/canonical.py). Lines that cannot be split
into fields go to a second file beside it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.policy.fields import Source
from pipeline.raw.forms.readable import Readable
from pipeline.storage.sql import literal

# Days after its delivery; a later due date, such as 9999-12-31, is how systems write that there is
# none.
PLANNED_WITHIN = 3652


class MalformedFile(ValueError):
    """A file as a whole cannot be read; the text names file and rule, never a value."""


@dataclass(frozen=True)
class DeliveryContext:
    """Facts about one delivery, and the SQL fragments that readers make of them."""

    connection: duckdb.DuckDBPyConnection
    delivery: dt.date
    earliest_date: dt.date
    default_zone: str
    name: str
    source: Source
    region: str | None = None

    @property
    def zone(self) -> str:
        """Of the source's own clock."""
        return self.source.zone or self.default_zone

    @property
    def delivery_instant(self) -> str:
        return _midnight(self.delivery)

    @property
    def earliest(self) -> str:
        return _midnight(self.earliest_date)

    @property
    def latest(self) -> str:
        # A delivery is written on its day in some time zone; nothing in it can be later.
        return _midnight(self.delivery, 2)

    @property
    def latest_planned(self) -> str:
        return _midnight(self.delivery, PLANNED_WITHIN)

    @property
    def region_sql(self) -> str:
        return literal(self.region) if self.region else "NULL"


def _midnight(day: dt.date, later: int = 0) -> str:
    """SQL: the timestamp at which a day begins, or so many days later."""
    moved = dt.date.fromordinal(min(day.toordinal() + later, dt.date.max.toordinal()))
    return literal(dt.datetime.combine(moved, dt.time()))


@dataclass(frozen=True)
class Reader:
    """One export format.

    Attributes:
        columns: file to its column names (or JSON paths); raises MalformedFile.
        read: files to <out>.parquet and <out>.rejects.parquet.
        together: the source's files must be read together, as in a relational export.
        tables: its files are tables of columns that the data map names.
    """

    columns: Callable[[Readable], list[str]]
    read: Callable[[list[Readable], Path, DeliveryContext], None]
    together: bool = False
    tables: bool = False
