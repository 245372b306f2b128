"""Counts from raw to published: received = quarantined + superseded + suppressed + published.

Every term is counted by itself from the stored data, none is a difference of others, so the
equation can fail, and then the run does.
"""

from __future__ import annotations

import datetime as dt
import json

import duckdb
import polars as pl

from pipeline.classified import corrections, run_snapshot
from pipeline.classified.classify import resolved_rows
from pipeline.classified.models import superseded_model
from pipeline.context import Context
from pipeline.policy.disclosure import Coaching, DisclosureRules
from pipeline.policy.fields import Audience
from pipeline.policy.windows import Cutoffs, make_cutoffs
from pipeline.pseudonymized.models import eligible
from pipeline.pseudonymized.training_states import make_states
from pipeline.published import PACKAGE, closed_rows, publication_history, row_history
from pipeline.published.coaching import CELL
from pipeline.published.tables import attached
from pipeline.storage.engine import count
from pipeline.storage.files import atomic_build
from pipeline.storage.layout import Layout
from pipeline.storage.relations import classified, left_out, pseudonymized, records, rejects
from pipeline.storage.sql import Sql, identifier, literals, render, same_values
from pipeline.subjects.restrictions import make_restrictions

# Why records are suppressed, besides by what pipeline/pseudonymized/eligible.sql withholds.
NO_DATE = "no date"
LATE = "of a period that was published before"
STILL_OPEN = "period still open"
WAITING = "period closed, not published yet"  # before the company is live
EXPIRED = "older than the aggregates window"
IDENTIFYING = "could identify people"
LEFT = "left with its class"  # analysts' rows: something of the class must not be shown any more
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "table": pl.String,
    "received": pl.Int64,
    "quarantined": pl.Int64,
    "superseded": pl.Int64,
    "suppressed": pl.List(pl.Struct({"reason": pl.String, "records": pl.Int64})),
    "published": pl.Int64,
    "unresolved_people": pl.Int64,
}


def reconcile(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    partition: str,
    analysts: row_history.StagedRows,
) -> pl.DataFrame:
    """Count every staged table's way from raw to published, over all deliveries in the store.

    Args:
        analysts: as `row_history.with_staged` returns it.

    Returns:
        One row per table, in records: table, received, quarantined, superseded, suppressed (a list
        of reason and records), published; unresolved_people: how many identifiers mean nobody
        that can be said; and balanced: is every received record accounted for?
    """
    store = _store_counts(connection, context.layout)
    counted = _left_out(connection, context.layout)
    suppressed = _suppressed_by_audience(connection, context, partition)
    counts: dict[str, tuple[int, dict[str, int]]] = {}
    for audience in filter(context.data_map.tables_of, Audience):
        counts |= _counts_of(connection, context, partition, audience, analysts)
    rows = []
    for table, spec in context.data_map.published.items():
        if spec.dimension:
            continue  # no record is in it; expectations/published.py compares it with the others
        published, identifying = counts[table]
        reasons = counted | suppressed[spec.audience] | identifying
        listed = [{"reason": reason, "records": n} for reason, n in reasons.items()]
        rows.append({"table": table, **store, "suppressed": listed, "published": published})
    accounted = (
        pl.col("quarantined")
        + pl.col("superseded")
        + pl.col("suppressed").list.eval(pl.element().struct.field("records")).list.sum()
        + pl.col("published")
    )
    return pl.DataFrame(rows, SCHEMA).with_columns(balanced=accounted == pl.col("received"))


def unbalanced(counts: pl.DataFrame) -> list[str]:
    """The tables that lost or gained records on the way."""
    return counts.filter(~pl.col("balanced"))["table"].to_list()


def published_rows(counts: pl.DataFrame) -> dict[str, int]:
    """Table to its published records."""
    return dict(counts.select("table", "published").iter_rows())


def suppressed_by_reason(counts: pl.DataFrame) -> pl.DataFrame:
    """Why records were suppressed: table, reason, records; without reasons that suppressed none."""
    listed = counts.select("table", "suppressed").explode("suppressed").unnest("suppressed")
    return listed.filter(pl.col("records") > 0)


def write_reconciliation(layout: Layout, partition: str, counts: pl.DataFrame) -> None:
    """Store a run's counts as JSON: a list of tables, with suppressed as reason to records."""
    rows = [
        {**row, "suppressed": {one["reason"]: one["records"] for one in row["suppressed"]}}
        for row in counts.iter_rows(named=True)
    ]
    with atomic_build(layout.reconciliation / f"{partition}.json", layout.work) as beside:
        beside.write_text(json.dumps(rows, indent=1), "utf-8")


def _store_counts(connection: duckdb.DuckDBPyConnection, layout: Layout) -> dict[str, int]:
    """What is the same for every table: received, quarantined and superseded records, and people
    whom nobody can resolve."""
    rows = records(layout)
    lines = count(connection, f"SELECT count(*) FROM {rejects(layout)}")
    bad = count(connection, f"SELECT count(*) FROM {rows} WHERE problem IS NOT NULL")
    read = count(connection, f"SELECT count(*) FROM {rows}")
    counted = count(connection, f"SELECT coalesce(sum(records), 0) FROM {left_out(layout)}")
    gone = corrections.gone(connection, layout)
    return {
        "received": read + counted + lines,
        "quarantined": bad + lines,
        "superseded": count(connection, superseded_model(resolved_rows(layout), gone)),
        "unresolved_people": count(
            connection,
            f"SELECT count(DISTINCT person) FROM {classified(layout)} WHERE unresolved IS NOT NULL",
        ),
    }


