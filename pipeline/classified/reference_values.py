"""What the leak checks compare with: the courses, departments and people that the store knows.

Made once a run from the stored records, apart from the tables under check. It holds raw
identifiers (the deny-list), so it lies in the vault.

The file has one encrypted table; `attach` makes these of it:
    course      course_code, sensitivity (NULL = ordinary)
    title       title
    department  department (of at least k people)
    unit        unit (of the organization, from the roster)
    category    category of courses
    total       people, records (one row)
    denylist      entry: folded names, addresses and identifiers of known people
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from pipeline.classified.models import PACKAGE
from pipeline.classified.population import load
from pipeline.classified.sensitivity import course_sensitivity
from pipeline.context import Context
from pipeline.policy.disclosure import OTHER
from pipeline.storage import encryption
from pipeline.storage.layout import Layout
from pipeline.storage.relations import roster
from pipeline.storage.sql import literal, render
from pipeline.subjects.denylist import entries_sql

TABLES = {
    "course": "entry AS course_code, sensitivity",
    "title": "entry AS title",
    "department": "entry AS department",
    "unit": "entry AS unit",
    "category": "entry AS category",
    "total": "people, records",
    "denylist": "entry",
}


def write(connection: duckdb.DuckDBPyConnection, context: Context, out: Path) -> None:
    """Write the file of reference values from the records and the roster in the store."""
    layout, data_map = context.layout, context.data_map
    population = load(connection, layout)
    query = render(
        PACKAGE,
        "reference_values.sql",
        sensitivity=course_sensitivity(connection, context, population.titles),
        titles=population.titles,
        people=population.people,
        roster=roster(layout),
        denylist=entries_sql(roster(layout), population.people),
        categories=[*context.disclosure.categories, OTHER],
        least_people=data_map.least_people,
    )
    encryption.write_table(connection, layout, query, out)


def attach(connection: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Give the connection the tables above, as `reference.<table>`. All but the denylist are small
    and looked up again and again, so they are decrypted here."""
    stored = encryption.rows(connection, layout, layout.reference_values)
    connection.execute(
        "ATTACH ':memory:' AS reference; CREATE TABLE reference.small AS "
        f"FROM {stored} WHERE kind <> 'denylist'"
    )
    views = (
        f"CREATE VIEW reference.{table} AS SELECT {columns} "
        f"FROM {stored if table == 'denylist' else 'reference.small'} WHERE kind = {literal(table)}"
        for table, columns in TABLES.items()
    )
    connection.execute("; ".join(views))
