"""Analysts' rows of the periods that are published now, made of the records of these periods.

The published columns are those of the analysts' own model (pipeline/pseudonymized/analytics.sql),
with each record's key in place of a pseudonym, so that what never leaves (person, team, dates) can
stand beside them until the rows are in the history.
"""

from __future__ import annotations

import datetime as dt

import duckdb

from pipeline.classified import run_snapshot
from pipeline.context import Context
from pipeline.policy.disclosure import DisclosureRules
from pipeline.policy.fields import Audience
from pipeline.policy.windows import make_cutoffs
from pipeline.pseudonymized.models import audience_model, columns
from pipeline.pseudonymized.pseudonymize import eligible_rows
from pipeline.published import PACKAGE, equivalence_classes, shuffled_details
from pipeline.storage.relations import classified, subquery, temp_table
from pipeline.storage.sql import Sql, literal, literals, render
from pipeline.subjects.restrictions import make_restrictions


def make(connection: duckdb.DuckDBPyConnection, context: Context, periods: list[dt.date]) -> Sql:
    """Make the rows of some periods, shuffle their details, and choose their classes.

    Returns:
        A temporary table of their records, with the columns of the row history.
    """
    ((table, spec),) = context.data_map.tables_of(Audience.ANALYTICS).items()
    rules = context.disclosure
    rule = rules.classes[table]
    records = _records(connection, context, periods, rule.period)
    rows = temp_table(connection, "closed_rows", rows_sql(records, rules))
    # First the details, so that the classes hold by what is published of them.
    shuffled = shuffled_details.shuffle(connection, rows, rule)
    chosen = equivalence_classes.choose_classes(connection, shuffled, rule, spec.columns)
    query = render(
        PACKAGE,
        "history_of_rows.sql",
        records=records,
        chosen=chosen,
        lot=tuple(shuffled_details.LOT),
        published=equivalence_classes.generalized_names(spec.columns),
    )
    return temp_table(connection, "history_of_rows", query)


def eligible_now(connection: duckdb.DuckDBPyConnection, context: Context) -> Sql:
    """Relation: the classified rows that analysts may see now."""
    make_restrictions(connection, context)
    until = run_snapshot.read(context.layout).until
    cutoffs = make_cutoffs(
        connection, "row_cutoffs", context.rules, context.data_map, until, Audience.ANALYTICS
    )
    return eligible_rows(classified(context.layout), Audience.ANALYTICS, cutoffs)


def _records(
    connection: duckdb.DuckDBPyConnection, context: Context, periods: list[dt.date], unit: str
) -> Sql:
    """The records of some periods, as closed_records.sql makes them."""
    first = f"date_trunc({literal(unit)}, coalesce(event_on, assigned_on))::DATE"
    facts = temp_table(
        connection,
        "closed_facts",
        f"FROM {eligible_now(connection, context)} WHERE {first} IN ({literals(periods)})",
    )
    by_key = subquery(f"SELECT * REPLACE (record_key::VARCHAR AS person) FROM {facts}")
    keys = subquery(
        f"SELECT record_key::VARCHAR AS person, record_key::VARCHAR AS ref, 0 AS place FROM {facts}"
    )
    shown = audience_model(Audience.ANALYTICS, by_key, keys)
    query = render(
        PACKAGE,
        "closed_records.sql",
        facts=facts,
        shown=shown,
        columns=[name for name in _shown() if name != "period"],
        unit=unit,
    )
    return temp_table(connection, "closed_records", query)


def _shown() -> list[str]:
    """The analysts' columns but the pseudonym."""
    return [name for name in columns(Audience.ANALYTICS) if name != "learner_ref"]


def rows_sql(records: Sql, rules: DisclosureRules) -> Sql:
    """SQL: one row per person, course, record type and period.

    Args:
        records: as closed_records.sql makes them.
    """
    return render(
        PACKAGE,
        "analytics_rows.sql",
        records=records,
        columns=("record_key", "person", *_shown()),
        category_of_course=Sql(rules.category_sql("last_records.course_code")),
        most_tries=equivalence_classes.MOST_TRIES,
    )