def _left_out(connection: duckdb.DuckDBPyConnection, layout: Layout) -> dict[str, int]:
    """Records that were counted and not stored, by reason."""
    reasons = f"SELECT reason, sum(records)::BIGINT FROM {left_out(layout)} GROUP BY 1 ORDER BY 1"
    return dict(connection.execute(reasons).fetchall())


def _suppressed_by_audience(
    connection: duckdb.DuckDBPyConnection, context: Context, partition: str
) -> dict[Audience, dict[str, int]]:
    """Records that none of an audience's tables gets, by reason."""
    make_restrictions(connection, context)
    until = run_snapshot.read(context.layout).until
    rules, data_map = context.rules, context.data_map
    suppressed = {}
    for audience in Audience:
        cutoffs = make_cutoffs(connection, "cutoffs", rules, data_map, until, audience)
        if audience is Audience.MANAGER:
            make_states(connection, context, cutoffs)
        rows = classified(context.layout)
        suppressed[audience] = _not_eligible(connection, rows, audience, cutoffs)
    suppressed[Audience.COACHING] |= _unpublished_periods(
        connection,
        context.layout,
        context.disclosure.coaching,
        _days(publication_history.new_periods(context.layout, partition)),
        publication_history.last_expired_day(rules, until),
    )
    return suppressed


def _not_eligible(
    connection: duckdb.DuckDBPyConnection, rows: Sql, audience: Audience, cutoffs: Cutoffs
) -> dict[str, int]:
    """Classified rows that the audience does not get, by the first reason for it."""
    query = render(PACKAGE, "suppressed_by_reason.sql", rows=eligible(rows, audience, cutoffs))
    return dict(connection.execute(query).fetchall())


def _unpublished_periods(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    rules: Coaching,
    new: list[dt.date],
    last_expired: dt.date,
) -> dict[str, int]:
    """Coaching's rows of periods that are not published now and so in none of its tables.

    Args:
        last_expired: as `publication_history.last_expired_day` returns it.
    """
    published = [day for day in _days(publication_history.periods(layout)) if day not in new]
    query = render(
        PACKAGE,
        "unpublished_periods.sql",
        rows=Sql(pseudonymized(layout, Audience.COACHING)),
        unit=rules.period,
        closed_before=publication_history.closed_before(layout, rules),
        published=published,
        new=new,
        last_expired=last_expired,
    )
    (counts,) = connection.execute(query).fetchall()
    return dict(zip((NO_DATE, LATE, EXPIRED, STILL_OPEN, WAITING), counts, strict=True))


def _counts_of(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    partition: str,
    audience: Audience,
    analysts: row_history.StagedRows,
) -> dict[str, tuple[int, dict[str, int]]]:
    """Of each of an audience's staged tables: its records, and those suppressed because they could
    identify people."""
    layout, tables = context.layout, context.data_map.tables_of(audience)
    if audience is Audience.ANALYTICS:
        return {
            table: _analysts_counts(connection, context, partition, table, analysts)
            for table in tables
        }
    rows = Sql(pseudonymized(layout, audience))
    new = _days(publication_history.new_periods(layout, partition))
    found: dict[str, tuple[int, dict[str, int]]] = {}
    with attached(connection, context, layout.staged(partition), next(iter(tables)), "staged"):
        for table in tables:
            relation = Sql(f"staged.{identifier(table)}")
            found[table] = (
                _coaching_counts(connection, context.disclosure, table, rows, relation, new)
                if audience is Audience.COACHING
                else (count(connection, f"SELECT count(*) FROM {relation}"), {})
            )
    return found


def _analysts_counts(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    partition: str,
    table: str,
    analysts: row_history.StagedRows,
) -> tuple[int, dict[str, int]]:
    """Records behind the rows of the analysts' table, of the history and of new periods, and those
    that are not, by reason. What was published and is not in the store any more counts nowhere."""
    layout, rule = context.layout, context.disclosure.classes[table]
    new = row_history.new_periods(layout, partition)
    query = render(
        PACKAGE,
        "analysts_records.sql",
        history=analysts.history,
        live=analysts.live,
        rows=closed_rows.eligible_now(connection, context),
        unit=rule.period,
        periods=[*new, *_days(row_history.periods(layout))],
        closed_before=publication_history.closed_before(layout, rule),
    )
    ((published, *others),) = connection.execute(query).fetchall()
    reasons = (LEFT, IDENTIFYING, NO_DATE, LATE, STILL_OPEN, WAITING)
    return published, dict(zip(reasons, others, strict=True))


def _coaching_counts(
    connection: duckdb.DuckDBPyConnection,
    rules: DisclosureRules,
    table: str,
    rows: Sql,
    relation: Sql,
    new: list[dt.date],
) -> tuple[int, dict[str, int]]:
    """The same for the new periods of one coaching table."""

    query = render(
        PACKAGE,
        "records_by_cell.sql",
        rows=rows,
        unit=rules.coaching.period,
        category_of_course=Sql(rules.category_sql("course_code")),
        new=new,
        table=relation,
        same_cell=same_values("records", "cells", ("period", *CELL[table])),
    )
    ((published, suppressed),) = connection.execute(query).fetchall()
    if table not in rules.coaching.noise:
        # The published figures themselves say how many records they cover.
        cells = f"{relation} WHERE period IN ({literals(new)})"
        published = count(connection, f"SELECT sum(records) FROM {cells}")
    return published, {IDENTIFYING: suppressed}


def _days(texts: list[str] | dict[str, str]) -> list[dt.date]:
    """Days from their ISO texts."""
    return [dt.date.fromisoformat(text) for text in texts]
