"""Counting rule breaks in DuckDB. What leaves this module is names of rules and counts."""

from __future__ import annotations

import duckdb

from expectations.domains import BY_VALUE, SOURCE_TEXT, Checked, inside
from pipeline.policy.data_map import DataMap
from pipeline.policy.fields import Audience
from pipeline.storage import encryption
from pipeline.storage.engine import count
from pipeline.storage.layout import Layout
from pipeline.storage.sql import identifier
from pipeline.subjects.denylist import grams_sql

Evidence = dict[str, int]


def good(column: Checked, data_map: DataMap, audience: Audience, k: int | None = None) -> str:
    """SQL: may the value stand in this column? Never NULL."""
    right = f"coalesce({inside(column, data_map, audience, k)}, false)"
    return f"({identifier(column.name)} IS NULL OR {right})" if column.nullable else right


def column_evidence(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    columns: list[Checked],
    data_map: DataMap,
    audience: Audience,
    k: int | None = None,
) -> Evidence:
    """Values per column that lie outside its domain, or are empty where they may not be: rows,
    or distinct values for the kinds in BY_VALUE. Pseudonyms have `pseudonym_evidence`."""
    found: Evidence = {}
    by_row = []
    for column in columns:
        name, told = identifier(column.name), f"{column.name}.{column.rule}"
        right = good(column, data_map, audience, k)
        if column.rule in BY_VALUE:
            found[told] = count(
                connection,
                f"SELECT count(*) FROM (SELECT DISTINCT {name} FROM {relation}) WHERE NOT {right}",
            )
        elif column.rule != "pseudonym":
            by_row.append(f"count(*) FILTER (NOT {right}) AS {identifier(told)}")
    if by_row:
        row = connection.sql(f"SELECT {', '.join(by_row)} FROM {relation}")
        found |= dict(zip(row.columns, row.fetchall()[0], strict=True))
    return found


def identifier_evidence(
    connection: duckdb.DuckDBPyConnection, relation: str, columns: list[Checked]
) -> Evidence:
    """Known names, addresses and identifiers that stand in each text column."""
    found: Evidence = {}
    for column in columns:
        if column.rule in SOURCE_TEXT:
            texts = f"(SELECT DISTINCT {identifier(column.name)} AS text FROM {relation})"
            # Texts are few and the deny-list is long: it streams past the hashed texts.
            found[f"{column.name}.known_identifier"] = count(
                connection,
                "SELECT count(*) FROM reference.denylist "
                f"WHERE entry IN (SELECT gram FROM ({grams_sql(texts)}))",
            )
    return found


def pseudonym_evidence(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    columns: list[Checked],
    layout: Layout,
    data_map: DataMap,
    audience: Audience,
) -> Evidence:
    """Distinct references per column that are no pseudonyms of the audience, or that the vault
    did not hand out for it. The rows are read once per column: references are long and many."""
    refs = encryption.rows(connection, layout, layout.references(audience))
    found: Evidence = {}
    for column in columns:
        if column.rule != "pseudonym":
            continue
        name = identifier(column.name)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE referenced AS SELECT DISTINCT {name} FROM {relation}"
        )
        found[f"{column.name}.{column.rule}"] = count(
            connection,
            f"SELECT count(*) FROM referenced WHERE NOT {good(column, data_map, audience)}",
        )
        found[f"{column.name}.in_vault"] = count(
            connection,
            f"SELECT count(*) FROM referenced ANTI JOIN {refs} r ON {name} = r.ref "
            f"WHERE {name} IS NOT NULL",
        )
    return found


def schema_evidence(
    connection: duckdb.DuckDBPyConnection, relation: str, expected: dict[str, str]
) -> Evidence:
    """Columns that are not expected, and expected ones that are missing or of another type."""
    shape = connection.sql(f"FROM {relation} LIMIT 0")
    actual = dict(zip(shape.columns, map(str, shape.types), strict=True))
    return {
        "schema.unlisted_columns": len(set(actual) - set(expected)),
        "schema.missing_or_wrong": sum(actual.get(name) != kind for name, kind in expected.items()),
    }


def declared(columns: list[Checked]) -> list[str]:
    """Names of all counts that a table's evidence owes; the suite expects exactly these."""
    names = ["schema.unlisted_columns", "schema.missing_or_wrong"]
    for column in columns:
        names.append(f"{column.name}.{column.rule}")
        if column.rule in SOURCE_TEXT:
            names.append(f"{column.name}.known_identifier")
        if column.rule == "pseudonym":
            names.append(f"{column.name}.in_vault")
    return names


def table_evidence(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    columns: list[Checked],
    types: dict[str, str],
    layout: Layout,
    data_map: DataMap,
    audience: Audience,
    k: int | None = None,
) -> Evidence:
    """All counts of one table. With a broken schema only its counts are given, and the suite
    fails on the missing ones."""
    found = schema_evidence(connection, relation, types)
    if found["schema.missing_or_wrong"]:
        return found
    return (
        found
        | column_evidence(connection, relation, columns, data_map, audience, k)
        | identifier_evidence(connection, relation, columns)
        | pseudonym_evidence(connection, relation, columns, layout, data_map, audience)
    )
