"""The one place where published tables are read: nothing without a role and a purpose."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

from pipeline.access import approval, audit, sign_off, staff
from pipeline.access.authorize import Ask, Grant, Refused, decide, pseudonyms
from pipeline.classified import reference_values
from pipeline.context import Ground
from pipeline.policy.base import PolicyError
from pipeline.policy.detect import PATTERNS
from pipeline.policy.fields import Purpose
from pipeline.published.tables import opened
from pipeline.storage.engine import EngineError, engine, identifier
from pipeline.subjects.denylist import grams_sql
from pipeline.subjects.identity import find, references


@dataclass(frozen=True)
class Page:
    """Rows of a published table, and how many there are in all."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    total: int


def reference(ground: Ground, person: str | None, audience: Purpose | None) -> str | None:
    """A person's pseudonym in an audience; None if there is none."""
    if person is None or audience is None:
        return None
    with engine(ground.layout.work) as connection:
        subject = find(connection, ground.layout, person)
        return references(connection, ground.layout, subject).get(audience)


def read(ground: Ground, ask: Ask, limit: int | None = None) -> Page:
    """Rows of one published table that open to the asker. The access log has the reading, or the
    refusal, on disk before anything is returned.

    Raises:
        Refused: with the reason.
        PolicyError: nothing is published, or nobody may read now.
    """
    try:
        grant, own_ref = _granted(ground, ask, dt.datetime.now(dt.UTC))
    except PolicyError as refusal:
        # A note that was refused may be what named somebody.
        audit.note(ground, replace(ask, note=""), pseudonyms(ask.people),
                    decision=f"refused: {refusal}")  # fmt: skip
        raise
    spec = ground.data_map.published[ask.table]
    tests = {
        "manager_ref = $own": grant.own_reports,
        "learner_ref IN (SELECT unnest($people))": bool(ask.people),
        f"{identifier(grant.only_null or '')} IS NULL": grant.only_null is not None,
    }
    given = {"own": own_ref} if grant.own_reports else {}
    bound: dict[str, object] = given | ({"people": list(ask.people)} if ask.people else {})
    tested = " AND ".join(["true", *(test for test, asked in tests.items() if asked)])
    whose = "learner_ref" if "learner_ref" in spec.columns else "NULL"
    columns = ", ".join([whose, *map(identifier, grant.fields)])
    most = "" if limit is None else f" LIMIT {int(limit)}"
    query = f"FROM released.{identifier(ask.table)} WHERE {tested}"
    total, rows = _read(
        ground, ask.table, bound, f"SELECT count(*) {query}", f"SELECT {columns} {query}{most}"
    )
    refs = {*ask.people, *(str(row[0]) for row in rows if row[0] is not None)}
    audit.note(ground, ask, refs, fields=grant.fields, rows=len(rows))
    return Page(grant.fields, [row[1:] for row in rows], total)


def _read(
    ground: Ground, table: str, bound: dict[str, object], number: str, rows: str
) -> tuple[int, list[tuple[Any, ...]]]:
    """The answers to two queries, of one and the same release: if that goes while it is read, the
    next one is asked."""
    while True:
        release = ground.layout.current.resolve()
        try:
            with opened(ground, release, table) as connection:
                ((total,),) = connection.execute(number, bound).fetchall()
                return int(total), connection.execute(rows, bound).fetchall()
        except EngineError:
            if ground.layout.current.resolve() == release:
                raise


def _granted(ground: Ground, ask: Ask, now: dt.datetime) -> tuple[Grant, str | None]:
    """What opens, and the asker's own pseudonym; a sign-off is used up by this."""
    spec = ground.data_map.published.get(ask.table)
    members = staff.everyone(ground.layout)
    member = members.get(ask.actor)
    signer = members.get(ask.sign_off.leave.signer) if ask.sign_off else None
    # Whose records are the actor's own matters where single people open.
    single = {*ground.access.own_reports, *ground.access.detail}
    audience = spec.purpose if spec and spec.purpose in single else None
    own_ref = reference(ground, member.person if member else None, audience)
    signer_ref = reference(ground, signer.person if signer else None, audience)
    approval.require_open(ground.layout, ground.access, ground.version)
    grant = decide(ground, ask, member, own_ref, signer, signer_ref, now)
    require_plain_note(ground, ask.note)
    if spec is None or not (ground.layout.current / spec.file).exists():
        raise PolicyError("nothing is published yet")
    if grant.spends is not None:
        sign_off.spend(ground.layout, grant.spends.leave, now)
    return grant, own_ref


def require_plain_note(ground: Ground, note: str) -> None:
    """Refuse a note that names somebody: the log must not become a second place of raw values.

    Raises:
        Refused: without what was found.
    """
    if not note:
        return
    pattern = "|".join(f"(?:{one})" for one in PATTERNS.values())
    with engine(ground.layout.work) as connection:
        (found,) = connection.execute(
            "SELECT regexp_matches($note, $pattern)", {"note": note, "pattern": pattern}
        ).fetchall()[0]
        if not found and ground.layout.known.exists():
            reference_values.attach(connection, ground.layout)
            connection.execute("CREATE TEMP TABLE given (text VARCHAR)")
            connection.execute("INSERT INTO given VALUES ($note)", {"note": note})
            ((found,),) = connection.sql(
                f"SELECT count(*) > 0 FROM ({grams_sql('given')}) JOIN known.denied ON gram = entry"
            ).fetchall()
    if found:
        raise Refused("the note names or numbers a person; refer to a case instead")
