"""People who are named in delivered files only: in those of a delivery that was refused before
anything of it was read. Nothing of them is stored, and a request about them is no mistake."""

from __future__ import annotations

import duckdb

from pipeline.errors import BadInput
from pipeline.raw import landing
from pipeline.storage.layout import Layout
from pipeline.subjects import lookup
from pipeline.subjects.identity import Subject, find
from pipeline.subjects.lookup import Found


def search(connection: duckdb.DuckDBPyConnection, layout: Layout, text: str) -> list[Found]:
    """As `lookup.search`; if that finds nobody, whom delivered files name by this very number or
    address. A name alone says of nobody who that is."""
    found = lookup.search(connection, layout, text)
    if found or len(text.split()) != 1:
        return found
    subject = find(connection, layout, lookup.identifier_of(connection, text))
    days = landing.deliveries_naming(layout, subject.free_text, surely=True)
    systems = {f"files of the delivery of {day}": 1 for day in days}
    return [Found(subject.person, "delivered files, which no run has read", systems)][: len(days)]


def require_somebody(
    connection: duckdb.DuckDBPyConnection, layout: Layout, subject: Subject
) -> None:
    """Stop where nothing is stored about a person, and no delivered file names them.

    Raises:
        BadInput: as `lookup.require_somebody`.
    """
    try:
        lookup.require_somebody(connection, layout, subject)
    except BadInput:
        if not landing.deliveries_naming(layout, subject.free_text, surely=True):
            raise
