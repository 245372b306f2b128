"""Coaching tables: each period told once, and only what cannot be turned back into people.

Tables are levels of one cube, teams by courses. Which of its figures are told is chosen for all
of them together (pipeline/disclosure/pattern.py), since an attacker has them all.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from itertools import tee

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.compute import cluster
from pipeline.disclosure.pattern import Pattern, protect
from pipeline.disclosure.period import Bools, Ints, Period, Tree
from pipeline.policy.disclosure import BANDS, DisclosureRule, DisclosureRules
from pipeline.storage.engine import count

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
# The numbers (`make_rows`) by which a table's cells are known within a period.
KEY: dict[str, tuple[str, ...]] = {
    "coaching_period": (),
    "coaching_department": ("department_number",),
    "coaching_team": ("team",),
    "coaching_category": ("category_number",),
    "coaching_course": ("course",),
    "coaching_team_course": ("team", "course"),
}
# Of every number: the table that names it, and its names.
NAMED: dict[str, tuple[str, tuple[str, ...]]] = {
    "team": ("team_name", ("department", "team_ref")),
    "department_number": ("team_name", ("department",)),
    "course": ("course_name", ("category", "course_code")),
    "category_number": ("course_name", ("category",)),
}
BAND_TYPE = f"ENUM {BANDS}"
# Score bands are told of courses only: told of teams as well, the two could be crossed.
WITH_BANDS = ("coaching_period", "coaching_category", "coaching_course")


def make_rows(
    connection: duckdb.DuckDBPyConnection, rows: str, rules: DisclosureRules, told: str
) -> None:
    """Make of the pseudonymized rows of the periods that are to be told:

    - `team_name`: one row a (period, team): department, team_ref and their numbers, which are
      consecutive in each period: department_number, team;
    - `course_name`: one row a (period, course): category, course_code, category_number, course;
    - `coaching_row`: the rows, with those numbers and the person's in place of all names;
    - `contribution`: one row a (period, team, course, person), numbers and counts only.

    Args:
        rows: SQL, coaching's pseudonymized rows.
        told: SQL test over `period`: is it to be told now?
    """
    period = f"date_trunc('{rules.coaching.period}', period)::DATE"
    due = f"period IS NOT NULL AND {told.format(period=period)}"
    connection.execute(f"""
    CREATE OR REPLACE TEMP TABLE team_name AS
      SELECT *,
        dense_rank() OVER (PARTITION BY period ORDER BY department, team_ref) - 1 AS team,
        dense_rank() OVER (PARTITION BY period ORDER BY department) - 1 AS department_number
      FROM (SELECT DISTINCT {period} AS period, department, team_ref FROM {rows} WHERE {due});
    CREATE OR REPLACE TEMP TABLE course_name AS
      SELECT *,
        dense_rank() OVER (PARTITION BY period ORDER BY category, course_code) - 1 AS course,
        dense_rank() OVER (PARTITION BY period ORDER BY category) - 1 AS category_number
      FROM (SELECT *, {rules.category_sql("course_code")} AS category FROM (
        SELECT DISTINCT {period} AS period, course_code FROM {rows} WHERE {due}));
    CREATE OR REPLACE TEMP TABLE coaching_row AS
      SELECT t.period, {", ".join(f"{name}::INTEGER AS {name}" for name in (*NAMED, "person"))},
        complete, on_time, days, score_band::{BAND_TYPE} AS score_band
      FROM (SELECT * REPLACE ({period} AS period) FROM {rows} WHERE {due}) r
      JOIN team_name t ON r.period = t.period AND r.team_ref IS NOT DISTINCT FROM t.team_ref
        AND r.department IS NOT DISTINCT FROM t.department
      JOIN course_name c ON r.period = c.period AND r.course_code IS NOT DISTINCT FROM c.course_code
      JOIN (SELECT learner_ref, row_number() OVER (ORDER BY learner_ref) - 1 AS person
            FROM (SELECT DISTINCT learner_ref FROM {rows} WHERE {due})) USING (learner_ref);
    CREATE OR REPLACE TEMP TABLE contribution AS
      SELECT period, team, course, person,
        count(*) AS records, count(*) FILTER (complete) AS complete, count(on_time) AS due,
        count(*) FILTER (on_time) AS on_time, count(*) FILTER (score_band = 'low') AS low
      FROM coaching_row GROUP BY ALL
    """)


def period_of(connection: duckdb.DuckDBPyConnection, period: object) -> Period:
    """One period of `contribution` as arrays; teams and courses numbered as there."""
    found = _ints(connection, "SELECT * EXCLUDE (period) FROM contribution WHERE period = $period "
                  "ORDER BY team, course, person", period)  # fmt: skip

    def tree(table: str, leaf: str, group: str, leaf_name: str, group_name: str) -> Tree:
        of = _ints(
            connection,
            f"SELECT DISTINCT {leaf} AS leaf, {group} AS grp, ({leaf_name} IS NOT NULL)::INT "
            f"AS leaf_named, ({group_name} IS NOT NULL)::INT AS group_named "
            f"FROM {table} WHERE period = $period ORDER BY leaf",
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
        tree("team_name", "team", "department_number", "team_ref", "department"),
        tree("course_name", "course", "category_number", "course_code", "category"),
        team[starts], course[starts], np.cumsum(starts) - 1,
        *(found[name] for name in ("person", "records", "complete", "due", "on_time", "low")),
    )  # fmt: skip


def _ints(
    connection: duckdb.DuckDBPyConnection, query: str, period: object
) -> dict[str, Ints]:  # fmt: skip
    """A query's columns, all of whole numbers."""
    found = connection.execute(query, {"period": period}).fetchnumpy()
    return {name: np.asarray(column, np.int64) for name, column in found.items()}


