"""Classified rows to one pseudonymized table per audience, with that audience's columns only.

Which rows and which columns is said by the .sql files beside this module; models.py renders them
and checks the columns against the data map.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from pipeline.classified import population
from pipeline.keys.ring import AudienceKey
from pipeline.policy.fields import Audience
from pipeline.policy.windows import Cutoffs
from pipeline.pseudonymized.models import PSEUDONYMS, audience_model, columns_read, eligible
from pipeline.storage import encryption
from pipeline.storage.engine import joined_as_written
from pipeline.storage.layout import Layout
from pipeline.storage.relations import subquery, temp_table
from pipeline.storage.schema import PARQUET
from pipeline.storage.sql import Sql, identifiers, literal


def write_references(
    connection: duckdb.DuckDBPyConnection, layout: Layout, key: AudienceKey, out: Path
) -> Sql:
    """Write the vault's table of one audience, encrypted: person (raw identifier), ref (pseudonym).

    Distinct identifiers are hashed, rows are joined to them afterwards: people are far fewer
    than records.

    Returns:
        The relation PSEUDONYMS: person, ref, and the place of each pseudonym among them.
    """
    population.load_people(connection, layout)
    hashed = f"SELECT person, {key.hmac_sql('person')} AS ref FROM ({population.LIVING})"
    made = _placed(connection, hashed, key.parameters())
    encryption.write_table(
        connection, layout, f"SELECT person, ref FROM {made} ORDER BY place", out
    )
    return made


def _placed(
    connection: duckdb.DuckDBPyConnection, people: str, parameters: dict[str, bytes] | None = None
) -> Sql:
    """Make PSEUDONYMS of a query of person and ref. Rows are sorted by the place, since sorting by
    the pseudonyms themselves, which begin alike, takes twice as long."""
    placed = f"SELECT *, row_number() OVER (ORDER BY ref) AS place FROM ({people})"
    return temp_table(connection, PSEUDONYMS, placed, parameters)


def load_references(
    connection: duckdb.DuckDBPyConnection, layout: Layout, audience: Audience
) -> Sql:
    """Make the relation PSEUDONYMS from the vault's table of one audience, and return it."""
    return _placed(
        connection, f"FROM {encryption.rows(connection, layout, layout.references(audience))}"
    )


def eligible_rows(rows: str, audience: Audience, cutoffs: Cutoffs) -> Sql:
    """Relation: the classified rows that the audience may see; arguments as `eligible`."""
    return subquery(f"FROM {eligible(rows, audience, cutoffs)} WHERE withheld IS NULL")


def period_sql(rows: str, audience: Audience, cutoffs: Cutoffs, pseudonyms: Sql) -> Sql:
    """SQL: one audience's pseudonymized rows of one period, in the order of the pseudonyms.

    Args:
        rows: relation of the period's classified rows.
        cutoffs: as `eligible`, and so is the connection.
        pseudonyms: as `load_references` returns it.

    A person without a pseudonym is an error, not a fallback identifier (the inner join loses the
    row and reconciliation stops the run).
    """
    return audience_model(audience, eligible_rows(rows, audience, cutoffs), pseudonyms)


def before_sql(rows: str, audience: Audience, cutoffs: Cutoffs, *beside: str) -> str:
    """SQL: what `period_sql` makes its rows of, in no order: the eligible rows with the classified
    columns that the audience's columns and their order depend on. Arguments as `eligible`.

    Args:
        beside: further columns of `rows`.
    """
    read = identifiers([*beside, *columns_read(audience)])
    return f"SELECT {read} FROM {eligible_rows(rows, audience, cutoffs)}"


def write_period(
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    audience: Audience,
    cutoffs: Cutoffs,
    pseudonyms: Sql,
    out: Path,
) -> None:
    """Write the rows of `period_sql`. The same ones give the very same file, so that an erasure
    sees what it has changed."""
    query = period_sql(rows, audience, cutoffs, pseudonyms)
    with joined_as_written(connection):
        connection.execute(f"COPY ({query}) TO {literal(out)} ({PARQUET})")


def period_names(layout: Layout) -> list[str]:
    """Folders of the classified store; without a record one of an empty period, so that the columns
    exist all the same."""
    return sorted(folder.name for folder in layout.classified.glob("period=*")) or ["period=none"]
