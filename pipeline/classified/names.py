"""The names in the vault: what the people are called who are on the roster and have a record.

Nothing that is published or pseudonymized has a name; the 1:1 sheet (pipeline/read/sheet) joins
these when it is handed over. They are made anew of the rosters by every run that publishes, and by
every erasure; nothing adds to them, so a name stays no longer than its roster row and a record.
"""

from __future__ import annotations

import duckdb

from pipeline.classified import population
from pipeline.classified.models import PACKAGE
from pipeline.context import Context
from pipeline.policy.data_map import DataMap
from pipeline.storage import encryption
from pipeline.storage.engine import count, fingerprint
from pipeline.storage.file_edit import fresh_path, swap
from pipeline.storage.layout import Layout
from pipeline.storage.relations import files, parquet, source_of, subquery
from pipeline.storage.schema import ROSTER
from pipeline.storage.sql import Sql, literals, render


def on_roster(layout: Layout, data_map: DataMap) -> Sql:
    """SQL: the latest row (ROSTER) of everybody on a roster. Of a source that delivers everybody
    each time, whoever is not in its newest file is on the roster no more."""
    found = []
    for source in (name for name, one in data_map.sources.items() if one.reader == "roster"):
        mine = [path for path in files(layout, "roster") if source_of(path) == source]
        # A delivery with folders of regions has a whole roster in each.
        newest = {path.parent.name: path.parent.parent.name for path in mine}
        full = data_map.sources[source].full
        found += [p for p in mine if not full or newest[p.parent.name] == p.parent.parent.name]
    return subquery(render("pipeline.storage", "roster.sql", history=parquet(found, ROSTER)))


def refresh(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Make the vault's names anew, if they are not those that there are; the caller holds the
    lock. The old file is gone then."""
    layout = context.layout
    query = render(
        PACKAGE,
        "names.sql",
        roster=on_roster(layout, context.data_map),
        people=population.people(layout),
    )
    if layout.names.exists():
        stored = f"FROM {encryption.rows(connection, layout, layout.names)}"
        if fingerprint(connection, stored) == fingerprint(connection, query):
            return
    fresh = fresh_path(layout, layout.names)
    encryption.write_table(connection, layout, query, fresh)
    swap(fresh, layout.names)


def rows(connection: duckdb.DuckDBPyConnection, layout: Layout) -> Sql:
    """SQL: person (raw identifier) and name; nobody before the first run."""
    if not layout.names.exists():
        return parquet([], {"person": "VARCHAR", "name": "VARCHAR"})
    return Sql(encryption.rows(connection, layout, layout.names))


def left(connection: duckdb.DuckDBPyConnection, layout: Layout, people: tuple[str, ...]) -> int:
    """How many of these people have a name here."""
    named = f"person IN ({literals(people)})"
    return count(connection, f"SELECT count(*) FROM {rows(connection, layout)} WHERE {named}")
