"""Has the company gone live? Until then no audience reads anything and no figure is published, so
that categories, sources and decisions about courses can change freely.

Legal and HR sign for it as they sign the policy; either of them alone can withdraw it. Their
statements are a register in the vault (pipeline/storage/cases.py), so that a lost or an older one
is noticed. What was published before a withdrawal stays published once: figures are never made
anew.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import TypeAdapter

from pipeline.access import approval, staff
from pipeline.access.approval import Approval
from pipeline.access.suspension import require_not_suspended
from pipeline.errors import BadInput, PolicyError
from pipeline.keys import signing
from pipeline.policy.access import AccessRules, Role
from pipeline.policy.base import Strict
from pipeline.storage import cases, encryption
from pipeline.storage.layout import Layout

FILE = f"live.json{encryption.TEXT}"
KIND = "go live"


class Statement(Strict):
    """What is signed: go live, or, with a reason, be live no longer."""

    live: bool
    role: Role
    by: str
    at: dt.datetime
    because: str = ""


class Signed(Strict):
    statement: Statement
    signature: str


def path(layout: Layout) -> Path:
    return layout.vault / FILE


def statements(layout: Layout) -> list[Signed]:
    """All that was ever signed, oldest first."""
    text = cases.read(layout, path(layout)) or "[]"
    return TypeAdapter(list[Signed]).validate_json(text)


def since_withdrawal(found: Iterable[Signed]) -> list[Signed]:
    """Who has signed to go live since it was last withdrawn. A withdrawal counts whoever its signer
    is by now, and whatever is copied behind it."""
    every = list(found)
    withdrawn = [one.statement.at for one in every if not one.statement.live]
    after = max(withdrawn, default=dt.datetime.min.replace(tzinfo=dt.UTC))
    return [one for one in every if one.statement.live and one.statement.at > after]


def approvals(layout: Layout, rules: AccessRules) -> list[Approval]:
    """The signatures to go live that are valid now, as those of a policy are."""
    members = staff.everyone(layout)
    return [
        Approval(one.statement.role, one.statement.by, one.statement.at.isoformat())
        for one in since_withdrawal(statements(layout))
        if (member := members.get(one.statement.by)) is not None
        and one.statement.role in member.roles
        and approval.signs_policies(rules, one.statement.role)
        and signing.signed(
            member.key or "", KIND, one.statement.model_dump(mode="json"), one.signature
        )
    ]


def missing(layout: Layout, rules: AccessRules) -> list[Role]:
    """Roles whose signature is missing; none if the company is live."""
    return approval.unsigned(approvals(layout, rules))


def is_live(layout: Layout, rules: AccessRules) -> bool:
    """The one decision on which publishing and every reading depend."""
    return not missing(layout, rules)


def require_open(layout: Layout, rules: AccessRules, hash_: str) -> None:
    """Checked before anybody reads anything: the policy is signed, nothing is suspended, and the
    company is live.

    Raises:
        PolicyError: as `require_not_suspended` and `require_approved`; or whose signature to go
            live is missing.
    """
    require_not_suspended(layout)
    approval.require_approved(layout, rules, hash_)
    if left := missing(layout, rules):
        raise PolicyError(
            f"not live, so nobody can read anything: not signed by {' and '.join(left)}. "
            "See `milestones go-live`"
        )


def sign(
    layout: Layout,
    rules: AccessRules,
    actor: str,
    role: Role,
    key: Ed25519PrivateKey,
    now: dt.datetime,
    *,
    live: bool = True,
    because: str = "",
) -> bool:
    """Sign to go live, or withdraw it; false if that was signed already.

    Raises:
        PolicyError: the actor does not have that role or key, or the role does not sign policies.
        BadInput: a withdrawal without a reason.
    """
    approval.require_signer(layout, rules, actor, role, key, "go live")
    if not live and not because.strip():
        raise BadInput("a withdrawal needs a reason (--because)")
    made = Statement(live=live, role=role, by=actor, at=now, because=because)
    signature = signing.sign(key, KIND, made.model_dump(mode="json"))
    with layout.locked():
        return _add(layout, rules, Signed(statement=made, signature=signature))


@cases.changes
def _add(layout: Layout, rules: AccessRules, made: Signed) -> bool:
    """Add a statement to the register, unless it changes nothing; was it added?"""
    found, one = statements(layout), made.statement
    signed = {(other.role, other.actor) for other in approvals(layout, rules)}
    if (one.role, one.by) in signed if one.live else not since_withdrawal(found):
        return False
    lines = [other.model_dump(mode="json") for other in (*found, made)]
    cases.write(layout, path(layout), json.dumps(lines))
    return True
