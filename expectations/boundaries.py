"""What is checked at each boundary: canonical, classified, pseudonymized, published."""

from __future__ import annotations

import datetime as dt

import duckdb

from expectations import telling
from expectations.domains import NULLABLE, Checked
from expectations.evidence import Evidence, declared, schema_evidence, table_evidence
from expectations.suite import Verdict, judge
from pipeline.classified import reference_values
from pipeline.classified.classify import sensitivity_sql
from pipeline.context import Context
from pipeline.policy.data_map import DataMap
from pipeline.policy.fields import Audience
from pipeline.pseudonymized.pseudonymize import TABLES
from pipeline.published import equivalence_classes, gate
from pipeline.published.coaching import CELL
from pipeline.published.tables import attached
from pipeline.storage import relations
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout
from pipeline.storage.relations import records
from pipeline.storage.schema import CANONICAL, CLASSIFIED, RECORD_TYPES, STATUSES, namespaced
from pipeline.storage.sql import Sql, identifier, literal

# Beyond this share of set-aside rows the export itself is broken, and publishing the rest would
# tell a false story.
MOST_QUARANTINED = 0.5
SMALL = "classes.too_small"
# Teams that stand in no department, or in one too small to be named.
NO_DEPARTMENT = {("coaching_team", "department"), ("coaching_team_course", "department")}
# Kinds and types of the pseudonymized columns that are not published under their name.
INNER = {
    "complete": ("flag", "BOOLEAN"), "on_time": ("flag", "BOOLEAN"), "days": ("days", "DOUBLE"),
    "event_month": ("month", "DATE"),
}  # fmt: skip


def _count(connection: duckdb.DuckDBPyConnection, relation: str, tests: dict[str, str]) -> Evidence:
    counts = ", ".join(
        f"count(*) FILTER (NOT coalesce({test}, false)) AS {identifier(name)}"
        for name, test in tests.items()
    )
    row = connection.sql(f"SELECT {counts} FROM {relation}")
    return dict(zip(row.columns, row.fetchall()[0], strict=True))


def canonical(layout: Layout, data_map: DataMap, delivery: dt.date) -> Verdict:
    """One drop's rows in the store: schema, vocabularies, scale, namespaces, quarantine share."""
    statuses = ", ".join(literal(s) for s in (*STATUSES, "voided"))
    tests = {
        "learner_id.namespaced": namespaced("learner_id"),
        "record_type.vocabulary": f"record_type IN {RECORD_TYPES}",
        "status.vocabulary": f"status IN ({statuses})",
        "source.listed": f"source IN ({', '.join(literal(s) for s in data_map.sources)})",
        "course_code.there": "length(course_code) BETWEEN 1 AND 256",
        "score.scale": "score IS NULL OR score BETWEEN 0 AND 100",
        "event_at.range": f"event_at IS NULL OR event_at BETWEEN DATE '{data_map.earliest_date}' "
        f"AND DATE '{delivery}' + INTERVAL 2 DAY",
        "raw.only_in_quarantine": "raw IS NULL",
    }
    with engine(layout.work) as connection:
        rows = records(layout, delivery)
        found = schema_evidence(connection, rows, CANONICAL)
        found |= _count(connection, f"{rows} WHERE problem IS NULL", tests)
        ((bad, total),) = connection.sql(f"SELECT count(problem), count(*) FROM {rows}").fetchall()
    found["quarantine.not_most"] = int(bad > MOST_QUARANTINED * total)
    return judge("canonical", ["schema.unlisted_columns", "schema.missing_or_wrong", *tests,
                               "quarantine.not_most"], found)  # fmt: skip


def classified(layout: Layout, data_map: DataMap) -> Verdict:
    """The classified rows: schema, resolved people, every sensitive course tagged as such."""
    rows = relations.classified(layout)
    tests = {
        "person.namespaced": namespaced("person"),
        "status.vocabulary": f"status IN {STATUSES}",
        "course_code.sensitivity_tagged": "NOT coalesce(ought, false) OR sensitivity IS NOT NULL",
    }
    with engine(layout.work) as connection:
        connection.execute(
            f"CREATE TEMP TABLE course AS SELECT course_code, "
            f"{sensitivity_sql(data_map)} IS NOT NULL AS ought FROM "
            f"(SELECT DISTINCT course_code, course_title FROM {rows}) GROUP BY course_code"
        )
        found = schema_evidence(connection, rows, CLASSIFIED)
        found |= _count(connection, f"{rows} LEFT JOIN course USING (course_code)", tests)
    return judge(
        "classified", ["schema.unlisted_columns", "schema.missing_or_wrong", *tests], found
    )


