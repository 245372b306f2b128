"""Who read single rows, or was refused, and why: on disk before the rows are handed out."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.access import account
from pipeline.access.actions import Actor
from pipeline.access.authorize import AccessRequest
from pipeline.access.log import AccessLog
from pipeline.access.staff import is_name
from pipeline.context import Context
from pipeline.errors import BadInput
from pipeline.keys import signing
from pipeline.policy.access import Role
from pipeline.storage.layout import Layout

CHANGES = ("changed", "allowed", "used")  # decisions about what is no reading
SHOWN = ("at", "actor", "by", "role", "table", "purpose", "note", "decision")


def role_named(text: str) -> Role:
    """A role by its name.

    Raises:
        BadInput: there is no such role.
    """
    try:
        return Role(text)
    except ValueError:
        raise BadInput(f"there is no such role; choose one of {', '.join(Role)}") from None


def new_key_pair(path: Path) -> str:
    """Make an Ed25519 key pair: the private key in a new file, mode 0600; returns the public one.

    Raises:
        BadInput: the file exists.
    """
    made = Ed25519PrivateKey.generate()
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise BadInput("the file for the private key already exists") from None
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(signing.private_pem(made))
    return signing.public_pem(made)


def _append(context: Context, body: dict[str, Any]) -> None:
    at = dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    AccessLog(context.layout).append({"at": at, **body, "policy": context.version[:16]})


def note(
    context: Context,
    request: AccessRequest,
    refs: Iterable[str],
    *,
    fields: Collection[str] = (),
    rows: int = 0,
    decision: str = "granted",
    everybody: bool = False,
) -> None:
    """Log a reading of some people's rows, by pseudonym, or a refusal with its reason.

    Args:
        everybody: all people of the table's audience, not listed one by one.
    """
    known = request.table in context.data_map.published
    _append(
        context,
        {
            # What does not look like an actor's name could be a person's name.
            "actor": request.actor if is_name(request.actor) else "(unfit)",
            "by": request.by,
            "role": request.role.value,
            "table": request.table if known else "(unknown)",
            "purpose": request.purpose
            if request.purpose in context.governance.purposes
            else "(unknown)",
            "people": sorted(set(refs)),
            "everybody": everybody,
            "fields": list(fields),
            "rows": rows,
            "note": request.note,
            "sign_off": request.sign_off.authorization.name if request.sign_off else None,
            "decision": decision,
        },
    )


def note_listing(
    context: Context, actor: str, role: Role, what: str, rows: int, decision: str
) -> None:
    """Log that somebody saw a list of raw identifiers, or was refused it."""
    _append(
        context,
        {
            "actor": actor if is_name(actor) else "(unfit)",
            "role": role.value,
            "table": None,
            "purpose": "identity",
            "people": [],
            "everybody": False,
            "fields": ["identifier"],
            "rows": rows,
            "note": what,
            "sign_off": None,
            "decision": decision,
        },
    )


def note_action(
    context: Context, actor: Actor, action: str, case: str | None, decision: str
) -> None:
    """Log that somebody begins with an action, or was refused it and why.

    Args:
        decision: `allowed`, or the reason against it.
    """
    _append(
        context,
        {
            "actor": actor.shown,
            "role": " ".join(sorted(actor.roles)) or None,
            "table": None,
            "purpose": "action",
            "people": [],
            "everybody": False,
            "fields": [],
            "rows": 0,
            "note": action,
            "case": case,
            "sign_off": None,
            "decision": decision if decision == "allowed" else f"refused: {decision}",
        },
    )


def note_change(context: Context, what: str) -> None:
    """Log a change of roles or policy, once it is made."""
    _append(
        context,
        {
            "actor": account.actor(context.layout),
            "role": None,
            "table": None,
            "purpose": "governance",
            "people": [],
            "everybody": False,
            "fields": [],
            "rows": 0,
            "note": what,
            "sign_off": None,
            "decision": "changed",
        },
    )


def bodies(layout: Layout) -> Iterable[dict[str, Any]]:
    """The contents of all entries, oldest first."""
    return (json.loads(entry.body) for entry in AccessLog(layout).entries())


def about(context: Context, refs: Collection[str]) -> list[dict[str, Any]]:
    """Readings that showed one of these pseudonyms, oldest first."""
    return [
        {name: one.get(name) for name in SHOWN}
        for one in bodies(context.layout)
        if one["decision"] == "granted" and (one["everybody"] or set(refs) & set(one["people"]))
    ]
