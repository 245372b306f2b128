"""What the leak checks compare with: the courses, departments and people that the store knows.

Made once a night from the stored records, apart from the tables under check. It holds raw
identifiers (the deny-list), so it lies in the vault.

The file has one encrypted table; `attach` makes these of it:
    course      course_code, sensitivity (NULL = ordinary)
    title       title
    department  department (of at least k people)
    category    category of courses
    total       people, records (one row)
    denylist      entry: folded names, addresses and identifiers of known people
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from pipeline.classified import population
from pipeline.classified.classify import sensitivity_sql
from pipeline.context import Context
from pipeline.policy.disclosure import OTHER
from pipeline.storage import encryption
from pipeline.storage.layout import Layout
from pipeline.storage.relations import roster
from pipeline.storage.sql import literal
from pipeline.subjects.denylist import entries_sql

TABLES = {
    "course": "entry AS course_code, sensitivity",
    "title": "entry AS title",
    "department": "entry AS department",
    "category": "entry AS category",
    "total": "people, records",
    "denylist": "entry",
}


def write(connection: duckdb.DuckDBPyConnection, context: Context, out: Path) -> None:
    """Write the file of known values from the records and the roster in the store."""
    layout, data_map = context.layout, context.data_map
    population.load(connection, layout)
    categories = ", ".join(map(literal, [*context.disclosure.categories, OTHER]))
    # One table, so that it is swapped as one; in the order of kinds, so that one is found quickly.
    query = f"""
    FROM (
      SELECT 'course' AS kind, course_code AS entry, {sensitivity_sql(data_map)} AS sensitivity,
        NULL::BIGINT AS people, NULL::BIGINT AS records
        FROM {population.TITLES} GROUP BY course_code
      UNION ALL SELECT DISTINCT 'title', course_title, NULL, NULL, NULL
        FROM {population.TITLES}
        WHERE course_title IS NOT NULL
      UNION ALL SELECT 'category', unnest([{categories}]), NULL, NULL, NULL
      UNION ALL SELECT 'department', department, NULL, NULL, NULL FROM {population.PEOPLE}
        WHERE department IS NOT NULL
        GROUP BY department HAVING count(DISTINCT person) >= {data_map.least_people}
      UNION ALL SELECT 'total', NULL, NULL, people, records FROM ({population.TOTAL})
      UNION ALL SELECT 'denylist', entry, NULL, NULL, NULL
        FROM ({entries_sql(roster(layout), population.PEOPLE)})
    ) ORDER BY kind"""
    encryption.write_table(connection, layout, query, out)


def attach(connection: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Give the connection the tables above, as `reference.<table>`."""
    stored = encryption.rows(connection, layout, layout.reference_values)
    connection.execute("ATTACH ':memory:' AS reference")
    for table, columns in TABLES.items():
        connection.execute(
            f"CREATE VIEW reference.{table} AS SELECT {columns} FROM {stored} "
            f"WHERE kind = {literal(table)}"
        )
