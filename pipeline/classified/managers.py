"""Managers by the roster: if policy says so (`managers` in access_rules.yaml), whoever has reports
on the roster of the one source that is HR's has the role of a manager, for these reports only.

The actor is what the manager's address has before the @, if nobody else on that roster has the
same. An entry of the staff list comes first, also one without any role. Which roster is in use is
in the vault, by its delivery and version: a newer one is taken into use by the run that accepts it,
unless more of its reporting lines have changed than policy allows. Then it waits for HR. Once the
older one is corrected, withdrawn or past its retention, nobody has the role by it any more.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path

import duckdb
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.access import staff
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.keys import signing
from pipeline.policy.access import Role
from pipeline.raw import register
from pipeline.storage import encryption
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout
from pipeline.storage.relations import files, parquet, source_of
from pipeline.storage.schema import ROSTER
from pipeline.storage.sql import Sql, literal

FILE = f"managers.json{encryption.TEXT}"


@dataclass(frozen=True)
class Proposal:
    """A roster that is not in use yet.

    Attributes:
        changed: share of its reporting lines, and of those in use, that are not in both; 1 if none
            is in use.
        waits: HR has to confirm it.
    """

    delivery: dt.date
    changed: float
    waits: bool


def path(layout: Layout) -> Path:
    return layout.vault / FILE


def in_use(context: Context) -> dt.date | None:
    """The delivery of the roster that gives roles; None if policy does not say so, or if it is not
    there any more as it was."""
    rule, text = context.access.managers, encryption.read_text(context.layout, path(context.layout))
    if rule is None or text is None:
        return None
    stored = json.loads(text)
    day = dt.date.fromisoformat(stored["delivery"])
    here = {"source": rule.source, "delivery": str(day), "version": _version(context.layout, day)}
    return day if stored == here else None


def _version(layout: Layout, day: dt.date) -> str | None:
    return register.version_of(layout.canonical / str(day))


def proposal(context: Context) -> Proposal | None:
    """The newest roster of HR's source, if that is not in use."""
    rule, layout = context.access.managers, context.layout
    if rule is None:
        return None
    found = [one for one in files(layout, "roster") if source_of(one) == rule.source]
    newest = max((one.parent.parent.name for one in found), default=None)
    old = in_use(context)
    if newest is None or (old is not None and newest == str(old)):
        return None
    day = dt.date.fromisoformat(newest)
    changed = _changed(layout, rule.source, old, day) if old else 1.0
    return Proposal(day, changed, old is None or changed > rule.changes)


def adopt(context: Context) -> None:
    """Take the newest roster into use, unless it waits for HR; the caller holds the lock."""
    found = proposal(context)
    if found is not None and not found.waits:
        _use(context, found.delivery)


def confirm(context: Context, actor: str, key: Ed25519PrivateKey) -> Proposal:
    """Take the newest roster into use, as HR.

    Raises:
        PolicyError: the actor is not HR with this key, or no roster waits.
    """
    member = staff.find(context.layout, actor)
    if member is None or Role.HR not in member.roles or member.key != signing.public_pem(key):
        raise PolicyError(f"managers: {actor} does not have the role hr with this key")
    with context.layout.locked():
        found = proposal(context)
        if found is None:
            raise PolicyError("managers: no roster waits")
        _use(context, found.delivery)
    return found


def _use(context: Context, day: dt.date) -> None:
    rule = context.access.managers
    assert rule is not None
    stored = {
        "source": rule.source,
        "delivery": str(day),
        "version": _version(context.layout, day),
    }
    encryption.write_text(context.layout, path(context.layout), json.dumps(stored))


def _rows(layout: Layout, source: str, day: dt.date) -> Sql:
    """SQL: HR's roster of one delivery, without who has left."""
    found = [one for one in files(layout, "roster", str(day)) if source_of(one) == source]
    left = f"left_on <= DATE {literal(str(day))}"
    return Sql(f"(SELECT * FROM {parquet(found, ROSTER)} WHERE NOT coalesce({left}, false))")


def lines(layout: Layout, source: str, day: dt.date) -> Sql:
    """SQL: learner_id, manager and actor, of every report whose manager is on the roster and has an
    address that no two employees share before the @."""
    rows = _rows(layout, source, day)
    named = (
        f"SELECT split_part(email, '@', 1) AS actor, any_value(learner_id) AS manager, "
        f"any_value(email) AS email FROM {rows} WHERE email IS NOT NULL "
        "GROUP BY 1 HAVING count(DISTINCT learner_id) = 1"
    )
    return Sql(
        f"(SELECT DISTINCT r.learner_id, m.manager, m.actor FROM {rows} r JOIN ({named}) m "
        "ON r.manager_id IN (m.manager, 'mbox:mailto:' || m.email) "
        "WHERE r.learner_id <> m.manager)"
    )


def _changed(layout: Layout, source: str, old: dt.date, new: dt.date) -> float:
    """The share of reporting lines of two rosters that are not in both."""
    pairs = [
        f"(SELECT learner_id, manager FROM {lines(layout, source, day)})" for day in (old, new)
    ]
    both = f"SELECT count(*) FROM (FROM {pairs[0]} INTERSECT FROM {pairs[1]})"
    every = f"SELECT count(*) FROM (FROM {pairs[0]} UNION FROM {pairs[1]})"
    with engine(layout.work) as connection:
        ((same, total),) = connection.execute(f"SELECT ({both}), ({every})").fetchall()
    return 1 - same / total if total else 0.0


def current_lines(context: Context) -> Sql | None:
    """`lines` of the roster in use; None if there is none."""
    rule, day = context.access.managers, in_use(context)
    return lines(context.layout, rule.source, day) if rule and day else None


def member(context: Context, actor: str) -> staff.Member | None:
    """Who an actor is: by the staff list, or else a manager by the roster."""
    found, current = staff.find(context.layout, actor), current_lines(context)
    if found is not None or current is None or not staff.is_name(actor):
        return found
    with engine(context.layout.work) as connection:
        people = connection.execute(
            f"SELECT DISTINCT manager FROM {current} WHERE actor = $actor", {"actor": actor}
        ).fetchall()
    return staff.Member(actor=actor, roles=(Role.MANAGER,), person=people[0][0]) if people else None


def only_reports(context: Context, actor: str) -> list[str] | None:
    """The people whose rows a manager by the roster may see; None for one on the staff list, who
    sees all reports by the reporting line of the run."""
    current = current_lines(context)
    if staff.find(context.layout, actor) is not None:
        return None
    if current is None:
        return []
    with engine(context.layout.work) as connection:
        found = connection.execute(
            f"SELECT DISTINCT learner_id FROM {current} WHERE actor = $actor", {"actor": actor}
        ).fetchall()
    return [str(person) for (person,) in found]


def reports_of_everyone(
    connection: duckdb.DuckDBPyConnection, context: Context
) -> list[tuple[str, str]]:
    """Manager and learner of every line of the roster in use, without actors on the staff list."""
    current = current_lines(context)
    if current is None:
        return []
    listed = sorted(staff.everyone(context.layout))
    found = connection.execute(
        f"SELECT manager, learner_id FROM {current} "
        "WHERE NOT list_contains($listed::VARCHAR[], actor)",
        {"listed": listed},
    ).fetchall()
    return [(str(manager), str(learner)) for manager, learner in found]
