"""The plan: what is due, by which rule, and where it lies. Reading it changes nothing."""

from __future__ import annotations

import datetime as dt

import duckdb

from pipeline.engine import count, literal
from pipeline.ground import Ground
from pipeline.policy.base import PolicyError
from pipeline.policy.retention import Keeping
from pipeline.retained import due, holds, housekeeping
from pipeline.retained.due import Line
from pipeline.retained.rewrite import affected
from pipeline.retained.subject import Subject
from pipeline.transforms import basis, stored


def require_index(ground: Ground) -> None:
    """The classified store is the index of what is due, so it must know every drop.

    Raises:
        PolicyError: no night has classified the store as it is now.
    """
    if basis.read(ground.layout).drops != basis.drops(ground.layout):
        raise PolicyError(
            "retention: the store has drops that no night has classified; run the night again"
        )


def by_rule(connection: duckdb.DuckDBPyConnection, ground: Ground, now: dt.datetime) -> list[Line]:
    """Everything past its window, held or not; leaves the table `due` for the deed."""
    require_index(ground)
    due.select_due(connection, ground, now)
    lines = list(due.record_lines(connection, ground, now))
    for place, what, rule, strokes in (
        ("canonical records", "stored rows in all: every revision of the records above, "
         "quarantined and voided rows", f"keeping.{Keeping.QUARANTINE}",
         due.canonical_strokes(connection, ground, now)),
        ("roster", "superseded and old rows", f"keeping.{Keeping.ROSTER_HISTORY}",
         due.roster_strokes(connection, ground, now)),
    ):  # fmt: skip
        rows = [gone for gone in (affected(connection, s)[1] for s in strokes) if gone]
        if rows:
            lines.append(Line(place, what, rule, sum(rows), 0, f"{len(rows)} files"))
    taken, missing = due.raw_drops(ground, now)
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
    mine = f"{stored.classified(ground.layout)} WHERE person = {literal(subject.person)}"
    for hold in holds.live(ground.layout):
        if count(connection, f"SELECT count(*) FROM {mine} AND {hold.sql()}"):
            raise PolicyError(f"erasure: the legal hold {hold.name} keeps records of this person")
    due.list_due(connection, mine, "false")
    groups = connection.sql(
        "SELECT record_type, region, count(*), min(period), max(period) FROM due "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return [
        Line("canonical records", f"{kind}, {region or 'no region'}, 1 person, erase",
             "GDPR Art. 17", n, 0, f"months {first:%Y-%m} to {last:%Y-%m}")
        for kind, region, n, first, last in groups
    ]  # fmt: skip
