"""What is past retention: the records, and the file edits that erase them.

The classified store is the index: each of its rows names the record through all its revisions
(`record_key`) and the deliveries that contain one. So only months that can have something past
retention are read, and only deliveries that contain some of it are rewritten.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.classified import population
from pipeline.classified.models import PERIOD, RECORD_KEY
from pipeline.context import Context
from pipeline.identity import models as identity
from pipeline.identity import store
from pipeline.policy.fields import Audience
from pipeline.policy.retention import RecordType, RetentionRules, StorageRule
from pipeline.policy.windows import (
    cutoff,
    kept_until,
    latest_due,
    make_cutoffs,
    record_cutoff,
    with_due,
)
from pipeline.raw import landing, register
from pipeline.storage import relations
from pipeline.storage.file_edit import FileEdit
from pipeline.storage.layout import Layout
from pipeline.storage.relations import parquet, subquery
from pipeline.storage.schema import CLASSIFIED, ROSTER
from pipeline.storage.sql import Sql, literal, literals
from pipeline.subjects import legal_holds

# What resolution needs of a roster row; everything else of it is cleared when it is superseded.
IDENTIFYING = ("learner_id", "email", "delivery_date")


@dataclass(frozen=True)
class PlanItem:
    """One line of a plan: what is due for erasure, how much of it, by which rule, and where.

    Attributes:
        place: as the data inventory calls it.
        due: how many are past retention. held: how many of those stay, by a hold or otherwise.
    """

    place: str
    what: str
    rule: str
    due: int
    held: int
    where: str

    @property
    def by_record(self) -> bool:
        """Does the item count records, each once, and not stored rows or files?"""
        return self.rule.startswith(("records.", "overrides."))


def last_day(rules: RetentionRules, storage_rule: StorageRule, now: dt.datetime) -> dt.date:
    """What was made on this day or before is past retention."""
    return cutoff(rules, None, now, rules.storage[storage_rule].duration)


def months_past_retention(
    context: Context, now: dt.datetime, record: RecordType, audience: Audience | None = None
) -> list[Path]:
    """Files of the classified store that can contain a record of the type past retention, oldest
    first."""
    horizon = latest_due(context.rules, context.data_map, now, record, audience)
    return [
        path
        for path in relations.period_files(context.layout.classified)
        if horizon is None
        or dt.date.fromisoformat(path.parent.name.removeprefix("period=")) <= horizon
    ]


def runs_before(rules: RetentionRules, now: dt.datetime) -> dt.datetime:
    """Dagster runs that were made before this aware instant are past retention."""
    rule = rules.storage[StorageRule.DAGSTER_RUNS]
    after = cutoff(rules, None, now, rule.duration) + dt.timedelta(days=1)
    return dt.datetime.combine(after, dt.time(), rules.zone(None))


def list_records(connection: duckdb.DuckDBPyConnection, rows: str, held: str) -> Sql:
    """List classified rows for erasure.

    Args:
        rows: SQL, the rows.
        held: SQL test of a row: must it stay?

    Returns:
        A temporary table: record_key, deliveries, period, record_type, region, person, held.
    """
    records = Sql("records_to_erase")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {records} AS SELECT record_key, deliveries, "
        f"{PERIOD} AS period, record_type, region, person, ({held}) AS held FROM {rows}"
    )
    return records


def select_past_retention(
    connection: duckdb.DuckDBPyConnection, context: Context, now: dt.datetime
) -> Sql:
    """The records past retention, held or not; a temporary table as `list_records` makes it."""
    cutoffs = make_cutoffs(connection, "cutoffs", context.rules, context.data_map, now)
    # Type by type: a month without a type is skipped by the statistics in its file.
    rows = " UNION ALL ".join(
        f"FROM {with_due(parquet(months, CLASSIFIED), cutoffs)} "
        f"WHERE record_type = {literal(record)} AND due"
        for record in RecordType
        for months in [months_past_retention(context, now, record)]
    )
    return list_records(connection, f"({rows})", legal_holds.held_sql(context.layout))


def record_items(
    connection: duckdb.DuckDBPyConnection, rules: RetentionRules, records: Sql, now: dt.datetime
) -> Iterator[PlanItem]:
    """Plan items of the records past retention, per record type and region."""
    groups = connection.execute(
        "SELECT record_type, region, count(*) FILTER (NOT held), count(*) FILTER (held), "
        "count(DISTINCT person), list_sort(list_distinct(flatten(list(deliveries)))), "
        f"min(period), max(period) FROM {records} GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    for kind, region, due, held, people, found, first, last in groups:
        record = RecordType(kind)
        rule = rules.records[record]
        last = record_cutoff(rules, record, region, now, rule.duration)
        _, name = kept_until(rules, record, region, rule.duration, last)
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


def raw_deliveries(
    layout: Layout, rules: RetentionRules, now: dt.datetime
) -> tuple[list[dt.date], list[dt.date]]:
    """Raw deliveries past retention: those that can be removed, and those that stay and are
    reported: no run has read them, so that what they contain is nowhere else, or nothing is left
    of them but links."""
    last = last_day(rules, StorageRule.RAW_DELIVERIES, now)
    old = [delivery for delivery in landing.deliveries(layout) if delivery <= last]
    removable = [
        delivery
        for delivery in old
        if register.is_done_with(layout, delivery) and not landing.only_links(layout, delivery)
    ]
    return removable, [delivery for delivery in old if delivery not in removable]


def canonical_edits(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    rules: RetentionRules,
    records: Sql,
    now: dt.datetime,
) -> list[FileEdit]:
    """What has to leave the canonical records, file by file.

    The edits read temporary tables of the connection.

    Args:
        records: the records past retention, as `select_past_retention` returns them.
    """
    last = last_day(rules, StorageRule.QUARANTINE, now)
    files = relations.files(layout, "records")
    gone, touched = _records_to_erase(connection, records)
    stored = f"FROM {store.identifiers(layout)}"
    identifiers = relations.temp_table(connection, identity.IDENTIFIERS, stored)
    void, voiding = _voided(connection, layout, last)
    bad = {*_with_rows(connection, _until(files, last), "problem IS NOT NULL")}
    edits = []
    for path in files:
        delivery = path.parent.parent.name
        tests: list[str] = []
        # Corrections are stored apart, under the date of the delivery that they correct.
        if delivery in touched or landing.day_of(delivery) is None:
            tests.append(rows_of_records(path, gone, identifiers))
        if path in bad:
            tests.append("problem IS NOT NULL")
        if path.stem.removeprefix("records-").rsplit("-", 1)[0] in voiding:
            voided = f"(source, record_id) IN (SELECT (source, record_id) FROM {void})"
            tests.append(f"problem IS NULL AND {voided}")
        if tests:
            edits.append(FileEdit(path, " OR ".join(f"({test})" for test in tests)))
    counted = last_day(rules, StorageRule.RECONCILIATION, now)
    whole = [
        *_until(relations.reject_files(layout), last),
        *_until(relations.files(layout, "left_out"), counted),
    ]
    return edits + [FileEdit(path, "true") for path in _with_rows(connection, whole, "true")]


def rows_of_records(path: Path, keys: str, identifiers: Sql) -> Sql:
    """SQL: is a row of a canonical file a revision of some records? For a `FileEdit` of it.

    Args:
        keys: relation with their `record_key`.
        identifiers: those of the classification that the keys are from.
    """
    rows = subquery(f"FROM {FileEdit(path).source} WHERE problem IS NULL")
    resolved = identity.resolved(rows, identifiers)
    return Sql(
        f"file_row_number IN (SELECT file_row_number FROM ({resolved}) "
        f"WHERE {RECORD_KEY} IN (SELECT record_key FROM {keys}))"
    )


def _records_to_erase(connection: duckdb.DuckDBPyConnection, records: Sql) -> tuple[Sql, set[str]]:
    """A temporary table of the keys (record_key) of records that no hold keeps, and the deliveries
    that contain them."""
    gone = Sql("record_keys_to_erase")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {gone} AS "
        f"SELECT DISTINCT record_key FROM {records} WHERE NOT held"
    )
    found = connection.execute(
        f"SELECT DISTINCT unnest(deliveries) FROM {records} WHERE NOT held"
    ).fetchall()
    return gone, {str(delivery) for (delivery,) in found}


def _voided(
    connection: duckdb.DuckDBPyConnection, layout: Layout, last: dt.date
) -> tuple[Sql, set[str]]:
    """What was voided up to a day: a temporary table (source, record_id), and its sources.

    A voiding statement goes together with what it voids, or that would count again.
    """
    void = Sql("voided_records")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {void} AS SELECT DISTINCT source, record_id "
        f"FROM {relations.records(layout)} WHERE status = 'voided' AND problem IS NULL "
        f"AND record_id IS NOT NULL AND delivery_date <= DATE '{last}'"
    )
    found = connection.execute(f"SELECT DISTINCT source FROM {void}").fetchall()
    return void, {str(source) for (source,) in found}


def _until(files: list[Path], last: dt.date) -> list[Path]:
    """Those of dated deliveries up to a day."""
    return [
        path
        for path in files
        if (delivery := landing.day_of(path.parent.parent.name)) and delivery <= last
    ]


def _with_rows(connection: duckdb.DuckDBPyConnection, files: list[Path], test: str) -> list[Path]:
    """Those with a row that passes the test. Of years of deliveries most have none any more, which
    one query over all of them finds sooner than one for each."""
    if not files:
        return []
    found = connection.execute(
        f"SELECT DISTINCT filename FROM {parquet(files, {})} WHERE {test}"
    ).fetchall()
    return sorted(Path(name) for (name,) in found)


def roster_edits(
    connection: duckdb.DuckDBPyConnection, layout: Layout, rules: RetentionRules, now: dt.datetime
) -> list[FileEdit]:
    """Superseded roster rows, and rows past the roster's own retention, except those of people on
    hold. Of those by which stored records are resolved, number, address and date stay and the rest
    is cleared. The edits read temporary tables of the connection."""
    history = last_day(rules, StorageRule.ROSTER_HISTORY, now)
    whole = last_day(rules, StorageRule.ROSTER, now)
    latest = Sql("latest_roster_rows")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {latest} AS SELECT learner_id, max(delivery_date) AS newest "
        f"FROM {relations.roster_history(layout)} GROUP BY ALL"
    )
    needed = _roster_rows_needed(connection, layout, whole)
    people = literals(sorted({p for hold in legal_holds.live(layout) for p in hold.people}))
    old_rows = (
        f"coalesce(learner_id NOT IN ({people}), true) AND (delivery_date <= DATE '{whole}' OR "
        f"(delivery_date <= DATE '{history}' AND (learner_id, delivery_date) NOT IN "
        f"(SELECT (learner_id, newest) FROM {latest})))"
    )
    kept = f"(learner_id, delivery_date) IN (SELECT (person, day) FROM {needed})"
    gone, cleared = f"{old_rows} AND NOT {kept}", f"{old_rows} AND {kept}"
    facts = {
        name: f"{name} IS NOT NULL AND {cleared}" for name in ROSTER if name not in IDENTIFYING
    }
    old = _until(relations.files(layout, "roster"), max(history, whole))
    touched = _with_rows(connection, old, " OR ".join([f"({gone})", *facts.values()]))
    return [FileEdit(path, gone, facts) for path in touched]


def _roster_rows_needed(
    connection: duckdb.DuckDBPyConnection, layout: Layout, whole: dt.date
) -> Sql:
    """A temporary table (person, day) of the roster rows by which stored records are resolved."""
    history = relations.roster_history(layout)
    holdings = relations.temp_table(connection, "holdings", identity.holdings_model(history))
    model = identity.needed_model(holdings, population.people(layout), whole)
    return relations.temp_table(connection, "roster_rows_needed", model)


def edits(
    connection: duckdb.DuckDBPyConnection, context: Context, records: Sql, now: dt.datetime
) -> list[FileEdit]:
    """Everything that has to leave the canonical store; arguments as `canonical_edits`."""
    layout, rules = context.layout, context.rules
    return [
        *canonical_edits(connection, layout, rules, records, now),
        *roster_edits(connection, layout, rules, now),
    ]
