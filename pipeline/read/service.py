"""The one place where published tables are read: nothing without a role and a purpose."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

from pipeline.access import approval, audit, sign_off, staff
from pipeline.access.authorize import (
    AccessDenied,
    AccessGrant,
    AccessRequest,
    authorize,
    pseudonyms,
)
from pipeline.classified import reference_values
from pipeline.context import Context
from pipeline.errors import EngineError, PolicyError, Unfinished
from pipeline.policy.detect import looks_personal
from pipeline.policy.fields import Audience
from pipeline.published.tables import opened
from pipeline.storage.engine import engine
from pipeline.storage.sql import identifier
from pipeline.subjects.denylist import grams_sql
from pipeline.subjects.identity import find, references


@dataclass(frozen=True)
class Page:
    """Rows of a published table, and how many there are in all."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    total: int


def reference(context: Context, person: str | None, audience: Audience | None) -> str | None:
    """A person's pseudonym in an audience; None if there is none."""
    if person is None or audience is None:
        return None
    with engine(context.layout.work) as connection:
        subject = find(connection, context.layout, person)
        return references(connection, context.layout, subject).get(audience)


def read(context: Context, ask: AccessRequest, limit: int | None = None) -> Page:
    """Rows of one published table that open to the asker. The access log has the reading, or the
    refusal, on disk before anything is returned.

    Raises:
        Refused: with the reason.
        PolicyError: nothing is published, or nobody may read now.
    """
    try:
        grant, own_ref = _granted(context, ask, dt.datetime.now(dt.UTC))
    except PolicyError as refusal:
        # A note that was refused may be what named somebody.
        audit.note(context, replace(ask, note=""), pseudonyms(ask.people),
                    decision=f"refused: {refusal}")  # fmt: skip
        raise
    spec = context.data_map.published[ask.table]
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
        context, ask.table, bound, f"SELECT count(*) {query}", f"SELECT {columns} {query}{most}"
    )
    refs = {*ask.people, *(str(row[0]) for row in rows if row[0] is not None)}
    audit.note(context, ask, refs, fields=grant.fields, rows=len(rows))
    return Page(grant.fields, [row[1:] for row in rows], total)


def _read(
    context: Context, table: str, bound: dict[str, object], number: str, rows: str
) -> tuple[int, list[tuple[Any, ...]]]:
    """The answers to two queries, of one and the same release: if that goes while it is read, the
    next one is asked."""
    while True:
        release = context.layout.current.resolve()
        try:
            with opened(context, release, table) as connection:
                ((total,),) = connection.execute(number, bound).fetchall()
                return int(total), connection.execute(rows, bound).fetchall()
        except EngineError:
            if context.layout.current.resolve() == release:
                raise


def _granted(
    context: Context, ask: AccessRequest, now: dt.datetime
) -> tuple[AccessGrant, str | None]:
    """What opens, and the asker's own pseudonym; a sign-off is used up by this."""
    spec = context.data_map.published.get(ask.table)
    members = staff.everyone(context.layout)
    member = members.get(ask.actor)
    signer = members.get(ask.sign_off.authorization.signer) if ask.sign_off else None
    # Whose records are the actor's own matters where single people open.
    single = {*context.access.own_reports, *context.access.detail}
    audience = spec.audience if spec and spec.audience in single else None
    own_ref = reference(context, member.person if member else None, audience)
    signer_ref = reference(context, signer.person if signer else None, audience)
    approval.require_open(context.layout, context.access, context.version)
    grant = authorize(context, ask, member, own_ref, signer, signer_ref, now)
    require_plain_note(context, ask.note)
    if spec is None or not (context.layout.current / spec.file).exists():
        raise Unfinished("nothing is published yet")
    if grant.redeems is not None:
        sign_off.redeem(context.layout, grant.redeems.authorization, now)
    return grant, own_ref


def require_plain_note(context: Context, note: str) -> None:
    """Refuse a note that names somebody: the log must not become a second place of raw values.

    Raises:
        Refused: without what was found.
    """
    if not note:
        return
    with engine(context.layout.work) as connection:
        (found,) = connection.execute(
            f"SELECT {looks_personal('$note')}", {"note": note}
        ).fetchall()[0]
        if not found and context.layout.reference_values.exists():
            reference_values.attach(connection, context.layout)
            connection.execute("CREATE TEMP TABLE given (text VARCHAR)")
            connection.execute("INSERT INTO given VALUES ($note)", {"note": note})
            ((found,),) = connection.sql(
                f"SELECT count(*) > 0 FROM ({grams_sql('given')}) JOIN reference.denylist ON gram = entry"
            ).fetchall()
    if found:
        raise AccessDenied("the note names or numbers a person; refer to a case instead")
