"""The plan: what is due, by which rule, and where it lies. Reading it changes nothing."""

from __future__ import annotations

import datetime as dt

import duckdb

from pipeline.classified import run_snapshot
from pipeline.context import Ground
from pipeline.policy.base import PolicyError
from pipeline.policy.retention import Keeping
from pipeline.retained import housekeeping, past_retention
from pipeline.retained.past_retention import Line
from pipeline.storage import relations
from pipeline.storage.engine import count, literal
from pipeline.storage.file_edit import affected
from pipeline.subjects import legal_holds
from pipeline.subjects.identity import Subject


def require_index(ground: Ground) -> None:
    """The classified store is the index of what is due, so it must know every drop.

    Raises:
        PolicyError: no night has classified the store as it is now.
    """
    if run_snapshot.read(ground.layout).drops != run_snapshot.drops(ground.layout):
        raise PolicyError(
            "retention: the store has drops that no night has classified; run the night again"
        )


def by_rule(connection: duckdb.DuckDBPyConnection, ground: Ground, now: dt.datetime) -> list[Line]:
    """Everything past its window, held or not; leaves the table `due` for the deed."""
    require_index(ground)
    past_retention.select_due(connection, ground, now)
    lines = list(past_retention.record_lines(connection, ground, now))
    for place, what, rule, strokes in (
        ("canonical records", "stored rows in all: every revision of the records above, "
         "quarantined and voided rows", f"keeping.{Keeping.QUARANTINE}",
         past_retention.canonical_strokes(connection, ground, now)),
        ("roster", "superseded and old rows", f"keeping.{Keeping.ROSTER_HISTORY}",
         past_retention.roster_strokes(connection, ground, now)),
    ):  # fmt: skip
        rows = [gone for gone in (affected(connection, s)[1] for s in strokes) if gone]
        if rows:
            lines.append(Line(place, what, rule, sum(rows), 0, f"{len(rows)} files"))
    taken, missing = past_retention.raw_drops(ground, now)
    rule = f"keeping.{Keeping.RAW_DROPS}"
    if taken:
        where = ", ".join(map(str, taken))
        lines.append(Line("raw drops", "delivered drops", rule, len(taken), 0, where))
    if missing:
        where = ", ".join(map(str, missing))
        what = "never taken in, so kept: run their nights"
        lines.append(Line("raw drops", what, rule, 0, len(missing), where))
    return lines + housekeeping.lines(ground, now)


def of_person(
    connection: duckdb.DuckDBPyConnection, ground: Ground, subject: Subject
) -> list[Line]:
    """Everything of one person; leaves the table `due`.

    Raises:
        PolicyError: a legal hold or a restriction keeps some of it, by name.
    """
    require_index(ground)
    mine = f"{relations.classified(ground.layout)} WHERE person = {literal(subject.person)}"
    for hold in legal_holds.live(ground.layout):
        if count(connection, f"SELECT count(*) FROM {mine} AND {hold.sql()}"):
            raise PolicyError(f"erasure: the legal hold {hold.name} keeps records of this person")
    past_retention.list_due(connection, mine, "false")
    groups = connection.sql(
        "SELECT record_type, region, count(*), min(period), max(period) FROM due "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return [
        Line("canonical records", f"{kind}, {region or 'no region'}, 1 person, erase",
             "GDPR Art. 17", n, 0, f"months {first:%Y-%m} to {last:%Y-%m}")
        for kind, region, n, first, last in groups
    ]  # fmt: skip
