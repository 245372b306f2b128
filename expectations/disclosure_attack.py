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
from pipeline.disclosure.attack import Figures, Found, attack_all
from pipeline.disclosure.period import MEASURES, Ints, Period
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
COUNTS = ("records", "complete")
# SQL of a figure's share among what it counts, by what it is published for; what takes time has no
# share, and is looked at as what is complete.
SHARES = {
    "figures": "completion_rate",
    "on_time": "on_time_rate",
    "days": "CASE WHEN median_days IS NOT NULL THEN 1 END",
    "scores": "1 - share_low / nullif(1 - share_unscored, 0)",
}


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
    return dict(zip(new, cluster.results(attack_all, pieces, size), strict=True))


def figures(
    connection: duckdb.DuckDBPyConnection,
    rows: coaching.CoachingRows,
    period: Period,
    day: dt.date,
    exact: list[str],
) -> dict[str, Figures]:
    """The staged figures of one period, as counts, over the period's cells; and of each measure
    the figures that are published with it.

    Args:
        exact: tables whose figures have no noise; no others say anything for certain.
    """
    staged = {table: _staged(connection, rows, table, day) for table in exact}
    row = {table: _row_of_each_cell(period, table, of) for table, of in staged.items()}
    return {what: _figures(period, what, staged, row) for what in ("figures", *MEASURES)}


def _figures(
    period: Period, what: str, staged: dict[str, dict[str, Ints]], rows: dict[str, Ints]
) -> Figures:
    """What one measure publishes of one period, as counts.

    Args:
        rows: by table, of every cell the staged row that it belongs to.
    """
    counted = getattr(period, MEASURES[what][0] if what in MEASURES else "records")
    of_cells = period.per_cell(counted)
    members, totals = [csr_array((0, period.cells))], [np.zeros((2, 0), np.int64)]
    cells, values = np.zeros(period.cells, bool), np.zeros((2, period.cells), np.int64)
    for table, of in staged.items():
        seen = ~np.isnan(of[what])
        row = np.where(rows[table] >= 0, rows[table], len(seen))
        inside = np.flatnonzero(np.append(seen, False)[row])
        row, size = row[inside], len(seen)
        records = of["records"] if what == "figures" else np.bincount(row, of_cells[inside], size)
        counts = np.rint([records, np.where(seen, of[what], 0) * records]).astype(np.int64)
        if table == TABLE:
            cells[inside] = True
            values[:, inside] = counts[:, row]
        else:
            ones = np.ones(len(inside))
            members.append(csr_array((ones, (row, inside)), shape=(size, period.cells))[seen])
            totals.append(counts[:, seen])
    of_totals = np.concatenate(totals, axis=1)
    return Figures(
        csr_array(vstack(members)),
        dict(zip(COUNTS, of_totals, strict=True)),
        cells,
        dict(zip(COUNTS, values, strict=True)),
    )


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
    """Staged rows of one table and period: numbers of the cell, records, and the shares of SHARES,
    NaN where there is none."""
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
    staged = f"staged.{identifier(table)}"
    there = set(connection.sql(f"FROM {staged} LIMIT 0").columns)
    shares = ", ".join(
        f"coalesce(({share})::DOUBLE, 'nan') AS {what}"
        if what == "figures" or there >= set(coaching.COLUMNS[what])
        else f"'nan'::DOUBLE AS {what}"
        for what, share in SHARES.items()
    )
    found = connection.execute(
        f"SELECT DISTINCT {numbers}records, {shares} FROM {staged} s{named} WHERE s.period = $day",
        {"day": day},
    ).fetchnumpy()
    return {name: np.asarray(column) for name, column in found.items()}
