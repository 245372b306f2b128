"""The queries of the published tables, which lie beside this module as .sql files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from pipeline.classified.models import course_titles_model
from pipeline.identity.models import COLUMNS
from pipeline.policy.data_map import DataMap, Published
from pipeline.policy.disclosure import DisclosureRules
from pipeline.policy.fields import Audience
from pipeline.pseudonymized.models import columns as pseudonymized_columns
from pipeline.published import PACKAGE, closed_rows, coaching, equivalence_classes, team_names
from pipeline.storage.column_lineage import Columns, models_lineage
from pipeline.storage.schema import CLASSIFIED, ROSTER
from pipeline.storage.sql import Sql, identifiers, render


def row_level_sql(table: str, spec: Published, rows: Sql) -> Sql:
    """The rows of a published table that has one row per record."""
    dated = any(name.endswith("_on") for name in spec.columns)
    return render(PACKAGE, f"{table}.sql", rows=rows, columns=spec.columns, dated=dated)


def course_sql(
    data_map: DataMap, rules: DisclosureRules, table: str, beside: Iterable[Sql], rows: Sql
) -> Sql:
    """The rows of a course dimension: the courses that the tables beside it name, and no other. A
    row says that somebody took the course, and of fewer than k people nothing may say so.

    Args:
        beside: the relations that name courses.
        rows: classified rows, which have the titles.
    """
    return render(
        PACKAGE,
        "course_dimension.sql",
        beside=list(beside),
        titles=course_titles_model(rows),
        category_of_course=Sql(rules.category_sql("named.course_code")),
        columns=data_map.published[table].columns,
    )


def beside(data_map: DataMap, dimension: str) -> list[str]:
    """The tables beside a dimension that name what it is about."""
    spec = data_map.published[dimension]
    tables = data_map.tables_of(spec.audience).items()
    return [name for name, other in tables if spec.names in other.columns]


def coaching_sql(spec: Published, new: Sql, carried_forward: Sql) -> Sql:
    """The rows of a coaching table: figures carried forward, and those published now.

    Args:
        new: as `coaching.named_sql` returns it.
    """
    return render(
        PACKAGE,
        "coaching_table.sql",
        columns=spec.columns,
        new=new,
        carried_forward=carried_forward,
    )


def source(audience: Audience) -> Sql:
    """What `lineage_models` calls an audience's pseudonymized rows."""
    return Sql(f"pseudonymized_{audience.value}")


def columns(data_map: DataMap, rules: DisclosureRules, table: str) -> Columns:
    """A published table's columns, made of its audience's pseudonymized columns; the titles of a
    course dimension are of the classified records, the units of a team dimension of the roster."""
    audience = data_map.published[table].audience
    sources = {str(source(audience)): list(pseudonymized_columns(audience))}
    if data_map.published[table].dimension:
        sources |= {"classified": list(CLASSIFIED), "roster": list(ROSTER)}
    lookups = {"identifiers": list(COLUMNS), "pseudonyms": ["person", "ref"], "denylist": ["entry"]}
    return models_lineage(lineage_models(data_map, rules, table), table, sources | lookups, lookups)


def lineage_models(data_map: DataMap, rules: DisclosureRules, table: str) -> dict[str, Sql]:
    """The queries that make a published table of its audience's pseudonymized rows, by name.

    Each reads those before it; the last one is the table's own. Coaching figures that are carried
    forward are left out: they were made by the same queries, in an earlier run.
    """
    spec = data_map.published[table]
    # The tables beside a dimension name the audience's courses and teams as they are.
    named = [source(spec.audience)]
    if spec.dimension == "course":
        return {table: course_sql(data_map, rules, table, named, Sql("classified"))}
    if spec.dimension == "team":
        today = dt.date(2026, 1, 1)
        relations = team_names.Relations(
            *map(Sql, ("roster", "identifiers", "roster", "denylist", "pseudonyms"))
        )
        teams = team_names.teams_sql(named, relations, today, ())
        return {"teams": teams, table: Sql(f"SELECT {identifiers(spec.columns)} FROM teams")}
    if spec.audience is Audience.COACHING:
        return _coaching_models(rules, table, spec)
    if spec.audience is Audience.ANALYTICS:
        return _analytics_models(rules, table, spec)
    return {table: row_level_sql(table, spec, source(spec.audience))}


def _coaching_models(rules: DisclosureRules, table: str, spec: Published) -> dict[str, Sql]:
    rows = coaching.CoachingRows.of(())
    models = {
        str(name): query
        for name, query in coaching.row_models(source(spec.audience), rules, rows).items()
    }
    # Which cells are chosen decides about rows and not about the columns' values.
    models["figures"] = coaching.figures_sql(table, rows, rows.rows, None)
    named = coaching.named_sql(table, rows, Sql("figures"))
    return models | {table: Sql(f"SELECT {identifiers(spec.columns)} FROM ({named})")}


def _analytics_models(rules: DisclosureRules, table: str, spec: Published) -> dict[str, Sql]:
    # What never leaves is no column of the source; which class a row is in decides about rows.
    inner = "NULL AS record_key, NULL AS team, NULL AS day, learner_ref AS person"
    names = pseudonymized_columns(spec.audience)
    shown = {f"generalized_{name}": name for name in equivalence_classes.LEFT_OUT}
    kept = [*(n for n in spec.columns if n not in ("detail", *shown.values())), "1 AS class"]
    kept += [f"{name} AS {alias}" for alias, name in shown.items()]
    detail = f"concat({', '.join(shown.values())}) AS generalized_detail"
    return {
        "records": Sql(f"SELECT {inner}, {identifiers(names)} FROM {source(spec.audience)}"),
        "rows": closed_rows.rows_sql(Sql("records"), rules),
        "generalized": Sql(f"SELECT {', '.join([*kept, detail])} FROM rows"),
        table: equivalence_classes.published_sql(Sql("generalized"), spec.columns),
    }
