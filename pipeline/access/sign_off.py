"""Sign-offs: a second person's signed leave to read raw records, once.

A sign-off is a JSON file that travels with the request. It is bound to the asker, table, people,
fields, purpose, policy version and an expiry; the four-eyes principle holds because nobody's
signature counts for what they ask themselves, or for their own records.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import uuid
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field

from pipeline.access.staff import Member
from pipeline.errors import PolicyError
from pipeline.keys import signing
from pipeline.policy.access import SignOffRule
from pipeline.policy.base import Strict
from pipeline.storage.files import fsync
from pipeline.storage.layout import Layout

KIND = "sign-off"
NAME = r"^[0-9a-f]{32}$"


class Authorization(Strict):
    """What is signed. `people` by pseudonym; `fields` are the raw ones that it opens."""

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
    """A leave and the signer's signature over it."""

    leave: Authorization
    signature: str


def issue(
    key: Ed25519PrivateKey, rule: SignOffRule, *, asker: str, signer: str, table: str,
    people: tuple[str, ...], fields: tuple[str, ...], purpose: str, version: str,
    now: dt.datetime, until: dt.datetime | None = None,
) -> SignOff:  # fmt: skip
    """Sign a leave; it holds until `until`, by default as long as the rule allows."""
    leave = Authorization(
        name=uuid.uuid4().hex, asker=asker, signer=signer, table=table,
        people=tuple(sorted(people)), fields=tuple(sorted(fields)), purpose=purpose,
        version=version, issued_at=now, expires_at=until or latest(rule, now),
    )  # fmt: skip
    return SignOff(leave=leave, signature=signing.sign(key, KIND, leave.model_dump(mode="json")))


def latest(rule: SignOffRule, issued_at: dt.datetime) -> dt.datetime:
    """The last moment that a sign-off of this moment may hold."""
    day = rule.duration.ends(issued_at.date())
    return issued_at.replace(year=day.year, month=day.month, day=day.day)


def read(path: Path) -> SignOff:
    """A sign-off's file.

    Raises:
        PolicyError: it is not one.
    """
    try:
        return SignOff.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        raise PolicyError("sign-off: not readable, or not a sign-off") from None


def write(found: SignOff, path: Path) -> None:
    """Write a sign-off to a new file, for its asker."""
    with path.open("x", encoding="utf-8") as stream:
        json.dump(found.model_dump(mode="json"), stream, indent=1)


def objection(
    found: SignOff, rule: SignOffRule, signer: Member | None, signer_ref: str | None, *,
    asker: str, table: str, people: tuple[str, ...], fields: frozenset[str], purpose: str,
    version: str, now: dt.datetime,
) -> str | None:  # fmt: skip
    """Why a sign-off does not open what is asked for; None if it does.

    Args:
        signer: who staff knows under the signer's name.
        signer_ref: the signer's own pseudonym in the table.
        fields: the raw fields that are asked for.
    """
    leave = found.leave
    told = leave.model_dump(mode="json")
    checks = {
        "its signer signs no raw records": signer is not None
        and signer.key is not None
        and rule.by in signer.roles,
        "its signature does not hold": signer is not None
        and signing.signed(signer.key or "", KIND, told, found.signature),
        "it is signed by who asks": leave.signer != asker,
        "it is about its signer": signer_ref is None or signer_ref not in leave.people,
        "it is for somebody else": leave.asker == asker,
        "it is for another table": leave.table == table,
        "it is for another purpose": leave.purpose == purpose,
        "it does not name all of these people": bool(people) and set(people) <= set(leave.people),
        "it names more people than one may": len(leave.people) <= rule.people,
        "it does not name all of these fields": fields <= set(leave.fields),
        "it was given under another policy": leave.version == version,
        "it is not in force yet": leave.issued_at <= now,
        "it has expired": now < leave.expires_at,
        "it holds for longer than one may": leave.expires_at <= latest(rule, leave.issued_at),
    }
    return next((why for why, holds in checks.items() if not holds), None)


def redeem(layout: Layout, leave: Authorization, now: dt.datetime) -> None:
    """Use a sign-off up, for all processes and through crashes; before any row is read.

    Marks of expired ones are removed: their date alone refuses them.

    Raises:
        PolicyError: it was used before.
    """
    folder = layout.vault / "signed-off"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for mark in folder.iterdir():
        if mark.name[:8] < f"{now:%Y%m%d}":
            mark.unlink()
    mark = folder / f"{leave.expires_at:%Y%m%d}-{leave.name}"
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise PolicyError("sign-off: it was used before; one opens one reading") from None
    fsync(folder)
