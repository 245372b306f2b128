"""The plan: what is due for erasure, by which rule, and where. Reading it changes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.policy.fields import Audience
from pipeline.policy.retention import RetentionRules, StorageRule
from pipeline.published import row_history
from pipeline.retained import housekeeping, index, past_retention
from pipeline.retained.past_retention import PlanItem
from pipeline.storage import relations
from pipeline.storage.engine import count, engine
from pipeline.storage.file_edit import FileEdit, affected
from pipeline.storage.layout import Layout
from pipeline.storage.sql import Sql
from pipeline.subjects import legal_holds
from pipeline.subjects.identity import Subject


@dataclass(frozen=True)
class Plan:
    """What an erasure would do.

    Attributes:
        items: the plan, as people read it.
        records: a temporary table of the records to erase, as `past_retention.list_records` makes
            it.
    """

    items: list[PlanItem]
    records: Sql


def dry_run(context: Context, now: dt.datetime) -> list[PlanItem]:
    """What an erasure at `now` would do. Erases nothing.

    Raises:
        PolicyError: as `index.refresh`.
    """
    index.refresh(context, now)
    with engine(context.layout.work) as connection:
        return by_rule(connection, context, now).items


def by_rule(connection: duckdb.DuckDBPyConnection, context: Context, now: dt.datetime) -> Plan:
    """Everything past retention, held or not.

    Raises:
        PolicyError: as `index.require_current`.
    """
    layout, rules = context.layout, context.rules
    index.require_current(layout)
    records = past_retention.select_past_retention(connection, context, now)
    items = [
        *past_retention.record_items(connection, rules, records, now),
        *_rows(
            connection,
            "canonical records",
            "stored rows in total: all revisions of the records above, quarantined and voided rows",
            StorageRule.QUARANTINE,
            past_retention.canonical_edits(connection, layout, rules, records, now),
        ),
        *_rows(
            connection,
            "roster",
            "superseded and old rows",
            StorageRule.ROSTER_HISTORY,
            past_retention.roster_edits(connection, layout, rules, now),
        ),
        *_row_history(connection, context, now),
        *_raw_deliveries(layout, rules, now),
        *housekeeping.items(context, now),
    ]
    return Plan(items, records)


def _rows(
    connection: duckdb.DuckDBPyConnection,
    place: str,
    what: str,
    rule: StorageRule,
    edits: list[FileEdit],
) -> Iterator[PlanItem]:
    """How many stored rows some edits would delete, if any."""
    rows = [gone for gone in (affected(connection, edit)[1] for edit in edits) if gone]
    if rows:
        yield PlanItem(place, what, f"storage.{rule}", sum(rows), 0, f"{len(rows)} files")


def _row_history(
    connection: duckdb.DuckDBPyConnection, context: Context, now: dt.datetime
) -> Iterator[PlanItem]:
    """What of the analysts' rows as they were published would leave, with whole classes."""
    ((table, _),) = context.data_map.tables_of(Audience.ANALYTICS).items()
    gone = sum(
        row_history.leaving(connection, context.layout, path, query)
        for path, query in row_history.past_retention(connection, context, now).items()
    )
    if gone:
        what = "records behind published rows, with all of their classes"
        yield PlanItem("row history", what, f"tables.{table}", gone, 0, "")


def _raw_deliveries(layout: Layout, rules: RetentionRules, now: dt.datetime) -> Iterator[PlanItem]:
    """Raw deliveries past retention; those that stay count as held."""
    ingested, missing = past_retention.raw_deliveries(layout, rules, now)
    rule = f"storage.{StorageRule.RAW_DELIVERIES}"
    if ingested:
        where = ", ".join(map(str, ingested))
        yield PlanItem("raw deliveries", "ingested deliveries", rule, len(ingested), 0, where)
    if missing:
        where = ", ".join(map(str, missing))
        what = "never ingested, or links, so not erased: run the pipeline for these dates"
        yield PlanItem("raw deliveries", what, rule, 0, len(missing), where)


def of_person(connection: duckdb.DuckDBPyConnection, context: Context, subject: Subject) -> Plan:
    """Everything of one person.

    Raises:
        PolicyError: as `index.require_current`; or a legal hold applies to some of it, by name. One
            on the person also keeps what is in no table: quarantined rows, refused deliveries.
    """
    layout = context.layout
    index.require_current(layout)
    mine = f"{relations.classified(layout)} WHERE {subject.is_person()}"
    for hold in legal_holds.live(layout):
        on_person = not set(subject.ids).isdisjoint(hold.people)
        if on_person or count(connection, f"SELECT count(*) FROM {mine} AND {hold.sql()}"):
            raise PolicyError(
                f"erasure: the legal hold {hold.name} applies to records of this person"
            )
    records = past_retention.list_records(connection, mine, "false")
    groups = connection.execute(
        f"SELECT record_type, region, count(*), min(period), max(period) FROM {records} "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    items = [
        PlanItem(
            "canonical records",
            f"{kind}, {region or 'no region'}, 1 person, erase",
            "GDPR Art. 17",
            n,
            0,
            f"months {first:%Y-%m} to {last:%Y-%m}",
        )
        for kind, region, n, first, last in groups
    ]
    return Plan(items, records)
