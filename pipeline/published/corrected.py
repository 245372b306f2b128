"""A period that is published a second time, by a signed correction: its new figures, the old ones
that stay, and the old ones that are withdrawn (pipeline/disclosure/correction.py).
"""

from __future__ import annotations

import datetime as dt

import duckdb
import numpy as np

from pipeline.context import Context
from pipeline.disclosure.correction import Before, Corrected, corrected
from pipeline.disclosure.period import MEASURES, Bools, Tree
from pipeline.published.coaching import CELL, KEY, CoachingRows, period_of
from pipeline.storage.relations import subquery, temp_table
from pipeline.storage.sql import Sql, identifiers, literal, same_values

# Tables whose figures can be corrected, from the company to the teams: the number of their cells.
TABLES = {
    "coaching_period": None,
    "coaching_department": "department_number",
    "coaching_team": "team",
}


def choose(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    rows: CoachingRows,
    period: dt.date,
    carried: dict[str, Sql],
) -> tuple[dict[str, Sql], dict[str, Sql]]:
    """Choose what of a period is published again.

    Args:
        rows: those of this period alone.
        carried: coaching table to the rows that the history has.

    Returns:
        Coaching table to a temporary table of the cells with new figures (period and KEY), and to
        the rows of the history that stay: those of other periods, and the figures that are as they
        were.
    """
    piece = period_of(connection, rows, period)
    before = _before(connection, rows, period, carried, piece.teams)
    found = corrected(piece, before, context.disclosure.rule(context.data_map))
    of_table = dict(zip(TABLES, _by_level(found, piece.teams), strict=True))
    cells, staying = {}, {}
    for table in CELL:
        replaced, kept = of_table.get(table, (np.zeros(0, bool), np.zeros(0, bool)))
        cells[table] = _cells(connection, rows, table, period, replaced)
        left = Sql(f"FROM {carried[table]} WHERE period <> {literal(period)}")
        if table in TABLES:
            named = _named(connection, rows, table, period, kept)
            test = same_values("c", "n", CELL[table]) if CELL[table] else "true"
            left = Sql(
                f"{left} UNION ALL FROM {carried[table]} AS c WHERE period = {literal(period)} "
                f"AND EXISTS (FROM {named} AS n WHERE {test})"
            )
        staying[table] = temp_table(connection, f"{table}_staying", left)
    return cells, staying


def _by_level(found: Corrected, tree: Tree) -> list[tuple[Bools, Bools]]:
    """Replaced and kept nodes of the company, of departments and of teams."""
    borders = [1, 1 + len(tree.group_named)]
    return list(zip(np.split(found.replaced, borders), np.split(found.kept, borders), strict=True))


def _numbers(table: str, nodes: Bools) -> list[int]:
    return [int(one) for one in np.flatnonzero(nodes)]


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers)) or "NULL"


def _cells(
    connection: duckdb.DuckDBPyConnection,
    rows: CoachingRows,
    table: str,
    period: dt.date,
    nodes: Bools,
) -> Sql:
    """A temporary table of a table's chosen cells, as coaching.choose_cells makes it."""
    key = identifiers(("period", *KEY[table]))
    number = TABLES.get(table)
    test = f"{number} IN ({_listed(_numbers(table, nodes))})" if number else str(bool(nodes.any()))
    without = ", ".join(f"false AS {measure}" for measure in MEASURES)
    query = (
        f"SELECT DISTINCT {key}, {without} FROM {rows.rows} "
        f"WHERE period = {literal(period)} AND {test}"
    )
    return temp_table(connection, f"{table}_corrected_cells", query)


def _named(
    connection: duckdb.DuckDBPyConnection,
    rows: CoachingRows,
    table: str,
    period: dt.date,
    nodes: Bools,
) -> Sql:
    """A temporary table of the names of some nodes of a table; one row without a name for the
    company."""
    names, number = CELL[table], TABLES[table]
    if number is None:
        query = f"SELECT true AS company WHERE {bool(nodes.any())}"
    else:
        query = (
            f"SELECT DISTINCT {identifiers(names)} FROM {rows.teams} "
            f"WHERE period = {literal(period)} AND {number} IN ({_listed(_numbers(table, nodes))})"
        )
    return temp_table(connection, f"{table}_kept_names", query)


def _before(
    connection: duckdb.DuckDBPyConnection,
    rows: CoachingRows,
    period: dt.date,
    carried: dict[str, Sql],
    tree: Tree,
) -> Before:
    """The figures that the period was published with, by the nodes of its new version."""
    sizes = (1, len(tree.group_named), len(tree.group))
    parts = []
    for (table, number), size in zip(TABLES.items(), sizes, strict=True):
        names = CELL[table]
        teams = f"SELECT DISTINCT {number or 0} AS node, {identifiers(names) or 'true'} FROM " + (
            f"{rows.teams} WHERE period = {literal(period)}"
        )
        same = same_values("c", "n", names) if names else "true"
        found = connection.execute(
            "SELECT node, c.learners AS people, c.records, "
            "round(c.completion_rate * c.records)::BIGINT AS complete "
            f"FROM {subquery(teams)} AS n "
            f"JOIN {carried[table]} AS c ON {same} WHERE c.period = {literal(period)}"
        ).fetchnumpy()
        part = {name: np.zeros(size, np.int64) for name in ("people", "records", "complete")}
        for name, values in part.items():
            values[np.asarray(found["node"], np.int64)] = np.asarray(found[name], np.int64)
        parts.append(part)
    return Before(*(np.concatenate([part[name] for part in parts]) for name in parts[0]))
