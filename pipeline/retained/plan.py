"""The plan: what is due, by which rule, and where it lies. Reading it changes nothing."""

from __future__ import annotations

import datetime as dt

import duckdb

from pipeline.classified import run_snapshot
from pipeline.context import Context
from pipeline.errors import PolicyError, Unfinished
from pipeline.policy.retention import StorageRule
from pipeline.retained import housekeeping, past_retention
from pipeline.retained.past_retention import PlanItem
from pipeline.storage import relations
from pipeline.storage.engine import count
from pipeline.storage.file_edit import affected
from pipeline.storage.sql import literal
from pipeline.subjects import legal_holds
from pipeline.subjects.identity import Subject


def require_index(context: Context) -> None:
    """The classified store is the index of what is due, so it must know every delivery.

    Raises:
        Unfinished: no night has classified the store as it is now.
    """
    if run_snapshot.read(context.layout).deliveries != run_snapshot.deliveries(context.layout):
        raise Unfinished(
            "retention: the store has deliveries that no night has classified; run the night again"
        )


def by_rule(
    connection: duckdb.DuckDBPyConnection, context: Context, now: dt.datetime
) -> list[PlanItem]:
    """Everything past its window, held or not; leaves the table `due` for the deed."""
    require_index(context)
    past_retention.select_past_retention(connection, context, now)
    lines = list(past_retention.record_lines(connection, context, now))
    for place, what, rule, edits in (
        ("canonical records", "stored rows in all: every revision of the records above, "
         "quarantined and voided rows", f"storage.{StorageRule.QUARANTINE}",
         past_retention.canonical_edits(connection, context, now)),
        ("roster", "superseded and old rows", f"storage.{StorageRule.ROSTER_HISTORY}",
         past_retention.roster_edits(connection, context, now)),
    ):  # fmt: skip
        rows = [gone for gone in (affected(connection, s)[1] for s in edits) if gone]
        if rows:
            lines.append(PlanItem(place, what, rule, sum(rows), 0, f"{len(rows)} files"))
    taken, missing = past_retention.raw_deliveries(context, now)
    rule = f"storage.{StorageRule.RAW_DELIVERIES}"
    if taken:
        where = ", ".join(map(str, taken))
        lines.append(PlanItem("raw deliveries", "delivered deliveries", rule, len(taken), 0, where))
    if missing:
        where = ", ".join(map(str, missing))
        what = "never taken in, so kept: run their nights"
        lines.append(PlanItem("raw deliveries", what, rule, 0, len(missing), where))
    return lines + housekeeping.lines(context, now)


def of_person(
    connection: duckdb.DuckDBPyConnection, context: Context, subject: Subject
) -> list[PlanItem]:
    """Everything of one person; leaves the table `due`.

    Raises:
        PolicyError: a legal hold or a restriction keeps some of it, by name.
    """
    require_index(context)
    mine = f"{relations.classified(context.layout)} WHERE person = {literal(subject.person)}"
    for hold in legal_holds.live(context.layout):
        if count(connection, f"SELECT count(*) FROM {mine} AND {hold.sql()}"):
            raise PolicyError(f"erasure: the legal hold {hold.name} keeps records of this person")
    past_retention.list_past_retention(connection, mine, "false")
    groups = connection.sql(
        "SELECT record_type, region, count(*), min(period), max(period) FROM due "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return [
        PlanItem("canonical records", f"{kind}, {region or 'no region'}, 1 person, erase",
             "GDPR Art. 17", n, 0, f"months {first:%Y-%m} to {last:%Y-%m}")
        for kind, region, n, first, last in groups
    ]  # fmt: skip
