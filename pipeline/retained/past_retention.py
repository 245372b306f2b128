"""What is due: the temporary tables and the edits of a deletion by rule.

The classified store is the index: each of its rows names the record through all its revisions
(`record_key`) and the deliveries that hold one. So only months that can be due are read, and only deliveries
that hold something due are rewritten.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.classified.models import PERIOD, RECORD_KEY
from pipeline.context import Context
from pipeline.policy.fields import Audience
from pipeline.policy.retention import RecordType, StorageRule
from pipeline.policy.windows import (
    cutoff,
    kept_until,
    latest_due,
    make_cutoffs,
    record_cutoff,
    with_due,
)
from pipeline.raw import deliveries
from pipeline.storage import relations
from pipeline.storage.file_edit import FileEdit
from pipeline.storage.relations import parquet
from pipeline.storage.schema import CLASSIFIED
from pipeline.storage.sql import literal
from pipeline.subjects import legal_holds


@dataclass(frozen=True)
class PlanItem:
    """One line of a plan: how much of what is due, by which rule, and where it lies."""

    place: str
    what: str
    rule: str
    due: int
    held: int
    where: str

    @property
    def by_record(self) -> bool:
        """Does the line count records, each once, and not stored rows or files?"""
        return self.rule.startswith(("records.", "overrides."))


def last_day(context: Context, storage_rule: StorageRule, now: dt.datetime) -> dt.date:
    """What was made on this day or before is past its window."""
    return cutoff(context.rules, None, now, context.rules.storage[storage_rule].duration).day


def months_past_retention(
    context: Context, now: dt.datetime, record: RecordType, audience: Audience | None = None
) -> list[Path]:
    """Files of the classified store that can hold a record of the type past its window, oldest
    first."""
    horizon = latest_due(context.rules, context.data_map, now, record, audience)
    return [
        path
        for path in relations.period_files(context.layout.classified)
        if horizon is None
        or dt.date.fromisoformat(path.parent.name.removeprefix("period=")) <= horizon.date()
    ]


def runs_before(context: Context, now: dt.datetime) -> dt.datetime:
    """Dagster runs that were made before this aware instant are past their window."""
    rule = context.rules.storage[StorageRule.DAGSTER_RUNS]
    return cutoff(context.rules, None, now, rule.duration).instant.replace(tzinfo=dt.UTC)


def list_past_retention(connection: duckdb.DuckDBPyConnection, rows: str, held: str) -> None:
    """Make the table `due` of classified rows: record_key, deliveries, period, record_type, region,
    person, held."""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE due AS SELECT record_key, deliveries, {PERIOD} AS period, "
        f"record_type, region, person, ({held}) AS held FROM {rows}"
    )


def select_past_retention(
    connection: duckdb.DuckDBPyConnection, context: Context, now: dt.datetime
) -> None:
    """Make the table `due` of what is past its window, held or not."""
    cutoffs = make_cutoffs(connection, "cutoffs", context.rules, context.data_map, now)
    # Type by type: a month that holds none of a type is passed over by the statistics in its file.
    rows = " UNION ALL ".join(
        f"FROM {with_due(parquet(months, CLASSIFIED), cutoffs)} "
        f"WHERE record_type = {literal(record)} AND due"
        for record in RecordType
        for months in [months_past_retention(context, now, record)]
    )
    list_past_retention(connection, f"({rows})", legal_holds.held_sql(context.layout))


def record_lines(
    connection: duckdb.DuckDBPyConnection, context: Context, now: dt.datetime
) -> Iterator[PlanItem]:
    """Plan lines of `due`, per record type and region."""
    groups = connection.sql(
        "SELECT record_type, region, count(*) FILTER (NOT held), count(*) FILTER (held), "
        "count(DISTINCT person), list_sort(list_distinct(flatten(list(deliveries)))), "
        "min(period), max(period) FROM due GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    for kind, region, due, held, people, found, first, last in groups:
        record = RecordType(kind)
        rule = context.rules.records[record]
        at = record_cutoff(context.rules, record, region, now, rule.duration)
        _, name = kept_until(context.rules, record, region, rule.duration, at.day)
        yield PlanItem(
            "canonical records",
            f"{kind}, {region or 'no region'}, {people} people, {rule.action}",
            name,
            due,
            held,
            f"months {first:%Y-%m} to {last:%Y-%m}; {_several([str(d) for d in found])}",
        )


def _several(names: list[str]) -> str:
    if len(names) <= 3:
        return f"deliveries {', '.join(names)}"
    return f"{len(names)} deliveries, {names[0]} to {names[-1]}"


def raw_deliveries(context: Context, now: dt.datetime) -> tuple[list[dt.date], list[dt.date]]:
    """Delivered deliveries past their window: those that the store has taken in, and those that it
    has not, which are kept and told, since nothing else holds what they brought."""
    last = last_day(context, StorageRule.RAW_DELIVERIES, now)
    old = [delivery for delivery in deliveries.deliveries(context.layout) if delivery <= last]
    taken = [d for d in old if deliveries.is_ingested(context.layout, d)]
    return taken, [delivery for delivery in old if delivery not in taken]


def canonical_edits(
    connection: duckdb.DuckDBPyConnection, context: Context, now: dt.datetime
) -> list[FileEdit]:
    """What is to leave the canonical store, file by file; asks `due`."""
    layout = context.layout
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE leaving_records AS "
        "SELECT DISTINCT record_key FROM due WHERE NOT held"
    )
    touched = {
        str(delivery)
        for (delivery,) in connection.sql(
            "SELECT DISTINCT unnest(deliveries) FROM due WHERE NOT held"
        ).fetchall()
    }
    quarantined = last_day(context, StorageRule.QUARANTINE, now)
    # A voiding statement goes together with what it voids, or that would come back to life.
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE void AS SELECT DISTINCT source, record_id "
        f"FROM {relations.records(layout)} WHERE status = 'voided' AND problem IS NULL "
        f"AND record_id IS NOT NULL AND delivery_date <= DATE '{quarantined}'"
    )
    voiding = {str(s) for (s,) in connection.sql("SELECT DISTINCT source FROM void").fetchall()}
    edits, files = [], relations.files(layout, "records")
    bad = {*_holding(connection, _until(files, quarantined), "problem IS NOT NULL")}
    for path in files:
        delivery = path.parent.parent.name
        gone = []
        # Corrections lie apart, under the date of the delivery that they correct.
        if delivery in touched or not deliveries.DATED.fullmatch(delivery):
            gone.append(f"problem IS NULL AND {RECORD_KEY} IN (FROM leaving_records)")
        if path in bad:
            gone.append("problem IS NOT NULL")
        if path.stem.removeprefix("records-").rsplit("-", 1)[0] in voiding:
            gone.append(
                "problem IS NULL AND (source, record_id) IN (SELECT (source, record_id) FROM void)"
            )
        if gone:
            edits.append(FileEdit(path, " OR ".join(f"({test})" for test in gone)))
    rejects = _until(relations.reject_files(layout), quarantined)
    return edits + [FileEdit(path, "true") for path in _holding(connection, rejects, "true")]


def _until(files: list[Path], last: dt.date) -> list[Path]:
    """Those of dated deliveries up to a day."""
    return [
        path
        for path in files
        if deliveries.DATED.fullmatch(delivery := path.parent.parent.name)
        and dt.date.fromisoformat(delivery) <= last
    ]


def _holding(connection: duckdb.DuckDBPyConnection, files: list[Path], test: str) -> list[Path]:
    """Those that hold a row that passes the test. Of years of deliveries most hold none any more, which
    one query over all of them finds sooner than one for each."""
    if not files:
        return []
    found = connection.sql(
        f"SELECT DISTINCT filename FROM {parquet(files, {})} WHERE {test}"
    ).fetchall()
    return sorted(Path(name) for (name,) in found)


def roster_edits(
    connection: duckdb.DuckDBPyConnection, context: Context, now: dt.datetime
) -> list[FileEdit]:
    """Superseded roster rows, and rows past the roster's own window; none of held people."""
    layout = context.layout
    history, whole = (
        last_day(context, StorageRule.ROSTER_HISTORY, now),
        last_day(context, StorageRule.ROSTER, now),
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE latest AS SELECT learner_id, max(delivery_date) AS newest "
        f"FROM {relations.roster_history(layout)} GROUP BY ALL"
    )
    people = {p for hold in legal_holds.live(layout) for p in hold.people}
    kept = ", ".join(literal(p) for p in sorted(people)) or "NULL"
    gone = (
        f"coalesce(learner_id NOT IN ({kept}), true) AND (delivery_date <= DATE '{whole}' OR "
        f"(delivery_date <= DATE '{history}' AND (learner_id, delivery_date) NOT IN "
        "(SELECT (learner_id, newest) FROM latest)))"
    )
    old = _until(relations.files(layout, "roster"), max(history, whole))
    return [FileEdit(path, gone) for path in _holding(connection, old, gone)]


def edits(
    connection: duckdb.DuckDBPyConnection, context: Context, now: dt.datetime
) -> list[FileEdit]:
    """Everything that is to leave the canonical store; asks `due`."""
    return [
        *canonical_edits(connection, context, now),
        *roster_edits(connection, context, now),
    ]
