"""Sign-offs: a second person's signed authorization to read raw records, once.

A sign-off is a JSON file that goes with the request. It names the asker, table, people, fields,
purpose, policy version and an expiry. Four eyes are needed: a signature does not count for the
signer's own request or for the signer's own records.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field

from pipeline.access.log import AccessLog
from pipeline.access.staff import Member
from pipeline.errors import PolicyError
from pipeline.keys import signing
from pipeline.policy.access import SignOffRule
from pipeline.policy.base import Strict
from pipeline.storage.layout import Layout

KIND = "sign-off"
NAME = r"^[0-9a-f]{32}$"


class Authorization(Strict):
    """What is signed.

    Attributes:
        people: pseudonyms.
        fields: the raw fields that may be read.
        version: of the policy.
    """

    name: str = Field(pattern=NAME)
    asker: str
    signer: str
    table: str
    people: tuple[str, ...]
    fields: tuple[str, ...]
    purpose: str
    version: str
    issued_at: dt.datetime
    expires_at: dt.datetime


class SignOff(Strict):
    """An authorization and the signer's signature over it."""

    authorization: Authorization
    signature: str


def issue(
    key: Ed25519PrivateKey,
    rule: SignOffRule,
    *,
    asker: str,
    signer: str,
    table: str,
    people: tuple[str, ...],
    fields: tuple[str, ...],
    purpose: str,
    version: str,
    now: dt.datetime,
    until: dt.datetime | None = None,
) -> SignOff:
    """Sign an authorization; it is valid until `until`, by default as long as the rule allows."""
    authorization = Authorization(
        name=uuid.uuid4().hex,
        asker=asker,
        signer=signer,
        table=table,
        people=tuple(sorted(people)),
        fields=tuple(sorted(fields)),
        purpose=purpose,
        version=version,
        issued_at=now,
        expires_at=until or latest(rule, now),
    )
    statement = authorization.model_dump(mode="json")
    return SignOff(authorization=authorization, signature=signing.sign(key, KIND, statement))


def latest(rule: SignOffRule, issued_at: dt.datetime) -> dt.datetime:
    """The latest expiry of a sign-off that was issued at this moment."""
    day = rule.duration.ends(issued_at.date())
    return issued_at.replace(year=day.year, month=day.month, day=day.day)


def read(path: Path) -> SignOff:
    """Read a sign-off from its file.

    Raises:
        PolicyError: it cannot be read, or is not a sign-off.
    """
    try:
        return SignOff.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        raise PolicyError("the file cannot be read, or is not a sign-off") from None


def write(found: SignOff, path: Path) -> None:
    """Write a sign-off to a new file, for its asker."""
    with path.open("x", encoding="utf-8") as stream:
        json.dump(found.model_dump(mode="json"), stream, indent=1)


def objection(
    found: SignOff,
    rule: SignOffRule,
    signer: Member | None,
    signer_ref: str | None,
    *,
    asker: str,
    by: str | None,
    table: str,
    people: tuple[str, ...],
    fields: frozenset[str],
    purpose: str,
    version: str,
    now: dt.datetime,
) -> str | None:
    """Why a sign-off does not allow a reading; None if it does.

    Args:
        signer: the staff entry of the signer.
        signer_ref: the signer's own pseudonym in the table.
        by: who hands it over on the asker's behalf.
        fields: the raw fields that are requested.
    """
    authorization = found.authorization
    statement = authorization.model_dump(mode="json")
    checks = {
        "its signer may not sign raw records": signer is not None
        and signer.key is not None
        and rule.by in signer.roles,
        "its signature is not valid": signer is not None
        and signing.signed(signer.key or "", KIND, statement, found.signature),
        "it is signed by the asker": authorization.signer != asker,
        "it is signed by whoever hands it over": authorization.signer != by,
        "it is about the signer's own records": signer_ref is None
        or signer_ref not in authorization.people,
        "it is for somebody else": authorization.asker == asker,
        "it is for another table": authorization.table == table,
        "it is for another purpose": authorization.purpose == purpose,
        "it does not name all of these people": bool(people)
        and set(people) <= set(authorization.people),
        "it names more people than a sign-off may": len(authorization.people) <= rule.people,
        "it does not name all of these fields": fields <= set(authorization.fields),
        "it was issued under another policy": authorization.version == version,
        "it is not in force yet": authorization.issued_at <= now,
        "it has expired": now < authorization.expires_at,
        "it is valid for longer than a sign-off may be": authorization.expires_at
        <= latest(rule, authorization.issued_at),
    }
    return next((why for why, holds in checks.items() if not holds), None)


def redeem(layout: Layout, authorization: Authorization, now: dt.datetime) -> None:
    """Use a sign-off up, across processes and crashes, before any row is read: in the access log,
    where nobody can take that back.

    Raises:
        PolicyError: it was used before, or the log does not end as its anchor does.
    """
    body: dict[str, object] = {
        "at": now.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds"),
        "actor": authorization.asker,
        "role": None,
        "table": authorization.table,
        "purpose": "sign-off",
        "people": list(authorization.people),
        "everybody": False,
        "fields": list(authorization.fields),
        "rows": 0,
        "note": f"signed by {authorization.signer}",
        "sign_off": authorization.name,
        "decision": "used",
        "policy": authorization.version[:16],
    }
    since = authorization.issued_at.astimezone(dt.UTC).date()
    if not AccessLog(layout).append_once(authorization.name, since, body):
        raise PolicyError("sign-off: it was used before; it allows one reading")
