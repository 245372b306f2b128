"""Published figures that must not be shown any more, and those that would give them back
(pipeline/disclosure/withdrawal.py).
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from pipeline.disclosure.withdrawal import COMPANY, Name, Node, also_withdrawn, only_of
from pipeline.published.coaching import CELL
from pipeline.storage.relations import temp_table
from pipeline.storage.sql import Sql, identifiers, same_values

CELLS = "coaching_team_course"
TEAMS = ("coaching_period", "coaching_department", "coaching_team")
COURSES = ("coaching_period", "coaching_category", "coaching_course")
Row = tuple[object, ...]


def shown(
    connection: duckdb.DuckDBPyConnection,
    history: Mapping[str, Sql],
    courses: Sql,
    k: int,
    name: str,
) -> dict[str, Sql]:
    """What of the history may be shown: a relation for every table.

    Args:
        history: every coaching table to its published rows.
        courses: codes of the courses that figures may be about.
        k: the number of people that figures have to cover by now.
        name: what the temporary tables are called after.
    """
    tests = {
        table: f"(learners < {k})"
        + (f" OR (course_code NOT IN (FROM {courses}))" if "course_code" in CELL[table] else "")
        for table in history
    }
    # Where any figure falls short, k was raised, and what was left of totals may fall short, too.
    raised = bool(_periods(connection, {of: f"learners < {k}" for of in history.values()}))
    touched = {of: "true" if raised else tests[table] for table, of in history.items()}
    gone: dict[str, list[Row]] = {table: [] for table in history}
    for period in _periods(connection, touched):
        rows = {table: _rows(connection, table, of, period) for table, of in history.items()}
        bad = {
            table: set(_rows(connection, table, of, period, tests[table]))
            for table, of in history.items()
        }
        for table, names in _of_period(rows, bad, raised=raised).items():
            gone[table] += [(period, *name) for name in names]
    return {
        table: _without(connection, table, of, gone[table], f"{table}_{name}")
        for table, of in history.items()
    }


def _periods(connection: duckdb.DuckDBPyConnection, tests: Mapping[Sql, str]) -> list[object]:
    """Periods of which a row of some relations passes its test."""
    query = " UNION ".join(f"SELECT period FROM {of} WHERE {test}" for of, test in tests.items())
    return [period for (period,) in connection.sql(f"{query} ORDER BY period").fetchall()]


def _rows(
    connection: duckdb.DuckDBPyConnection, table: str, rows: Sql, period: object, test: str = "true"
) -> dict[Name, Node]:
    """A table's figures of a period, as far as they pass a test, by the names of their cells."""
    names = identifiers((*CELL[table], "learners", "records"))
    query = f"SELECT {names} FROM {rows} WHERE period = $1 AND ({test})"
    return {
        tuple(row[:-2]): Node(*row[-2:]) for row in connection.execute(query, [period]).fetchall()
    }


def _of_period(
    rows: Mapping[str, Mapping[Name, Node]], bad: Mapping[str, set[Name]], *, raised: bool
) -> dict[str, set[Name]]:
    """Names of the cells of every table that go in one period."""
    gone = {CELLS: set(rows[CELLS])}
    for dimension, finest in ((TEAMS, CELLS), (COURSES, "coaching_course")):
        nodes = {name: node for table in dimension for name, node in rows[table].items()}
        must = {name for table in dimension for name in bad[table]}
        must |= only_of(nodes, _totals(rows[finest], bad[finest]))
        went = also_withdrawn(nodes, must, raised=raised)
        gone |= {table: went & set(rows[table]) for table in dimension if COMPANY not in went}
        if COMPANY in went:
            return {table: set(of) for table, of in rows.items()}
    return gone


def _totals(rows: Mapping[Name, Node], bad: set[Name]) -> dict[Name, int]:
    """The records of what must go, in every total that it is in."""
    found: dict[Name, int] = {}
    for name in bad:
        for size in range(len(name)):
            found[name[:size]] = found.get(name[:size], 0) + rows[name].records
    return found


def _without(
    connection: duckdb.DuckDBPyConnection, table: str, rows: Sql, gone: list[Row], name: str
) -> Sql:
    """A table's rows but those of some cells, as a temporary table of that name where any go."""
    if not gone:
        return rows
    key = ("period", *CELL[table])
    columns = {
        name: pa.array(values, pa.date32() if name == "period" else pa.string())
        for name, values in zip(key, zip(*gone, strict=True), strict=True)
    }
    connection.register("gone_now", pa.table(columns))
    same = same_values("r", "g", key)
    left = f"FROM {rows} AS r WHERE NOT EXISTS (FROM gone_now AS g WHERE {same})"
    made = temp_table(connection, name, left)
    connection.unregister("gone_now")
    return made