def inner_columns(data_map: DataMap, audience: Audience) -> dict[str, tuple[str, str]]:
    """One audience's pseudonymized columns: name to kind and DuckDB type."""
    return {
        name: INNER.get(name) or (data_map.columns[name].rule, data_map.columns[name].type)
        for name in TABLES[audience]
    }


def pseudonymized(layout: Layout, data_map: DataMap, audience: Audience) -> Verdict:
    """One audience's rows: only its columns, only its pseudonyms, only courses it may see."""
    inner = inner_columns(data_map, audience)
    types = {name: kind for name, (_, kind) in inner.items()}
    columns = [
        Checked(name, rule, rule in NULLABLE or name in ("team_ref", "manager_ref"))
        for name, (rule, _) in inner.items()
    ]
    relation = relations.pseudonymized(layout, audience)
    with engine(layout.work) as connection:
        reference_values.attach(connection, layout)
        found = table_evidence(connection, relation, columns, types, layout, data_map, audience)
    return judge(f"pseudonymized_{audience.value}", declared(columns), found)


def _may_be_empty(data_map: DataMap, table: str, column: str) -> bool:
    """A board member reports to nobody; elsewhere a row without its manager has no use. A cell of
    a coaching table has its name; only a team may stand in no department. Of a class anything may
    be left out that can be made coarser."""
    if table == "hr_legal_detail" and column == "manager_ref":
        return True
    if (
        data_map.published[table].audience is Audience.ANALYTICS
        and column in equivalence_classes.LEFT_OUT
    ):
        return True
    named = column in ("period", *CELL.get(table, ())) and (table, column) not in NO_DEPARTMENT
    return data_map.columns[column].rule in NULLABLE and not named


def published_columns(data_map: DataMap, table: str) -> list[Checked]:
    """The columns of a published table as the suite sees them."""
    return [
        Checked(name, data_map.columns[name].rule, _may_be_empty(data_map, table, name))
        for name in data_map.published[table].columns
    ]


def published(context: Context, partition: str, table: str) -> Verdict:
    """One staged table: closed domains, deny-list, k, schema, no stranger in its file; for coaching
    nothing told twice and nothing that can be worked out, for analysts no class too small."""
    layout, data_map = context.layout, context.data_map
    spec = data_map.published[table]
    siblings = {n for n, other in data_map.published.items() if other.database == spec.database}
    columns = published_columns(data_map, table)
    types = {name: data_map.columns[name].type for name in spec.columns}
    names = ["database.unlisted_tables", *declared(columns)]
    with (
        engine(layout.work) as connection,
        attached(connection, context, layout.staged(partition), table, "staged"),
    ):
        reference_values.attach(connection, layout)
        tables = {
            name
            for (name,) in connection.sql(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = 'staged' UNION "
                "SELECT view_name FROM duckdb_views() WHERE database_name = 'staged' "
                "AND NOT internal"
            ).fetchall()
        }
        found: Evidence = {"database.unlisted_tables": len(tables ^ siblings)}
        relation = f"staged.{identifier(table)}"
        whole = table in tables and schema_evidence(connection, relation, types)
        if spec.audience is Audience.COACHING:
            names += telling.DECLARED[table]
            if whole and not any(whole.values()):
                found |= telling.evidence(connection, context, partition, table, relation)
                # What was told before was judged when it was told; its courses may be gone by now.
                relation = telling.FRESH
        if spec.audience is Audience.ANALYTICS:
            names.append(SMALL)
            if whole and not any(whole.values()):
                rule = context.disclosure.classes[table]
                found[SMALL] = equivalence_classes.too_small(connection, Sql(relation), rule)
        if table in tables:
            found |= table_evidence(
                connection, relation, columns, types, layout, data_map, spec.audience, spec.k
            )
    return judge(table, names, found)


def sealed(context: Context, partition: str, table: str) -> Verdict:
    """As `published`; a table that passes gets the seal without which nothing leaves the gate."""
    verdict = published(context, partition, table)
    if verdict.passed:
        gate.seal(context.layout, context.data_map, partition, table)
    return verdict
