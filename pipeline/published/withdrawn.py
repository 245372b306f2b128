"""Published figures that must not be shown any more, and those that would give them back
(pipeline/disclosure/withdrawal.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import duckdb
import pyarrow as pa

from pipeline.disclosure.withdrawal import COMPANY, Name, Node, also_withdrawn, only_of
from pipeline.policy.disclosure import DisclosureRule
from pipeline.published.coaching import CELL, COLUMNS
from pipeline.storage.relations import temp_table
from pipeline.storage.sql import Sql, dates, identifiers, same_values

CELLS = "coaching_team_course"
TEAMS = ("coaching_period", "coaching_department", "coaching_team")
COURSES = ("coaching_period", "coaching_category", "coaching_course")
Row = tuple[object, ...]


def shown(
    connection: duckdb.DuckDBPyConnection,
    history: Mapping[str, Sql],
    courses: Sql,
    rule: DisclosureRule,
    before: Mapping[str, DisclosureRule],
    name: str,
) -> dict[str, Sql]:
    """What of the history may be shown: a relation for every table.

    Args:
        history: every coaching table to its published rows.
        courses: codes of the courses that figures may be about.
        rule: what figures have to keep to by now.
        before: period to the rule that its figures are known to keep to. Where this one asks for
            more, or none is known, what is left of totals and what measures rest on may fall short
            without any figure that does.
        name: what the temporary tables are called after.
    """
    small = dict.fromkeys(history.values(), f"learners < {rule.k}")
    published = _periods(connection, dict.fromkeys(history.values(), "true"))
    raised = {
        *_periods(connection, small),
        *(one for one in published if _asks_more(rule, before.get(str(one)))),
    }
    of_course = {
        of: f"course_code NOT IN (FROM {courses})"
        for table, of in history.items()
        if "course_code" in CELL[table]
    }
    gone: dict[str, list[Row]] = {table: [] for table in history}
    for period in sorted({*raised, *_periods(connection, of_course)}, key=str):
        short = _falls_short(rule, before.get(str(period))) if period in raised else "false"
        rows = {table: _rows(connection, table, of, period) for table, of in history.items()}
        bad = {
            table: set(
                _rows(connection, table, of, period, f"{short} OR {of_course.get(of, 'false')}")
            )
            for table, of in history.items()
        }
        for table, names in _of_period(rows, bad, raised=period in raised).items():
            gone[table] += [(period, *name) for name in names]
    left = {
        table: _without(connection, table, of, gone[table], f"{table}_{name}")
        for table, of in history.items()
    }
    return {
        table: _without_measures(connection, of, raised, f"{table}_{name}_measured")
        for table, of in left.items()
    }


def _asks_more(rule: DisclosureRule, before: DisclosureRule | None) -> bool:
    return before is None or rule.asks_more_than(before)


def _falls_short(rule: DisclosureRule, before: DisclosureRule | None) -> str:
    """SQL: can a figure fall short of a rule that asks for more than the one of before?

    How many people have completed something, and how many records one person has, was not
    published. But whoever has no incomplete record has a complete one; and nobody has more than all
    records but one of everybody else's.
    """
    tests = [f"learners < {rule.k}"]
    if before is None or rule.minimum_not_adverse > before.minimum_not_adverse:
        incomplete = "records - round(completion_rate * records)"
        tests.append(f"coalesce(learners - ({incomplete}), 0) < {rule.minimum_not_adverse}")
    if before is None or rule.dominance < before.dominance:
        tests.append(f"records - learners + 1 > {rule.dominance} * records")
    return " OR ".join(tests)


def _without_measures(
    connection: duckdb.DuckDBPyConnection, rows: Sql, periods: Collection[object], name: str
) -> Sql:
    """A table's rows, in some periods without what rests on a part of a figure's people: how many
    these were is not known any more. A temporary table of that name where there is such a period.
    """
    if not periods:
        return rows
    there = connection.sql(f"FROM {rows} LIMIT 0").columns
    measures = [one for names in COLUMNS.values() for one in names if one in there]
    some = f"period IN ({dates(sorted(map(str, periods)))})"
    shown = ", ".join(f"if({some}, NULL, {one}) AS {one}" for one in measures)
    return temp_table(connection, name, f"SELECT * REPLACE ({shown}) FROM {rows}")


def _periods(connection: duckdb.DuckDBPyConnection, tests: Mapping[Sql, str]) -> list[object]:
    """Periods of which a row of some relations passes its test."""
    query = " UNION ".join(f"SELECT period FROM {of} WHERE {test}" for of, test in tests.items())
    return [period for (period,) in connection.execute(f"{query} ORDER BY period").fetchall()]


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
