"""Coaching tables: each period is published once, and only what cannot identify people.

Tables are levels of one cube, teams by courses. Which of its figures are published is chosen for
all tables together (pipeline/disclosure/pattern.py), since an attacker has them all; and for which
of them each measure that is about some of the records only. A measure that falls short is NULL.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import tee

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.compute import cluster
from pipeline.disclosure.pattern import Pattern, protect_all
from pipeline.disclosure.period import COUNTED, MEASURES, Bools, Ints, Period, Tree
from pipeline.policy.disclosure import BANDS, DisclosureRule, DisclosureRules
from pipeline.published import PACKAGE
from pipeline.storage.engine import count
from pipeline.storage.sql import Sql, identifier, identifiers, render, same_values

# Each coaching table's cell besides the period. Only the finest is a level of both dimensions, so
# that the cells between totals form a graph (pipeline/disclosure/cuts.py).
CELL: dict[str, tuple[str, ...]] = {
    "coaching_period": (),
    "coaching_department": ("department",),
    "coaching_team": ("department", "team_ref"),
    "coaching_category": ("category",),
    "coaching_course": ("category", "course_code"),
    "coaching_team_course": ("department", "team_ref", "course_code"),
}
# The numbers (`CoachingRows`) by which a table's cells are known within a period.
KEY: dict[str, tuple[str, ...]] = {
    "coaching_period": (),
    "coaching_department": ("department_number",),
    "coaching_team": ("team",),
    "coaching_category": ("category_number",),
    "coaching_course": ("course",),
    "coaching_team_course": ("team", "course"),
}
DUE = Sql("coaching_due")  # the view that `CoachingRows` is made from
# The columns of a measure (pipeline/disclosure/period.py).
COLUMNS = {
    "on_time": ("on_time_rate",),
    "days": ("median_days",),
    "scores": tuple(f"share_{band}" for band in BANDS),
}
# Score bands are published for courses only: with those of teams they could be crossed.
WITH_BANDS = ("coaching_period", "coaching_category", "coaching_course")


@dataclass(frozen=True)
class CoachingRows:
    """The rows of the periods that are published now, as temporary tables.

    Attributes:
        periods: their first days, oldest first; each has a row.
        teams: one row per (period, team): department, team_ref, department_number, team.
        courses: one row per (period, course): category, course_code, category_number, course.
        rows: the rows, with those numbers and the person's in place of names: period, team,
            department_number, course, category_number, person, complete, on_time, days,
            score_band.
        contributions: one row per (period, team, course, person): records, complete, due,
            on_time, timed, scored, not_low, all of them counts of records.
    """

    periods: tuple[dt.date, ...]
    teams: Sql
    courses: Sql
    rows: Sql
    contributions: Sql

    @classmethod
    def of(cls, periods: Iterable[dt.date]) -> CoachingRows:
        """The relations under the names that a run gives them."""
        names = ("coaching_teams", "coaching_courses", "coaching_rows", "coaching_contributions")
        return cls(tuple(sorted(periods)), *map(Sql, names))

    def names(self, number: str) -> tuple[Sql, tuple[str, ...]]:
        """The relation that names one of the numbers in KEY, and the columns of its names."""
        return {
            "team": (self.teams, ("department", "team_ref")),
            "department_number": (self.teams, ("department",)),
            "course": (self.courses, ("category", "course_code")),
            "category_number": (self.courses, ("category",)),
        }[number]


def row_models(rows: Sql, rules: DisclosureRules, found: CoachingRows) -> dict[Sql, Sql]:
    """The relations of `found` and the SQL of each, over the ones before it.

    Args:
        rows: coaching's pseudonymized rows.
        found: the periods that are published now, and the relations' names.
    """
    return {
        DUE: render(
            PACKAGE,
            "coaching_due.sql",
            rows=rows,
            unit=rules.coaching.period,
            periods=found.periods,
        ),
        found.teams: render(PACKAGE, "coaching_teams.sql", due=DUE),
        found.courses: render(
            PACKAGE,
            "coaching_courses.sql",
            due=DUE,
            category_of_course=Sql(rules.category_sql("course_code")),
        ),
        found.rows: render(
            PACKAGE,
            "coaching_rows.sql",
            due=DUE,
            teams=found.teams,
            courses=found.courses,
            bands=BANDS,
        ),
        found.contributions: render(PACKAGE, "coaching_contributions.sql", rows=found.rows),
    }


def make_rows(
    connection: duckdb.DuckDBPyConnection,
    rows: Sql,
    rules: DisclosureRules,
    periods: Iterable[dt.date],
) -> CoachingRows:
    """Make the temporary tables of the rows that are published now.

    Args:
        rows: coaching's pseudonymized rows.
        periods: first days of the periods to publish; rows of others are left out.
    """
    found = CoachingRows.of(periods)
    for name, query in row_models(rows, rules, found).items():
        # What is stored of the rows has numbers in place of names.
        kind = "VIEW" if name == DUE else "TABLE"
        connection.execute(f"CREATE OR REPLACE TEMP {kind} {name} AS {query}")
    return found


def period_of(connection: duckdb.DuckDBPyConnection, rows: CoachingRows, period: dt.date) -> Period:
    """The contributions of one period as arrays; teams and courses are numbered as in `rows`."""
    found = _ints(
        connection,
        f"SELECT * EXCLUDE (period) FROM {rows.contributions} WHERE period = $period "
        "ORDER BY team, course, person",
        period,
    )
    team, course = found["team"], found["course"]
    starts = np.ones(len(team), bool)
    starts[1:] = (team[1:] != team[:-1]) | (course[1:] != course[:-1])
    return Period(
        teams=_tree(connection, rows, period, "team", "department_number"),
        courses=_tree(connection, rows, period, "course", "category_number"),
        team=team[starts],
        course=course[starts],
        cell=np.cumsum(starts) - 1,
        **{name: found[name] for name in ("person", *COUNTED)},
    )


def _tree(
    connection: duckdb.DuckDBPyConnection,
    rows: CoachingRows,
    period: dt.date,
    leaf: str,
    group: str,
) -> Tree:
    """One dimension of a period: the group of every leaf, and which of them have a name."""
    relation, names = rows.names(leaf)
    found = _ints(
        connection,
        f"SELECT DISTINCT {leaf} AS leaf, {group} AS grp, ({names[-1]} IS NOT NULL)::INT "
        f"AS leaf_named, ({names[0]} IS NOT NULL)::INT AS group_named "
        f"FROM {relation} WHERE period = $period ORDER BY leaf",
        period,
    )
    assert (found["leaf"] == np.arange(len(found["leaf"]))).all()
    groups, first = np.unique(found["grp"], return_index=True)
    assert (groups == np.arange(len(groups))).all()
    return Tree(found["grp"], found["leaf_named"] > 0, found["group_named"][first] > 0)


def _ints(connection: duckdb.DuckDBPyConnection, query: str, period: dt.date) -> dict[str, Ints]:
    """The columns of a query over one period, all of whole numbers."""
    found = connection.execute(query, {"period": period}).fetchnumpy()
    return {name: np.asarray(column, np.int64) for name, column in found.items()}


def choose_cells(
    connection: duckdb.DuckDBPyConnection, rows: CoachingRows, rule: DisclosureRule
) -> dict[str, Sql]:
    """Choose the cells that are published of every period.

    Returns:
        Coaching table to a temporary table of its chosen cells: period, the table's KEY, and of
        every measure whether it is published, too.
    """
    chosen = {table: Sql(f"{table}_cells") for table in KEY}
    every = ", ".join(f"true AS {measure}" for measure in MEASURES)
    for table, cells in chosen.items():
        key = identifiers(("period", *KEY[table]))
        empty = f"SELECT {key}, {every} FROM {rows.rows} LIMIT 0"
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {cells} AS {empty}")
    pieces, again = tee(period_of(connection, rows, period) for period in rows.periods)
    size = count(connection, f"SELECT count(*) FROM {rows.contributions}")
    patterns = cluster.results(protect_all, ((one, rule) for one in pieces), size)
    for period, piece, found in zip(rows.periods, again, patterns, strict=True):
        of_all = {what: _masks(pattern) for what, pattern in found.items()}
        for table, mask in of_all["figures"].items():
            at = np.flatnonzero(mask)
            numbers = [piece.team[at], piece.course[at]] if len(KEY[table]) > 1 else [at]
            flags = {measure: of_all[measure][table][at] for measure in MEASURES}
            _insert(connection, chosen[table], KEY[table], period, numbers, flags)
    return chosen


def _insert(
    connection: duckdb.DuckDBPyConnection,
    cells: Sql,
    key: tuple[str, ...],
    period: dt.date,
    numbers: list[Ints],
    flags: dict[str, Bools],
) -> None:
    """Add the chosen cells of one period; a table without a key has one number of no meaning."""
    columns = dict(zip(key, numbers, strict=False))
    chosen = pa.table({"period": [period] * len(numbers[0]), **columns, **flags})
    connection.register("chosen", chosen)
    connection.execute(f"INSERT INTO {cells} FROM chosen")
    connection.unregister("chosen")


def _masks(pattern: Pattern) -> dict[str, Bools]:
    """Which of every table's cells are chosen, by their numbers; for the whole company one flag."""
    return {
        "coaching_period": np.array([pattern.teams.root]),
        "coaching_department": pattern.teams.groups,
        "coaching_team": pattern.teams.leaves,
        "coaching_category": pattern.courses.groups,
        "coaching_course": pattern.courses.leaves,
        "coaching_team_course": pattern.cells,
    }


