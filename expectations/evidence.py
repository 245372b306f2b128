"""Counting in DuckDB what breaks a rule. What leaves this module is names of rules and counts."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from expectations.domains import CheckedColumn, Scope, domain, inside
from pipeline.storage import encryption
from pipeline.storage.layout import Layout
from pipeline.storage.sql import identifier, literal
from pipeline.subjects.denylist import grams_sql

Evidence = dict[str, int]
UNLISTED_COLUMNS, WRONG_COLUMNS = "schema.unlisted_columns", "schema.missing_or_wrong"
SCHEMA_RULES = (UNLISTED_COLUMNS, WRONG_COLUMNS)


def count_broken(
    connection: duckdb.DuckDBPyConnection, relation: str, rules: dict[str, str]
) -> Evidence:
    """Rows that do not pass each rule; a test that is NULL is not passed.

    Args:
        rules: name of the rule to SQL test over a row.
    """
    return _count_each(connection, {relation: rules})


def _count_each(
    connection: duckdb.DuckDBPyConnection, rules: dict[str, dict[str, str]]
) -> Evidence:
    """As `count_broken`, of several relations in one statement; each is read once."""
    counts = ", ".join(
        f"(SELECT [{', '.join(map(_broken, of.values()))}] FROM {relation})"
        for relation, of in rules.items()
    )
    (found,) = connection.execute(f"SELECT {counts}").fetchall()
    return {
        rule: n
        for of, each in zip(rules.values(), found, strict=True)
        for rule, n in zip(of, each, strict=True)
    }


def _broken(test: str) -> str:
    return f"count(*) - count_if({test})"


def allowed(column: CheckedColumn, scope: Scope) -> str:
    """SQL: may the value stand in this column? A test that is NULL is not passed."""
    right = inside(column, scope)
    return f"{identifier(column.name)} IS NULL OR {right}" if column.nullable else right


def column_evidence(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    columns: Sequence[CheckedColumn],
    scope: Scope,
) -> Evidence:
    """Values per column that lie outside its domain, or are empty where they may not be: rows, or
    distinct values where the domain is judged so. Pseudonyms have `pseudonym_evidence`."""
    rules: dict[str, dict[str, str]] = {}
    for column in columns:
        if column.rule != "pseudonym":
            values = f"(SELECT DISTINCT {identifier(column.name)} FROM {relation})"
            rows = values if domain(column.rule).once_per_value else relation
            rules.setdefault(rows, {})[f"{column.name}.{column.rule}"] = allowed(column, scope)
    return _count_each(connection, rules) if rules else {}


def identifier_evidence(
    connection: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[CheckedColumn]
) -> Evidence:
    """Names, addresses and identifiers of the denylist that stand in each text column."""
    names = [column.name for column in columns if domain(column.rule).source_text]
    if not names:
        return {}
    texts = " UNION ALL ".join(
        f"SELECT DISTINCT {literal(name)} AS name, {identifier(name)} AS text FROM {relation}"
        for name in names
    )
    # The denylist is long: it is gone through once for all columns.
    rows = connection.execute(
        "SELECT name, count(DISTINCT gram) FROM reference.denylist "
        f"JOIN ({grams_sql(f'({texts})', 'name')}) ON entry = gram GROUP BY name"
    ).fetchall()
    found = dict(rows)
    return {f"{name}.known_identifier": int(found.get(name, 0)) for name in names}


def pseudonym_evidence(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    columns: Sequence[CheckedColumn],
    layout: Layout,
    scope: Scope,
) -> Evidence:
    """Distinct references per column that are no pseudonyms of the audience, or that the vault did
    not issue for it. The rows are read once per column: references are long and many."""
    refs = encryption.rows(connection, layout, layout.references(scope.audience))
    found: Evidence = {}
    for column in columns:
        if column.rule != "pseudonym":
            continue
        name = identifier(column.name)
        (row,) = connection.execute(
            f"WITH referenced AS MATERIALIZED (SELECT DISTINCT {name} FROM {relation}) "
            f"SELECT (SELECT {_broken(allowed(column, scope))} FROM referenced), "
            f"(SELECT count(*) FROM referenced ANTI JOIN {refs} r ON {name} = r.ref "
            f"WHERE {name} IS NOT NULL)"
        ).fetchall()
        found |= dict(
            zip((f"{column.name}.{column.rule}", f"{column.name}.in_vault"), row, strict=True)
        )
    return found


def schema_evidence(
    connection: duckdb.DuckDBPyConnection, relation: str, expected: dict[str, str]
) -> Evidence:
    """Columns that are not expected, and expected ones that are missing or of another type.

    Args:
        expected: column to DuckDB type.
    """
    shape = connection.sql(f"FROM {relation} LIMIT 0")
    actual = dict(zip(shape.columns, map(str, shape.types), strict=True))
    return {
        UNLISTED_COLUMNS: len(set(actual) - set(expected)),
        WRONG_COLUMNS: sum(actual.get(name) != kind for name, kind in expected.items()),
    }


def column_rules(columns: Sequence[CheckedColumn]) -> list[str]:
    """Names of all rules of a table's schema and columns; the suite expects exactly these."""
    names = [*SCHEMA_RULES]
    for column in columns:
        names.append(f"{column.name}.{column.rule}")
        if domain(column.rule).source_text:
            names.append(f"{column.name}.known_identifier")
        if column.rule == "pseudonym":
            names.append(f"{column.name}.in_vault")
    return names


def no_rows(columns: Sequence[CheckedColumn]) -> Evidence:
    """The counts of a relation's columns where it has no row."""
    return {rule: 0 for rule in column_rules(columns) if rule not in SCHEMA_RULES}


def table_evidence(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    columns: Sequence[CheckedColumn],
    layout: Layout,
    scope: Scope,
) -> Evidence:
    """All counts of one table's schema and columns. With a broken schema only its counts are
    given, and the suite fails on the missing ones."""
    found = schema_evidence(connection, relation, {one.name: one.type for one in columns})
    if found[WRONG_COLUMNS]:
        return found
    return (
        found
        | column_evidence(connection, relation, columns, scope)
        | identifier_evidence(connection, relation, columns)
        | pseudonym_evidence(connection, relation, columns, layout, scope)
    )
