"""Counting rule breaks in DuckDB. What leaves this module is names of rules and counts."""

from __future__ import annotations

import duckdb

from expectations.domains import SOURCE_TEXT, Checked, inside
from pipeline.engine import identifier, literal
from pipeline.layout import Layout
from pipeline.policy.data_map import DataMap, Purpose
from pipeline.transforms.classify import sensitivity_sql
from pipeline.transforms.stored import records, roster

Evidence = dict[str, int]
LONGEST_NAME = 4  # words of a full name that the deny-list looks for


def reference_tables(
    connection: duckdb.DuckDBPyConnection, layout: Layout, data_map: DataMap
) -> None:
    """Make what the domains compare with, from the stored records rather than from the tables
    under check: ordinary_course, known_course, known_title, known_department, known_total, and
    the deny-list `denied(entry)` of raw identifiers, names and addresses."""
    classified = literal(layout.classified / "current.parquet")
    least = min(spec.k for spec in data_map.published.values() if spec.k)
    connection.execute(f"""
    CREATE TEMP TABLE known_course AS
      SELECT course_code, {sensitivity_sql(data_map)} AS sensitivity
      FROM (SELECT DISTINCT course_code, course_title FROM {records(layout)}
            WHERE problem IS NULL) GROUP BY course_code;
    CREATE TEMP VIEW ordinary_course AS FROM known_course WHERE sensitivity IS NULL;
    CREATE TEMP TABLE known_title AS
      SELECT DISTINCT course_title AS title FROM {records(layout)} WHERE problem IS NULL;
    CREATE TEMP TABLE known_department AS
      SELECT department FROM {classified} GROUP BY department
      HAVING count(DISTINCT person) >= {least};
    CREATE TEMP TABLE known_total AS
      SELECT count(DISTINCT person) AS people, count(*) AS records FROM {classified};
    CREATE TEMP TABLE denied AS
      SELECT DISTINCT lower(entry) AS entry FROM (
        SELECT name AS entry FROM {roster(layout)} UNION SELECT email FROM {roster(layout)}
        UNION SELECT DISTINCT learner_id FROM {records(layout)} WHERE problem IS NULL)
      WHERE length(entry) >= 4;
    """)


def column_evidence(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    columns: list[Checked],
    data_map: DataMap,
    purpose: Purpose,
    k: int | None = None,
) -> Evidence:
    """Rows per column that lie outside its domain, or are empty where they may not be."""
    counts = []
    for column in columns:
        name = identifier(column.name)
        good = f"coalesce({inside(column, data_map, purpose, k)}, false)"
        if column.nullable:
            good = f"({name} IS NULL OR {good})"
        counts.append(
            f"count(*) FILTER (NOT {good}) AS {identifier(f'{column.name}.{column.rule}')}"
        )
    row = connection.sql(f"SELECT {', '.join(counts)} FROM {relation}")
    return dict(zip(row.columns, row.fetchall()[0], strict=True))


def identifier_evidence(
    connection: duckdb.DuckDBPyConnection, relation: str, columns: list[Checked]
) -> Evidence:
    """Distinct texts per column in which a known person's name, address or identifier stands.

    Runs of one to four words are looked up in the deny-list, so a name inside a title counts.
    """
    found: Evidence = {}
    for column in columns:
        if column.rule not in SOURCE_TEXT:
            continue
        grams = " UNION ALL ".join(
            f"SELECT text, unnest(list_transform(range(1, len(words) - {n - 2}), "
            f"lambda i: array_to_string(words[i:i + {n - 1}], ' '))) AS gram FROM words"
            for n in range(1, LONGEST_NAME + 1)
        )
        ((count,),) = connection.sql(f"""
          WITH words AS (
            SELECT DISTINCT {identifier(column.name)} AS text,
              regexp_split_to_array(lower({identifier(column.name)}), '[\\s,;:()"]+') AS words
            FROM {relation} WHERE {identifier(column.name)} IS NOT NULL)
          SELECT count(DISTINCT text) FROM ({grams}) JOIN denied ON entry = gram""").fetchall()
        found[f"{column.name}.known_identifier"] = int(count)
    return found


def pseudonym_evidence(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    columns: list[Checked],
    layout: Layout,
    purpose: Purpose,
) -> Evidence:
    """Distinct references per column that the vault did not hand out for this purpose."""
    refs = literal(layout.references(purpose))
    found: Evidence = {}
    for column in columns:
        if column.rule == "pseudonym":
            name = identifier(column.name)
            ((count,),) = connection.sql(
                f"SELECT count(*) FROM (SELECT DISTINCT {name} AS ref FROM {relation} "
                f"WHERE {name} IS NOT NULL) ANTI JOIN {refs} USING (ref)"
            ).fetchall()
            found[f"{column.name}.in_vault"] = int(count)
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
    purpose: Purpose,
    k: int | None = None,
) -> Evidence:
    """All counts of one table. With a broken schema only its counts are given, and the suite
    fails on the missing ones."""
    found = schema_evidence(connection, relation, types)
    if found["schema.missing_or_wrong"]:
        return found
    return (
        found
        | column_evidence(connection, relation, columns, data_map, purpose, k)
        | identifier_evidence(connection, relation, columns)
        | pseudonym_evidence(connection, relation, columns, layout, purpose)
    )
