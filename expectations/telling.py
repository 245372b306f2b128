"""What coaching tells tonight: once, and nothing that can be worked out from all of it."""

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
from pipeline.storage.sql import Sql, dates, identifier

FRESH = "fresh"  # temporary table: staged rows that were not told before, or not so
ATTACKED = "coaching_team_course"  # the finest table stands for all of them together
ONCE = ["told.missing", "told.changed"]
WORKED_OUT = ["attack.narrowed", "attack.learned", "attack.contradictory"]
DECLARED = {table: ONCE + (WORKED_OUT if table == ATTACKED else []) for table in coaching.CELL}


def evidence(
    connection: duckdb.DuckDBPyConnection, context: Context, partition: str, table: str,
    relation: str,
) -> Evidence:  # fmt: skip
    """Rows told before that are missing, rows of a period that is not told tonight; and for the
    finest table what the attackers get. Makes the table `fresh`."""
    layout = context.layout
    carried = publication_history.carry_forward(connection, context)[table]
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {FRESH} AS "
        f"SELECT * FROM {relation} EXCEPT ALL FROM {carried}"
    )
    new = publication_history.new_periods(layout, partition)
    found: Evidence = {
        "told.missing": count(
            connection,
            f"SELECT count(*) FROM (FROM {carried} EXCEPT ALL SELECT * FROM {relation})",
        ),
        "told.changed": count(
            connection,
            f"SELECT count(*) FROM {FRESH} WHERE NOT coalesce(period IN ({dates(new)}), false)",
        ),
    }
    if table == ATTACKED:
        found |= dict.fromkeys(WORKED_OUT, 0)
        try:
            for one in attacks(connection, context, new).values():
                found["attack.narrowed"] += one.narrowed
                found["attack.learned"] += one.learned
        except AuditError:
            found["attack.contradictory"] = 1
    return found


def attacks(
    connection: duckdb.DuckDBPyConnection, context: Context, new: list[str]
) -> dict[str, Found]:
    """What the attackers get of every new period, from the tables attached as `staged`.

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
    numbers = {
        "team": period.team,
        "department_number": period.teams.group[period.team],
        "course": period.course,
        "category_number": period.courses.group[period.course],
    }
    due = period.per_cell(period.due)
    members, totals = [], []
    cells = np.zeros(period.cells, bool)
    values = {n: np.zeros(period.cells, np.int64) for n in ("records", "complete", "on_time")}
    for table in exact:
        key = coaching.KEY[table]
        staged = _staged(connection, rows, table, day)
        row = (
            _rows_of_cells([numbers[name] for name in key], [staged[name] for name in key])
            if key
            # The whole company: one row, or none in a period of which nothing is told.
            else np.full(period.cells, len(staged["records"]) - 1)
        )
        inside = np.flatnonzero(row >= 0)
        size = len(staged["records"])
        on_time = staged["share"] * np.bincount(row[inside], due[inside], size)
        staged_counts = {
            "records": staged["records"],
            "complete": staged["complete"],
            "on_time": np.rint(on_time).astype(np.int64),
        }
        if table == ATTACKED:
            cells[inside] = True
            for name, counts in staged_counts.items():
                values[name][inside] = counts[row[inside]]
        else:
            shape = (size, period.cells)
            members.append(csr_array((np.ones(len(inside)), (row[inside], inside)), shape=shape))
            totals.append(staged_counts)
    return Figures(
        csr_array(vstack([csr_array((0, period.cells)), *members])),
        {
            name: np.concatenate([np.empty(0, np.int64), *(told[name] for told in totals)])
            for name in values
        },
        cells,
        values,
    )


def _rows_of_cells(of_cells: list[Ints], of_rows: list[Ints]) -> Ints:
    """Of every cell the staged row that tells of it, by the numbers of both; -1 for none."""
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
    of records in time."""
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
