"""Coaching tables: each period told once, and only what cannot be turned back into people.

Tables are levels of one cube, teams by courses. Which of its figures are told is chosen for all
of them together (pipeline/disclosure/pattern.py), since an attacker has them all.
"""

from __future__ import annotations

from itertools import tee

import duckdb
import numpy as np
import pyarrow as pa

from pipeline import cluster
from pipeline.disclosure.pattern import Pattern, protect
from pipeline.disclosure.period import Bools, Ints, Period, Rule, Tree
from pipeline.engine import count
from pipeline.policy.disclosure import DisclosureRules

# Each coaching table's cell beside the period. None of them is a level of both dimensions but the
# finest, so that the cells between totals are a graph (pipeline/disclosure/cuts.py).
CELL: dict[str, tuple[str, ...]] = {
    "coaching_period": (),
    "coaching_department": ("department",),
    "coaching_team": ("department", "team_ref"),
    "coaching_category": ("category",),
    "coaching_course": ("category", "course_code"),
    "coaching_team_course": ("department", "team_ref", "course_code"),
}
BANDS = ("low", "mid", "high", "unscored")
# Score bands are told of courses only: told of teams as well, the two could be crossed.
WITH_BANDS = ("coaching_period", "coaching_category", "coaching_course")


def make_rows(
    connection: duckdb.DuckDBPyConnection, rows: str, rules: DisclosureRules, told: str
) -> None:
    """Make of the pseudonymized rows of the periods that are to be told:

    - `coaching_row`: the rows, with period and category;
    - `cell_name`: one row a (period, team, course), its names and their numbers, which are
      consecutive in each period: team, course, department_number, category_number;
    - `contribution`: one row a (period, team, course, person), numbers and counts only.

    Args:
        rows: SQL, coaching's pseudonymized rows.
        told: SQL test over `period`: is it to be told now?
    """
    period = f"date_trunc('{rules.coaching.period}', period)::DATE"
    connection.execute(f"""
    CREATE OR REPLACE TEMP TABLE coaching_row AS
      SELECT * REPLACE ({period} AS period), {rules.category_sql("course_code")} AS category
      FROM {rows} WHERE period IS NOT NULL AND {told.format(period=period)};
    CREATE OR REPLACE TEMP TABLE cell_name AS
      SELECT *,
        dense_rank() OVER (PARTITION BY period ORDER BY department, team_ref) - 1 AS team,
        dense_rank() OVER (PARTITION BY period ORDER BY category, course_code) - 1 AS course,
        dense_rank() OVER (PARTITION BY period ORDER BY department) - 1 AS department_number,
        dense_rank() OVER (PARTITION BY period ORDER BY category) - 1 AS category_number
      FROM (SELECT DISTINCT period, department, team_ref, category, course_code
            FROM coaching_row);
    CREATE OR REPLACE TEMP TABLE contribution AS
      SELECT r.period, team, course, person,
        count(*) AS records, count(*) FILTER (complete) AS complete, count(on_time) AS due,
        count(*) FILTER (on_time) AS on_time, count(*) FILTER (score_band = 'low') AS low
      FROM coaching_row r
      JOIN cell_name c ON r.period = c.period AND r.course_code IS NOT DISTINCT FROM c.course_code
        AND r.team_ref IS NOT DISTINCT FROM c.team_ref
        AND r.department IS NOT DISTINCT FROM c.department
      JOIN (SELECT learner_ref, row_number() OVER (ORDER BY learner_ref) - 1 AS person
            FROM (SELECT DISTINCT learner_ref FROM coaching_row)) USING (learner_ref)
      GROUP BY ALL
    """)


def period_of(connection: duckdb.DuckDBPyConnection, period: object) -> Period:
    """One period of `contribution` as arrays; teams and courses numbered as there."""
    found = _ints(connection, "SELECT * EXCLUDE (period) FROM contribution WHERE period = $period "
                  "ORDER BY team, course, person", period)  # fmt: skip

    def tree(leaf: str, group: str, leaf_name: str, group_name: str) -> Tree:
        of = _ints(
            connection,
            f"SELECT DISTINCT {leaf} AS leaf, {group} AS grp, ({leaf_name} IS NOT NULL)::INT "
            f"AS leaf_named, ({group_name} IS NOT NULL)::INT AS group_named "
            "FROM cell_name WHERE period = $period ORDER BY leaf",
            period,
        )
        assert (of["leaf"] == np.arange(len(of["leaf"]))).all()
        groups, first = np.unique(of["grp"], return_index=True)
        assert (groups == np.arange(len(groups))).all()
        return Tree(of["grp"], of["leaf_named"] > 0, of["group_named"][first] > 0)

    team, course = found["team"], found["course"]
    starts = np.ones(len(team), bool)
    starts[1:] = (team[1:] != team[:-1]) | (course[1:] != course[:-1])
    return Period(
        tree("team", "department_number", "team_ref", "department"),
        tree("course", "category_number", "course_code", "category"),
        team[starts], course[starts], np.cumsum(starts) - 1,
        *(found[name] for name in ("person", "records", "complete", "due", "on_time", "low")),
    )  # fmt: skip


