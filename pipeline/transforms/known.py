"""What the leak checks compare with: the courses, departments and people that the store knows.

Made once a night from the stored records, apart from the tables under check. It holds raw
identifiers (the deny-list), so it lies in the vault.

Tables of the file:
    course      course_code, sensitivity (NULL = ordinary)
    title       title
    department  department (of at least k people)
    category    category of courses
    total       people, records (one row)
    denied      entry: folded names, addresses and identifiers of known people
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from pipeline.engine import literal
from pipeline.ground import Ground
from pipeline.policy.disclosure import OTHER
from pipeline.transforms.classify import sensitivity_sql
from pipeline.transforms.denylist import entries_sql
from pipeline.transforms.stored import classified, records, roster


def write_known(connection: duckdb.DuckDBPyConnection, ground: Ground, out: Path) -> None:
    """Write the file of known values from the records and the roster in the store."""
    layout, data_map = ground.layout, ground.data_map
    rows = classified(layout)
    categories = ", ".join(map(literal, [*ground.disclosure.categories, OTHER]))
    connection.execute(f"ATTACH {literal(out)} AS known")
    try:
        connection.execute(f"""
        CREATE TEMP TABLE told AS SELECT DISTINCT course_code, course_title
          FROM {records(layout)} WHERE problem IS NULL;
        CREATE TABLE known.course AS SELECT course_code, {sensitivity_sql(data_map)} AS sensitivity
          FROM told GROUP BY course_code;
        CREATE TABLE known.title AS SELECT DISTINCT course_title AS title FROM told
          WHERE course_title IS NOT NULL;
        CREATE TABLE known.category AS SELECT unnest([{categories}]) AS category;
        CREATE TABLE known.department AS SELECT department FROM {rows}
          WHERE department IS NOT NULL
          GROUP BY department HAVING count(DISTINCT person) >= {data_map.least_people};
        CREATE TABLE known.total AS
          SELECT count(DISTINCT person) AS people, count(*) AS records FROM {rows};
        CREATE TEMP TABLE person AS SELECT DISTINCT person FROM {rows}
          UNION SELECT DISTINCT manager FROM {rows} WHERE manager IS NOT NULL;
        CREATE TABLE known.denied AS {entries_sql(roster(layout), "person")};
        DROP TABLE told; DROP TABLE person;
        """)
    finally:
        connection.execute("DETACH known")
