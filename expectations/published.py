"""Published: what must hold of a staged table before it may be released.

The rule of each column is in data_map.yaml under `columns`. Here are the rules of whole tables:

    database.unlisted_tables  its file holds the listed tables and nothing else
    published_before.*        coaching: what was published stays as it is (published_once.py);
                              analytics: it has the rows of its history, and no other
    attack.*                  coaching: nothing can be worked out (disclosure_attack.py)
    corrected_pair.*          coaching: nor from both versions of a corrected period
    dimension.*               a dimension: it has every course or team once that the tables beside
                              it name, and no other
    courses.not_ordinary      a course dimension: none is sensitive or not reviewed by now
    teams.same_unit           a team dimension: no unit that two teams have
    classes.*                 analytics: every row stands in a class of enough people, whoever knows
                              how one team of them stands
    details.*                 analytics: what a row says beyond its result is drawn from enough
                              people, so that nobody who finds it by its result learns more
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import duckdb

from expectations import corrected_pair, disclosure_attack, published_once, suite
from expectations.domains import CheckedColumn, Scope, described_column
from expectations.evidence import (
    Evidence,
    column_evidence,
    column_rules,
    identifier_evidence,
    no_rows,
    schema_evidence,
    table_evidence,
)
from pipeline.classified import reference_values
from pipeline.context import Context
from pipeline.policy.data_map import DataMap, Published
from pipeline.policy.fields import Audience
from pipeline.published import (
    equivalence_classes,
    gate,
    models,
    publication_history,
    row_history,
    shuffled_details,
)
from pipeline.published.coaching import CELL
from pipeline.published.tables import attached
from pipeline.storage.engine import count, engine
from pipeline.storage.relations import temp_table
from pipeline.storage.sql import Sql, identifier

UNLISTED_TABLES = "database.unlisted_tables"
NOT_NAMED, MISSING = "dimension.not_named", "dimension.missing"
REPEATED = "dimension.repeated"
NOT_ORDINARY, SAME_UNIT = "courses.not_ordinary", "teams.same_unit"
NOT_NAMED_ROWS = Sql("not_named")  # temporary table: rows of a dimension that break NOT_NAMED
SMALL_CLASSES, UNLIKE = "classes.too_small", "published_before.unlike"
JOINED = "details.joined_by_content"
# Exceptions from what a column's domain says of empty values (`may_be_empty`).
EMPTY_IN = {
    ("hr_legal_detail", "manager_ref"),  # a board member reports to nobody
    # A team may belong to no department, or to one too small to be named.
    ("coaching_team", "department"),
    ("coaching_team_course", "department"),
}


def may_be_empty(data_map: DataMap, table: str, column: CheckedColumn) -> bool:
    """A coaching cell has its name, a class may lack what can be generalized; for the rest the
    column's domain decides, and EMPTY_IN."""
    if (table, column.name) in EMPTY_IN:
        return True
    if data_map.published[table].dimension:
        return column.nullable
    if data_map.published[table].audience is Audience.ANALYTICS:
        left_out = (*equivalence_classes.LEFT_OUT, *shuffled_details.LEFT_OUT)
        return column.nullable or column.name in left_out
    return column.nullable and column.name not in ("period", *CELL.get(table, ()))


def columns(data_map: DataMap, table: str) -> list[CheckedColumn]:
    """The columns of a published table as the suite sees them.

    Raises:
        PolicyError: the rule of a column is no domain.
    """
    found = [described_column(data_map, name, table) for name in data_map.published[table].columns]
    return [replace(one, nullable=may_be_empty(data_map, table, one)) for one in found]


def rules(data_map: DataMap, table: str) -> list[str]:
    """Names of all rules of one table."""
    audience = data_map.published[table].audience
    names = [UNLISTED_TABLES, *column_rules(columns(data_map, table))]
    if dimension := data_map.published[table].dimension:
        own = NOT_ORDINARY if dimension == "course" else SAME_UNIT
        return [*names, NOT_NAMED, MISSING, REPEATED, own]
    if audience is Audience.COACHING:
        names += published_once.RULES
        if table == disclosure_attack.TABLE:
            names += disclosure_attack.RULES
        if table == corrected_pair.TABLE:
            names += corrected_pair.RULES
    if audience is Audience.ANALYTICS:
        names += [SMALL_CLASSES, UNLIKE, JOINED]
    return names


def validate(
    context: Context, partition: str, audience: Audience, only: Iterable[str] = ()
) -> dict[str, suite.SuiteResult]:
    """An audience's staged tables of a partition, each by all of its `rules`.

    Args:
        only: some of its tables.
    """
    layout, data_map = context.layout, context.data_map
    listed = data_map.with_dimensions(audience)
    found: dict[str, Evidence] = {}
    with (
        engine(layout.work) as connection,
        attached(connection, context, layout.staged(partition), next(iter(listed)), "staged"),
    ):
        reference_values.attach(connection, layout)
        staged = _tables(connection)
        carried = (
            publication_history.carry_forward(connection, context)
            if audience is Audience.COACHING
            else {}
        )
        for table in only or listed:
            found[table] = {UNLISTED_TABLES: len(staged ^ set(listed))}
            if table in staged:
                found[table] |= _evidence(connection, context, partition, table, carried)
    return {table: suite.judge(table, rules(data_map, table), of) for table, of in found.items()}


