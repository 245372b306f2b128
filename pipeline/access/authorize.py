"""May this actor, in this role, for this purpose, read that? Pure, and no by default."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from pipeline.access import sign_off
from pipeline.access.sign_off import SignOff
from pipeline.access.staff import Member
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.keys.ring import PSEUDONYM
from pipeline.policy.access import Detail, Role, RoleRule
from pipeline.policy.fields import Audience


class AccessDenied(PolicyError):
    """A reading that policy does not allow; the text is the reason, and goes into the log."""


@dataclass(frozen=True)
class AccessRequest:
    """What an actor wants to read.

    Attributes:
        people: pseudonyms, for an audience that is queried one person at a time.
        fields: which columns; none for all that need no sign-off.
        note: the reason, in the actor's words.
        by: who hands it over on the actor's behalf; None for the actor.
    """

    actor: str
    role: Role
    purpose: str
    table: str
    people: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    note: str = ""
    sign_off: SignOff | None = None
    by: str | None = None


@dataclass(frozen=True)
class AccessGrant:
    """What the actor may read.

    Attributes:
        own_reports: only rows of the actor's own reports.
        only_null: only rows in which this column is null; None for all rows.
        redeems: the sign-off that this reading uses up.
    """

    fields: tuple[str, ...]
    own_reports: bool = False
    only_null: str | None = None
    redeems: SignOff | None = None


def entitled(
    context: Context, request: AccessRequest, member: Member | None, now: dt.datetime
) -> tuple[RoleRule, Audience]:
    """The rule of the actor's role and the audience of the table, if the actor has that role and
    the stated purpose is one of both.

    Raises:
        AccessDenied: with the first reason against it.
    """
    if member is None or request.role not in member.roles:
        # A name that is not on the staff list could be anything, and is not written down.
        who = member.actor if member else "this actor"
        raise AccessDenied(f"{who} does not have the role {request.role.value}")
    rule = context.access.roles.get(request.role, RoleRule())
    spec = context.data_map.published.get(request.table)
    if spec is None:
        raise AccessDenied("there is no published table of that name")
    purpose = context.governance.purposes.get(request.purpose)
    if purpose is None:
        raise AccessDenied("the purpose is not in the register")
    if request.purpose not in rule.purposes:
        raise AccessDenied(f"{request.role.value} may not state the purpose {request.purpose}")
    if purpose.audience is not spec.audience:
        raise AccessDenied(f"{request.table} is not for the purpose {request.purpose}")
    if purpose.review_by < now.date():
        raise AccessDenied(f"the purpose {request.purpose} has expired")
    return rule, spec.audience


def own_reports(context: Context, audience: Audience, own_ref: str | None) -> bool:
    """Does the audience show the actor's own reports only?

    Raises:
        AccessDenied: it does, and the actor has none.
    """
    own = audience in context.access.own_reports
    if own and own_ref is None:
        raise AccessDenied("nobody reports to this actor")
    return own


def pseudonyms(people: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the given texts that are pseudonyms, and so may be written down."""
    return tuple(one for one in people if re.fullmatch(PSEUDONYM, one))


def authorize(
    context: Context,
    request: AccessRequest,
    member: Member | None,
    own_ref: str | None,
    signer: Member | None,
    signer_ref: str | None,
    now: dt.datetime,
    by_ref: str | None = None,
) -> AccessGrant:
    """What the actor may read.

    Args:
        member: the staff entry of the actor; `own_ref` is their pseudonym in the table's audience.
        signer: the staff entry of the sign-off's signer; `signer_ref` is their pseudonym.
        by_ref: the pseudonym of whoever hands it over.

    Raises:
        AccessDenied: with the first reason against it.
    """
    rule, audience = entitled(context, request, member, now)
    columns = context.data_map.published[request.table].columns
    if not set(request.fields) <= set(columns):
        raise AccessDenied(f"{request.table} does not have all of these fields")
    if pseudonyms(request.people) != request.people:
        raise AccessDenied("people must be named by their pseudonyms")
    if request.people and "learner_ref" not in columns:
        raise AccessDenied(f"{request.table} contains group figures only")
    if audience in rule.receives:
        own = own_reports(context, audience, own_ref)
        return AccessGrant(request.fields or columns, own_reports=own)
    if audience not in rule.queries:
        raise AccessDenied(f"{request.role.value} may not query {request.table}")
    detail = context.access.detail[audience]
    _require_reason(request, detail, {own_ref, by_ref})
    if request.sign_off is None:
        if request.by is not None:
            # It says that the actor is to read this; otherwise anybody who may act for others would
            # read of everybody in the name of HR.
            raise AccessDenied(f"on somebody's behalf, {request.table} requires a sign-off")
        return _without_sign_off(request, detail, columns)
    return _with_sign_off(
        context, request, request.sign_off, detail, columns, signer, signer_ref, now
    )


def _require_reason(request: AccessRequest, detail: Detail, own: set[str | None]) -> None:
    """Are few people named, none of them who reads or hands over, with a written reason?"""
    table, most = request.table, detail.sign_off.people
    if not request.people:
        raise AccessDenied(f"{table} can be queried for named people only")
    if len(request.people) > most:
        raise AccessDenied(f"{table} can be queried for at most {most} people at a time")
    if own & set(request.people):
        raise AccessDenied(
            "you cannot open your own records here; file an access request (GDPR Art. 15)"
        )
    if len(request.note.strip()) < detail.note:
        raise AccessDenied(f"a note of at least {detail.note} characters is required")


def _without_sign_off(
    request: AccessRequest, detail: Detail, columns: tuple[str, ...]
) -> AccessGrant:
    if set(request.fields) & detail.raw:
        raise AccessDenied(f"raw fields of {request.table} require a sign-off")
    # Without a sign-off nothing shows sensitive courses, not even that there are some.
    fields = request.fields or tuple(c for c in columns if c not in detail.raw)
    return AccessGrant(fields, only_null=detail.raw_rows)


def _with_sign_off(
    context: Context,
    request: AccessRequest,
    signed: SignOff,
    detail: Detail,
    columns: tuple[str, ...],
    signer: Member | None,
    signer_ref: str | None,
    now: dt.datetime,
) -> AccessGrant:
    allowed = signed.authorization.fields
    fields = request.fields or tuple(c for c in columns if c not in detail.raw or c in allowed)
    why = sign_off.objection(
        signed,
        detail.sign_off,
        signer,
        signer_ref,
        asker=request.actor,
        by=request.by,
        table=request.table,
        people=request.people,
        fields=frozenset(fields) & detail.raw,
        purpose=request.purpose,
        version=context.version,
        now=now,
    )
    if why is not None:
        raise AccessDenied(f"sign-off: {why}")
    # Sensitive rows need a sign-off that names the field which shows them to be so.
    ordinary = detail.raw_rows not in allowed
    return AccessGrant(fields, only_null=detail.raw_rows if ordinary else None, redeems=signed)
