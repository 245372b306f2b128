"""What attackers can work out of the coaching figures that are about to be published.

The attackers (pipeline/disclosure/attack.py) have every staged coaching table without noise. One
table stands for all of them: the finest, since whatever they learn is about one of its cells.
"""

from __future__ import annotations

import datetime as dt

import duckdb
import numpy as np
from scipy.sparse import csr_array, vstack

from expectations.evidence import Evidence
from pipeline.compute import cluster
from pipeline.context import Context
from pipeline.disclosure.attack import Figures, Found, attack
from pipeline.disclosure.period import Ints, Period
from pipeline.disclosure.solver import AuditError
from pipeline.policy.fields import Audience
from pipeline.published import coaching, publication_history
from pipeline.storage.engine import count
from pipeline.storage.relations import pseudonymized
from pipeline.storage.sql import Sql, identifier

TABLE = "coaching_team_course"
NARROWED, LEARNED = "attack.narrowed", "attack.learned"
CONTRADICTORY = "attack.contradictory"
RULES = [NARROWED, LEARNED, CONTRADICTORY]
COUNTS = ("records", "complete", "on_time")


def evidence(connection: duckdb.DuckDBPyConnection, context: Context, partition: str) -> Evidence:
    """Cells of all new periods that an attacker narrows down too far or learns; 1 for
    contradictory figures. The staged tables are attached as `staged`."""
    new = publication_history.new_periods(context.layout, partition)
    try:
        found = attacks(connection, context, new).values()
    except AuditError:
        return {NARROWED: 0, LEARNED: 0, CONTRADICTORY: 1}
    return {
        NARROWED: sum(one.narrowed for one in found),
        LEARNED: sum(one.learned for one in found),
        CONTRADICTORY: 0,
    }


def attacks(
    connection: duckdb.DuckDBPyConnection, context: Context, new: list[str]
) -> dict[str, Found]:
    """What the attackers find out about every new period, from the tables attached as `staged`.

    Raises:
        AuditError: the staged figures contradict one another.
    """
    days = [dt.date.fromisoformat(day) for day in new]
    source = Sql(pseudonymized(context.layout, Audience.COACHING))
    rows = coaching.make_rows(connection, source, context.disclosure, days)
    k = context.disclosure.rule(context.data_map).k
    exact = [table for table in coaching.CELL if table not in context.disclosure.coaching.noise]
    pieces = (
        (period, figures(connection, rows, period, day, exact), k)
        for day in days
        for period in [coaching.period_of(connection, rows, day)]
    )
    size = count(connection, f"SELECT count(*) FROM {rows.contributions}")
    return dict(zip(new, cluster.results(attack, pieces, size), strict=True))


def figures(
    connection: duckdb.DuckDBPyConnection,
    rows: coaching.CoachingRows,
    period: Period,
    day: dt.date,
    exact: list[str],
) -> Figures:
    """The staged figures of one period, as counts, over the period's cells.

    Args:
        exact: tables whose figures have no noise; no others say anything for certain.
    """
    due = period.per_cell(period.due)
    members, totals = [], []
    cells = np.zeros(period.cells, bool)
    values = {name: np.zeros(period.cells, np.int64) for name in COUNTS}
    for table in exact:
        staged = _staged(connection, rows, table, day)
        row = _row_of_each_cell(period, table, staged)
        inside = np.flatnonzero(row >= 0)
        counts = _counts(staged, row[inside], due[inside])
        if table == TABLE:
            cells[inside] = True
            for name in COUNTS:
                values[name][inside] = counts[name][row[inside]]
        else:
            shape = (len(staged["records"]), period.cells)
            members.append(csr_array((np.ones(len(inside)), (row[inside], inside)), shape=shape))
            totals.append(counts)
    nothing = np.empty(0, np.int64)
    return Figures(
        csr_array(vstack([csr_array((0, period.cells)), *members])),
        {name: np.concatenate([nothing, *(counts[name] for counts in totals)]) for name in COUNTS},
        cells,
        values,
    )


def _counts(staged: dict[str, Ints], row: Ints, due: Ints) -> dict[str, Ints]:
    """COUNTS of every staged row.

    Args:
        row: of cells, the staged row that each belongs to; due: their records with a due date.
    """
    on_time = staged["share"] * np.bincount(row, due, len(staged["records"]))
    return {
        "records": staged["records"],
        "complete": staged["complete"],
        "on_time": np.rint(on_time).astype(np.int64),
    }


def _row_of_each_cell(period: Period, table: str, staged: dict[str, Ints]) -> Ints:
    """For every cell the staged row that it belongs to; -1 for none."""
    key = coaching.KEY[table]
    if not key:
        # The whole company: one row, or none in a period that is not published.
        return np.full(period.cells, len(staged["records"]) - 1)
    numbers = {
        "team": period.team,
        "department_number": period.teams.group[period.team],
        "course": period.course,
        "category_number": period.courses.group[period.course],
    }
    return _rows_of_cells([numbers[name] for name in key], [staged[name] for name in key])


def _rows_of_cells(of_cells: list[Ints], of_rows: list[Ints]) -> Ints:
    """For every cell the staged row with the same numbers; -1 for none."""
    wide = int(max(*(int(part.max(initial=0)) for part in of_cells), 0)) + 1
    cell, row = np.zeros_like(of_cells[0]), np.zeros_like(of_rows[0])
    for of_cell, of_row in zip(of_cells, of_rows, strict=True):
        cell, row = cell * wide + of_cell, row * wide + of_row
    order = np.argsort(row)
    at = np.minimum(np.searchsorted(row[order], cell), max(len(row) - 1, 0))
    if not len(row):
        return np.full(len(cell), -1, np.int64)
    return np.where(row[order][at] == cell, order[at], -1).astype(np.int64)


def _staged(
    connection: duckdb.DuckDBPyConnection, rows: coaching.CoachingRows, table: str, day: dt.date
) -> dict[str, Ints]:
    """Staged rows of one table and period: numbers of the cell, records, complete; and `share`,
    of the records with a due date that were completed on time."""
    named, numbers = "", ""
    for number in coaching.KEY[table]:
        relation, all_names = rows.names(number)
        names = [name for name in all_names if name in coaching.CELL[table]]
        same = " AND ".join(
            f"s.{name} IS NOT DISTINCT FROM {number}_name.{name}" for name in ("period", *names)
        )
        distinct = f"SELECT DISTINCT period, {number}, {', '.join(all_names)} FROM {relation}"
        named += f" JOIN ({distinct}) AS {number}_name ON {same}"
        numbers += f"{number}, "
    found = connection.execute(
        f"SELECT DISTINCT {numbers}records, round(completion_rate * records)::BIGINT AS complete, "
        f"coalesce(on_time_rate, 0) AS share FROM staged.{identifier(table)} s{named} "
        "WHERE s.period = $day",
        {"day": day},
    ).fetchnumpy()
    return {name: np.asarray(column) for name, column in found.items()}
