"""Population counts: whom and what the stored rows name, and in how many rows.

Whoever is in no row any more leaves the vault and the deny-list. Counted rows show who that is
without a look through all months, so that an erasure costs what it touches and not what is stored.

Files beside the classified months, made by the run that made those:
    people.parquet  PEOPLE, of classified rows, as learner with a department or as manager
    titles.parquet  TITLES, of canonical rows that are not in quarantine

An erasure takes the files away before it changes a row and puts them back when it has changed them
all. So a file that is there is right; where none is, the rows are counted anew, and so they are
for an erasure that was interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.classified.models import PACKAGE, titles_model
from pipeline.storage.files import atomic_build, fsync
from pipeline.storage.layout import Layout
from pipeline.storage.relations import (
    classified,
    holds,
    parquet,
    period_files,
    records,
    subquery,
    temp_table,
)
from pipeline.storage.schema import CLASSIFIED, PARQUET
from pipeline.storage.sql import Sql, literal, render

PEOPLE = Sql("people_counts")  # person, department, manages, n
TITLES = Sql("title_counts")  # course_code, course_title, n
FILES = {PEOPLE: "people.parquet", TITLES: "titles.parquet"}
# Everybody whom a classified row names, as learner or as manager.
LIVING = f"SELECT DISTINCT person FROM {PEOPLE}"
# Learners and classified records, in one row.
TOTAL = (
    "SELECT count(DISTINCT person) AS people, coalesce(sum(n), 0)::BIGINT AS records "
    f"FROM {PEOPLE} WHERE NOT manages"
)


@dataclass(frozen=True)
class Population:
    """The counts as relations of a connection: PEOPLE and TITLES."""

    people: Sql
    titles: Sql


def _counted(table: Sql, rows: Sql) -> Sql:
    """SQL: what some stored rows name."""
    if table == TITLES:
        return titles_model(subquery(f"FROM {rows} WHERE problem IS NULL"))
    return render(PACKAGE, "people_counts.sql", rows=rows)


def load(connection: duckdb.DuckDBPyConnection, layout: Layout) -> Population:
    """Make the tables of counts, from their files if those are there."""
    return Population(load_people(connection, layout), load_titles(connection, layout))


def load_people(connection: duckdb.DuckDBPyConnection, layout: Layout) -> Sql:
    """Make PEOPLE alone."""
    return _load(connection, layout, PEOPLE, classified(layout))


def load_titles(connection: duckdb.DuckDBPyConnection, layout: Layout) -> Sql:
    """Make TITLES alone."""
    return _load(connection, layout, TITLES, records(layout))


def _load(connection: duckdb.DuckDBPyConnection, layout: Layout, table: Sql, rows: Sql) -> Sql:
    path = layout.classified / FILES[table]
    query = f"FROM {literal(path)}" if path.exists() else _counted(table, rows)
    temp_table(connection, table, query)
    return table


def people(layout: Layout) -> Sql:
    """SQL: the people that classified rows name (columns: PEOPLE), from the file if it is there."""
    path = layout.classified / FILES[PEOPLE]
    if path.exists():
        return subquery(f"FROM {literal(path)}")
    return subquery(_counted(PEOPLE, classified(layout)))


def write(connection: duckdb.DuckDBPyConnection, layout: Layout, months: Path) -> None:
    """Count the classified months in a folder, and the canonical store; leave the files there."""
    made = parquet(period_files(months), CLASSIFIED)
    for table, rows in ((PEOPLE, made), (TITLES, records(layout))):
        _store(connection, _counted(table, rows), months / FILES[table])


def take(connection: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Make the tables and take the files away: rows are about to change."""
    load(connection, layout)
    forget(layout)


def forget(layout: Layout) -> None:
    """Take the files away: rows are about to change, and whoever comes next counts them anew."""
    for name in FILES.values():
        (layout.classified / name).unlink(missing_ok=True)
    if layout.classified.exists():
        fsync(layout.classified)


def change(connection: duckdb.DuckDBPyConnection, layout: Layout, path: Path, fresh: Path) -> None:
    """Count what turns one file of the stores into another; of a copy of a store nothing. The
    tables have to be summed up before they are read again.

    Args:
        path: the file as it is.
        fresh: the file that takes its place.
    """
    if path.is_relative_to(layout.classified) and path.parent.name.startswith("period="):
        table = PEOPLE
    elif path.is_relative_to(layout.canonical) and holds(path, "records"):
        table = TITLES
    else:
        return
    for one, sign in ((path, "-"), (fresh, "+")):
        counted = _counted(table, parquet([one], {}))
        connection.execute(f"INSERT INTO {table} SELECT * REPLACE ({sign}n AS n) FROM ({counted})")


def sum_up(connection: duckdb.DuckDBPyConnection) -> None:
    """Sum the tables up to what is named now, after changes."""
    for table in FILES:
        summed = "SELECT * EXCLUDE (n), sum(n)::BIGINT AS n"
        temp_table(connection, table, f"{summed} FROM {table} GROUP BY ALL HAVING sum(n) <> 0")


def put(connection: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Sum up, and put the files back: no row changes any more."""
    sum_up(connection)
    for table, name in FILES.items():
        with atomic_build(layout.classified / name, layout.work) as beside:
            _store(connection, f"FROM {table}", beside)
    fsync(layout.classified)


def _store(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    connection.execute(f"COPY ({query} ORDER BY ALL) TO {literal(path)} ({PARQUET})")
    path.chmod(0o600)
    fsync(path)