def _evidence(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    partition: str,
    table: str,
    carried: dict[str, Sql],
) -> Evidence:
    """Counts of the rules of a staged table and of its columns.

    Args:
        carried: coaching table to its rows that were published before.
    """
    data_map, relation = context.data_map, f"staged.{identifier(table)}"
    spec, checked, found = data_map.published[table], columns(data_map, table), Evidence()
    types = {one.name: one.type for one in checked}
    scope = Scope(data_map, spec.audience, spec.k)
    schema = schema_evidence(connection, relation, types)
    if not any(schema.values()):
        if spec.dimension:
            found = table_evidence(connection, relation, checked, context.layout, scope)
            found |= _dimension_evidence(connection, data_map, table, relation)
            return found | _code_evidence(connection, checked, scope, found[NOT_NAMED])
        if spec.audience is Audience.COACHING:
            found = _coaching_evidence(
                connection, context, partition, table, relation, carried[table]
            )
        if spec.audience is Audience.ANALYTICS:
            found = _class_evidence(connection, context, partition, table, relation)
        if found:
            # What was published before was checked then; its courses may be gone by now.
            relation = published_once.NEW_ROWS
            if not count(connection, f"SELECT count(*) FROM {relation}"):
                return schema | found | no_rows(checked)
    return found | table_evidence(connection, relation, checked, context.layout, scope)


def _tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Tables and views of the attached `staged`."""
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'staged' UNION "
        "SELECT view_name FROM duckdb_views() WHERE database_name = 'staged' AND NOT internal"
    ).fetchall()
    return {str(name) for (name,) in found}


def _coaching_evidence(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    partition: str,
    table: str,
    relation: str,
    carried: Sql,
) -> Evidence:
    """Figures that changed, and what attackers find. Makes the table `published_once.NEW_ROWS`."""
    found = published_once.evidence(connection, context, partition, relation, carried)
    if table == disclosure_attack.TABLE:
        found |= disclosure_attack.evidence(connection, context, partition)
    if table == corrected_pair.TABLE:
        found |= corrected_pair.evidence(connection, context, partition)
    return found


def _dimension_evidence(
    connection: duckdb.DuckDBPyConnection, data_map: DataMap, table: str, relation: str
) -> Evidence:
    """Rows of a dimension that no table beside it names, those that it lacks or has twice; and
    courses that are sensitive or not reviewed by now, or teams with the unit of another. Makes the
    table NOT_NAMED_ROWS."""
    spec = data_map.published[table]
    beside = " UNION ALL ".join(
        f"SELECT {spec.names} FROM staged.{identifier(name)}"
        for name in models.beside(data_map, table)
    )
    named = f"SELECT DISTINCT {spec.names} FROM ({beside}) WHERE {spec.names} IS NOT NULL"
    have = f"SELECT {spec.names} FROM {relation}"
    temp_table(
        connection,
        NOT_NAMED_ROWS,
        f"FROM {relation} WHERE ({spec.names} IN ({named})) IS NOT TRUE",
    )
    counts = {
        NOT_NAMED: f"FROM {NOT_NAMED_ROWS}",
        MISSING: f"({named}) EXCEPT ({have})",
        REPEATED: f"({have}) EXCEPT ALL (SELECT DISTINCT {spec.names} FROM {relation})",
        **_own_rule(spec, relation),
    }
    return {rule: count(connection, f"SELECT count(*) FROM ({q})") for rule, q in counts.items()}


def _own_rule(spec: Published, relation: str) -> dict[str, str]:
    """The rule that one kind of dimension has, with the query of the rows that break it."""
    if spec.dimension == "course":
        sensitive = "SELECT course_code FROM reference.course WHERE sensitivity IS NOT NULL"
        return {NOT_ORDINARY: f"FROM {relation} WHERE course_code IN ({sensitive})"}
    if "unit" not in spec.columns:
        return {SAME_UNIT: f"FROM {relation} WHERE false"}
    same = "count(*) OVER (PARTITION BY folded(trim(unit))) > 1"
    return {SAME_UNIT: f"FROM {relation} WHERE unit IS NOT NULL QUALIFY {same}"}


def _code_evidence(
    connection: duckdb.DuckDBPyConnection, checked: list[CheckedColumn], scope: Scope, rows: int
) -> Evidence:
    """Of the codes of a course dimension, those are judged as values that no table beside it names.
    The others were when they were published; their courses may be gone by now.

    Args:
        rows: how many those are.
    """
    code = [one for one in checked if one.name == "course_code"]
    if not code or not rows:
        return no_rows(code)
    return column_evidence(connection, NOT_NAMED_ROWS, code, scope) | identifier_evidence(
        connection, NOT_NAMED_ROWS, code
    )


def _class_evidence(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    partition: str,
    table: str,
    relation: str,
) -> Evidence:
    """Classes that do not hold, by what the rows show, and rows that are not those of the history.
    Makes the table `published_once.NEW_ROWS`."""
    rule, columns = context.disclosure.classes[table], context.data_map.published[table].columns
    history, live = row_history.with_staged(connection, context, partition)
    new = row_history.new_periods(context.layout, partition)
    rows = row_history.rows_sql(history, live, columns)
    carried = row_history.rows_sql(
        history, row_history.published_before(connection, context.layout, live), columns
    )
    temp_table(
        connection,
        published_once.NEW_ROWS,
        f"SELECT * FROM {relation} EXCEPT ALL FROM ({carried})",
    )
    return {
        SMALL_CLASSES: row_history.classes_too_small(connection, history, live, new, rule, columns),
        UNLIKE: row_history.unlike(connection, rows, Sql(relation)),
        JOINED: row_history.joined_by_content(connection, history, new, rule, columns),
    }


def validate_and_seal(
    context: Context, partition: str, audience: Audience
) -> dict[str, suite.SuiteResult]:
    """As `validate`; a table that passes gets the seal without which the gate releases nothing."""
    found = validate(context, partition, audience)
    for table, result in found.items():
        if result.passed:
            gate.seal(context.layout, context.data_map, partition, table)
    return found