def _ints(
    connection: duckdb.DuckDBPyConnection, query: str, period: object
) -> dict[str, Ints]:  # fmt: skip
    """A query's columns, all of whole numbers."""
    found = connection.execute(query, {"period": period}).fetchnumpy()
    return {name: np.asarray(column, np.int64) for name, column in found.items()}


def choose(connection: duckdb.DuckDBPyConnection, rule: Rule) -> None:
    """Choose what is told of every period in `contribution`; makes `chosen_<table>` of the
    columns period and the table's cell."""
    empty = "SELECT period{} FROM cell_name LIMIT 0"
    for table, cell in CELL.items():
        columns = "".join(f", {name}" for name in cell)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE chosen_{table} AS {empty.format(columns)}"
        )
    periods = connection.sql("SELECT DISTINCT period FROM cell_name ORDER BY 1").fetchall()
    tables, again = tee(period_of(connection, period) for (period,) in periods)
    size = count(connection, "SELECT count(*) FROM contribution")
    patterns = cluster.results(protect, ((one, rule) for one in tables), size)
    for (period,), of, pattern in zip(periods, again, patterns, strict=True):
        for table, (key, numbers) in _numbers(of, pattern).items():
            columns = "".join(f", {name}" for name in CELL[table])
            chosen = pa.table({name: column for name, column in zip(key, numbers, strict=True)})
            connection.register("chosen_numbers", chosen)
            test = " AND ".join(f"c.{name} = n.{name}" for name in key) or "true"
            connection.execute(
                f"INSERT INTO chosen_{table} SELECT DISTINCT c.period{columns} "
                f"FROM cell_name c JOIN chosen_numbers n ON {test} WHERE c.period = $period",
                {"period": period},
            )
            connection.unregister("chosen_numbers")


def _numbers(period: Period, pattern: Pattern) -> dict[str, tuple[tuple[str, ...], list[Ints]]]:
    """Of every table: the columns of `contribution` by which cells are chosen, and the numbers."""
    cells = np.flatnonzero(pattern.cells)

    def single(mask: Bools) -> list[Ints]:
        return [np.flatnonzero(mask).astype(np.int64)]

    every = np.full(len(period.teams.group), pattern.teams.root)
    return {
        "coaching_period": (("team",), single(every)),
        "coaching_department": (("department_number",), single(pattern.teams.groups)),
        "coaching_team": (("team",), single(pattern.teams.leaves)),
        "coaching_category": (("category_number",), single(pattern.courses.groups)),
        "coaching_course": (("course",), single(pattern.courses.leaves)),
        "coaching_team_course": (
            ("team", "course"), [period.team[cells], period.course[cells]],
        ),
    }  # fmt: skip


def table_sql(table: str) -> str:
    """SQL: the chosen figures of one table, from `coaching_row`.

    Measures: learners (distinct people), records, completion_rate and on_time_rate (0..1, the
    latter over records with a due date), median_days from assignment to completion (whole days),
    and of courses the share of records in each score band.
    """
    cell = CELL[table]
    key = "".join(f", r.{name}" for name in cell)
    same = " AND ".join(f"r.{name} IS NOT DISTINCT FROM c.{name}" for name in ("period", *cell))
    bands = "".join(
        f", (count(*) FILTER (score_band = '{band}') / count(*))::DOUBLE AS share_{band}"
        for band in (BANDS if table in WITH_BANDS else ())
    )
    return f"""
    SELECT r.period{key}, count(DISTINCT learner_ref) AS learners, count(*) AS records,
      avg(complete::DOUBLE) AS completion_rate, avg(on_time::DOUBLE) AS on_time_rate,
      round(median(days)) AS median_days{bands}
    FROM coaching_row r JOIN chosen_{table} c ON {same} GROUP BY r.period{key}"""