def choose(connection: duckdb.DuckDBPyConnection, rule: DisclosureRule) -> None:
    """Choose what is told of every period in `contribution`; makes `chosen_<table>` of the
    columns period and the table's KEY."""
    for table, key in KEY.items():
        columns = "".join(f", {name}" for name in key)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE chosen_{table} AS "
            f"SELECT period{columns} FROM coaching_row LIMIT 0"
        )
    found = periods(connection)
    tables, again = tee(period_of(connection, period) for period in found)
    size = count(connection, "SELECT count(*) FROM contribution")
    patterns = cluster.results(protect, ((one, rule) for one in tables), size)
    for period, of, pattern in zip(found, again, patterns, strict=True):
        for table, numbers in _chosen(of, pattern).items():
            key = ("period", *KEY[table])
            days = [period] * len(numbers[0])
            chosen = pa.table(dict(zip(key, [days, *numbers], strict=False)))
            connection.register("chosen_numbers", chosen)
            connection.execute(f"INSERT INTO chosen_{table} FROM chosen_numbers")
            connection.unregister("chosen_numbers")


def periods(connection: duckdb.DuckDBPyConnection) -> list[dt.date]:
    """The periods that `make_rows` found rows of."""
    found = connection.sql("SELECT DISTINCT period FROM team_name ORDER BY 1").fetchall()
    return [period for (period,) in found]


def _chosen(period: Period, pattern: Pattern) -> dict[str, list[Ints]]:
    """Of every table the numbers of the chosen cells, in the order of its KEY; of the whole
    company one number of no meaning, or none."""
    cells = np.flatnonzero(pattern.cells)

    def single(mask: Bools) -> list[Ints]:
        return [np.flatnonzero(mask).astype(np.int64)]

    return {
        "coaching_period": single(np.array([pattern.teams.root])),
        "coaching_department": single(pattern.teams.groups),
        "coaching_team": single(pattern.teams.leaves),
        "coaching_category": single(pattern.courses.groups),
        "coaching_course": single(pattern.courses.leaves),
        "coaching_team_course": [period.team[cells], period.course[cells]],
    }


def make_figures(connection: duckdb.DuckDBPyConnection, tables: Iterable[str]) -> None:
    """Make `figures_<table>` of each: the chosen figures under the table's KEY. One period after
    the other, so that medians and distinct people of one only are in memory."""
    found = periods(connection)
    for table in tables:
        made = f"figures_{table}"
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {made} AS {_figures_sql(table, 'NULL')} LIMIT 0"
        )
        for period in found:
            figures = _figures_sql(table, f"DATE '{period}'")
            connection.execute(f"INSERT INTO {made} {figures}")


def _figures_sql(table: str, period: str) -> str:
    """SQL: the chosen figures of one table and period, from `coaching_row`.

    Measures: learners (distinct people), records, completion_rate and on_time_rate (0..1, the
    latter over records with a due date), median_days from assignment to completion (whole days),
    and of courses the share of records in each score band.
    """
    key = ", ".join(("period", *KEY[table]))
    bands = "".join(
        f", (count(*) FILTER (score_band = '{band}') / count(*))::DOUBLE AS share_{band}"
        for band in (BANDS if table in WITH_BANDS else ())
    )
    return f"""
    SELECT {key}, count(DISTINCT person) AS learners, count(*) AS records,
      avg(complete::DOUBLE) AS completion_rate, avg(on_time::DOUBLE) AS on_time_rate,
      round(median(days)) AS median_days{bands}
    FROM coaching_row SEMI JOIN chosen_{table} USING ({key}) WHERE period = {period}
    GROUP BY {key}"""


def named_sql(table: str) -> str:
    """SQL: `figures_<table>` under their names instead of their numbers."""
    return f"SELECT * FROM figures_{table}" + "".join(
        f" JOIN ({names_sql(number)}) USING (period, {number})" for number in KEY[table]
    )


def names_sql(number: str) -> str:
    """SQL: period, number and names of one of the NAMED numbers."""
    table, names = NAMED[number]
    return f"SELECT DISTINCT period, {number}, {', '.join(names)} FROM {table}"