def withhold(connection: duckdb.DuckDBPyConnection, table: str, figures: Sql, cells: Sql) -> None:
    """Set the measures NULL that are not published of a table's figures."""
    for measure, columns in COLUMNS.items():
        if measure == "scores" and table not in WITH_BANDS:
            continue
        none = ", ".join(f"{identifier(column)} = NULL" for column in columns)
        same = same_values(figures, cells, ("period", *KEY[table]))
        connection.execute(
            f"UPDATE {figures} SET {none} FROM {cells} WHERE {same} AND NOT {cells}.{measure}"
        )


def make_figures(
    connection: duckdb.DuckDBPyConnection, rows: CoachingRows, chosen: Mapping[str, Sql]
) -> dict[str, Sql]:
    """Compute the figures of the chosen cells, one period after the other, so that the medians and
    distinct people of only one are in memory.

    Args:
        chosen: coaching table to its chosen cells.

    Returns:
        Coaching table to a temporary table of its figures, under the table's KEY.
    """
    figures = {table: Sql(f"{table}_figures") for table in chosen}
    for table, made in figures.items():
        empty = figures_sql(table, rows, chosen[table], None)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {made} AS {empty}")
        for period in rows.periods:
            query = figures_sql(table, rows, chosen[table], period)
            connection.execute(f"INSERT INTO {made} {query}")
        withhold(connection, table, made, chosen[table])
    return figures


def figures_sql(table: str, rows: CoachingRows, cells: Sql, period: dt.date | None) -> Sql:
    """The figures of one table's chosen cells in one period; without a period none."""
    return render(
        PACKAGE,
        "coaching_figures.sql",
        rows=rows.rows,
        cells=cells,
        key=("period", *KEY[table]),
        same_cell=same_values("records", cells, ("period", *KEY[table])),
        bands=BANDS if table in WITH_BANDS else (),
        period=period,
    )


def named_sql(table: str, rows: CoachingRows, figures: Sql) -> Sql:
    """The figures of a table under names instead of numbers."""
    return render(PACKAGE, f"{table}.sql", figures=figures, teams=rows.teams, courses=rows.courses)
