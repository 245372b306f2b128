"""Pseudonymized rows to the tables that leave, staged as one DuckDB file per audience.

One file per audience means that no SQL in one audience's file can reach another's rows.
"""

from __future__ import annotations

import duckdb

from pipeline.engine import identifier, literal
from pipeline.layout import Layout, built_beside
from pipeline.policy.data_map import DataMap, Published, Purpose
from pipeline.transforms.kept import TABLE, kept, months
from pipeline.transforms.stored import pseudonymized

# A coaching table's cell: the column that names it, and the pseudonymized column behind it.
CELL = {
    "coaching_team": "team_ref",
    "coaching_course": "course_code",
    "coaching_department": "department",
    "coaching_period": "period",
}


def _share(band: str) -> str:
    return f"(count(*) FILTER (score_band = '{band}') / count(*))::DOUBLE AS share_{band}"


def coaching_sql(table: str, rows: str, k: int) -> str:
    """SQL: one coaching table; cells of fewer than k distinct people are withheld.

    Measures: learners (distinct people), records, completion_rate and on_time_rate (0..1, the
    latter over records with a due date), median_days from assignment to completion, and the
    share of records in each score band.
    """
    cell = CELL[table]
    return f"""
    SELECT {cell}, count(DISTINCT learner_ref) AS learners, count(*) AS records,
      avg(complete::DOUBLE) AS completion_rate, avg(on_time::DOUBLE) AS on_time_rate,
      median(days) AS median_days,
      {_share("low")}, {_share("mid")}, {_share("high")}, {_share("unscored")}
    FROM {rows} WHERE {cell} IS NOT NULL
    GROUP BY {cell} HAVING count(DISTINCT learner_ref) >= {k} ORDER BY {cell}"""


def table_sql(table: str, spec: Published, rows: str) -> str:
    """SQL: the content of one published table."""
    if spec.purpose is Purpose.COACHING:
        assert spec.k is not None  # the data map's model demands it
        return coaching_sql(table, rows, spec.k)
    columns = ", ".join(spec.columns)
    timed = any(name.endswith("_at") for name in spec.columns)
    # Rows lie by month and within it by pseudonym, never in the export's order, which can be that
    # of names. A table that does not tell time must not tell the month by its order either.
    return f"SELECT {columns} FROM {rows}" + ("" if timed else f" ORDER BY {columns}")


def with_kept(layout: Layout, table: str, query: str) -> str:
    """SQL: the query, with the months that are kept as aggregates as they were published last."""
    found = kept(layout) if table == TABLE else None
    if found is None:
        return query
    return (
        f"FROM ({query}) WHERE period NOT IN {months(layout)} UNION ALL FROM {found} "
        "ORDER BY period"
    )


def stage_database(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    data_map: DataMap,
    purpose: Purpose,
    partition: str,
) -> dict[str, int]:
    """Build one audience's DuckDB file among tonight's staged tables.

    Returns:
        Rows per table.
    """
    tables = {n: spec for n, spec in data_map.published.items() if spec.purpose is purpose}
    (database,) = {spec.database for spec in tables.values()}
    rows = pseudonymized(layout, purpose)
    counts: dict[str, int] = {}
    target = layout.staged(partition) / f"{database}.duckdb"
    with built_beside(target, layout.work) as beside:
        connection.execute(f"ATTACH {literal(beside)} AS staged")
        connection.execute("SET preserve_insertion_order = true")
        try:
            for table, spec in tables.items():
                query = with_kept(layout, table, table_sql(table, spec, rows))
                connection.execute(f"CREATE TABLE staged.{identifier(table)} AS {query}")
                (counts[table],) = connection.sql(
                    f"SELECT count(*) FROM staged.{identifier(table)}"
                ).fetchall()[0]
        finally:
            connection.execute("DETACH staged")
    return counts
