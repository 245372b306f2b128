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
from pipeline.policy.access import Role, RoleRule
from pipeline.policy.fields import Audience


class AccessDenied(PolicyError):
    """A reading that policy does not allow; the text is the reason, and goes into the log."""


@dataclass(frozen=True)
class AccessRequest:
    """What somebody wants to read.

    Attributes:
        people: pseudonyms of whom, for an audience that opens one person at a time.
        fields: which columns; none for all that open without a sign-off.
        note: why, in the asker's words.
    """

    actor: str
    role: Role
    purpose: str
    table: str
    people: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    note: str = ""
    sign_off: SignOff | None = None


@dataclass(frozen=True)
class AccessGrant:
    """What opens.

    Attributes:
        own_reports: only rows of the actor's own reports.
        only_null: column that is null in the rows that open, if not all do.
        spends: the sign-off that this reading uses up.
    """

    fields: tuple[str, ...]
    own_reports: bool = False
    only_null: str | None = None
    spends: SignOff | None = None


def entitled(
    context: Context, ask: AccessRequest, member: Member | None, now: dt.datetime
) -> tuple[RoleRule, Audience]:
    """The rule of the asker's role, and the audience of the table, if the actor has that role and
    the stated purpose is one of both."""
    if member is None or ask.role not in member.roles:
        raise AccessDenied(f"the actor has not the role {ask.role.value}")
    rule = context.access.roles.get(ask.role, RoleRule())
    spec = context.data_map.published.get(ask.table)
    if spec is None:
        raise AccessDenied("no published table of that name")
    purpose = context.governance.purposes.get(ask.purpose)
    if purpose is None:
        raise AccessDenied("the purpose is not in the register")
    if ask.purpose not in rule.purposes:
        raise AccessDenied(f"{ask.role.value} may not state the purpose {ask.purpose}")
    if purpose.audience is not spec.audience:
        raise AccessDenied(f"{ask.table} is not for the purpose {ask.purpose}")
    if purpose.review_by < now.date():
        raise AccessDenied(f"the purpose {ask.purpose} has expired")
    return rule, spec.audience


def own_reports(context: Context, audience: Audience, own_ref: str | None) -> bool:
    """Does the audience show the actor's own reports only? Refused to who has none."""
    own = audience in context.access.own_reports
    if own and own_ref is None:
        raise AccessDenied("nobody reports to the actor")
    return own


def pseudonyms(people: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the given texts that are pseudonyms, and so may be written down."""
    return tuple(one for one in people if re.fullmatch(PSEUDONYM, one))


def authorize(
    context: Context, ask: AccessRequest, member: Member | None, own_ref: str | None, signer: Member | None,
    signer_ref: str | None, now: dt.datetime,
) -> AccessGrant:  # fmt: skip
    """What opens to an asker.

    Args:
        member: who staff knows under the asker's name; `own_ref` is their pseudonym in the
            table's audience.
        signer: who staff knows under the name of the sign-off's signer, and their pseudonym.

    Raises:
        Refused: with the first reason against it.
    """
    rule, audience = entitled(context, ask, member, now)
    columns = context.data_map.published[ask.table].columns
    if not set(ask.fields) <= set(columns):
        raise AccessDenied(f"{ask.table} has not all of these fields")
    if pseudonyms(ask.people) != ask.people:
        raise AccessDenied("people are named by their pseudonyms")
    if ask.people and "learner_ref" not in columns:
        raise AccessDenied(f"{ask.table} tells of nobody alone")
    if audience in rule.receives:
        own = own_reports(context, audience, own_ref)
        return AccessGrant(ask.fields or columns, own_reports=own)
    if audience not in rule.opens:
        raise AccessDenied(f"{ask.table} does not open to {ask.role.value}")
    return _detail(context, ask, audience, own_ref, signer, signer_ref, now)


def _detail(
    context: Context, ask: AccessRequest, audience: Audience, own_ref: str | None, signer: Member | None,
    signer_ref: str | None, now: dt.datetime,
) -> AccessGrant:  # fmt: skip
    """An audience that opens one person at a time, to a written reason."""
    detail = context.access.detail[audience]
    columns = context.data_map.published[ask.table].columns
    if not ask.people:
        raise AccessDenied(f"{ask.table} opens for named people only")
    if len(ask.people) > detail.sign_off.people:
        raise AccessDenied(f"{ask.table} opens for {detail.sign_off.people} people at most")
    if own_ref in ask.people:
        raise AccessDenied("one's own records are had by an access request (GDPR Art. 15)")
    if len(ask.note.strip()) < detail.note:
        raise AccessDenied(f"{ask.table} opens to a note of {detail.note} characters at least")
    if ask.sign_off is None:
        if set(ask.fields) & detail.raw:
            raise AccessDenied(f"raw fields of {ask.table} open to a sign-off only")
        # Without a sign-off nothing tells of sensitive courses, not even that there are some.
        return AccessGrant(
            ask.fields or tuple(c for c in columns if c not in detail.raw),
            only_null=detail.raw_rows,
        )
    fields = ask.fields or tuple(
        c for c in columns if c not in detail.raw or c in ask.sign_off.leave.fields
    )
    why = sign_off.objection(
        ask.sign_off, detail.sign_off, signer, signer_ref, asker=ask.actor, table=ask.table,
        people=ask.people, fields=frozenset(fields) & detail.raw, purpose=ask.purpose,
        version=context.version, now=now,
    )  # fmt: skip
    if why is not None:
        raise AccessDenied(f"sign-off: {why}")
    # Sensitive rows open to a sign-off that names the field which tells them.
    ordinary = detail.raw_rows not in ask.sign_off.leave.fields
    return AccessGrant(fields, only_null=detail.raw_rows if ordinary else None, spends=ask.sign_off)
