"""Who read, or was refused, single rows, and why: on disk before the rows are handed out."""

from __future__ import annotations

import datetime as dt
import getpass
import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.access.authorize import AccessRequest
from pipeline.access.log import AccessLog
from pipeline.access.staff import is_name
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.keys import signing
from pipeline.policy.access import Role
from pipeline.settings import settings
from pipeline.storage.layout import Layout

SHOWN = ("at", "actor", "role", "table", "purpose", "note", "decision")


def actor() -> str:
    """The person at the keyboard: MILESTONES_ACTOR, or the user of the operating system."""
    return settings().actor or getpass.getuser()


def role_named(text: str) -> Role:
    """A role by its name.

    Raises:
        PolicyError: there is no such role.
    """
    try:
        return Role(text)
    except ValueError:
        raise PolicyError(f"no such role; there are {', '.join(Role)}") from None


def new_key_pair(path: Path) -> str:
    """Make an Ed25519 key pair: the private key in a new file, mode 0600; returns the public one.

    Raises:
        PolicyError: the file exists.
    """
    made = Ed25519PrivateKey.generate()
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise PolicyError("the file for the private key exists already") from None
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(signing.private_pem(made))
    return signing.public_pem(made)


def _append(context: Context, body: dict[str, Any]) -> None:
    at = dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    AccessLog(context.layout).append({"at": at, **body, "policy": context.version[:16]})


def note(
    context: Context, ask: AccessRequest, refs: Iterable[str], *, fields: Collection[str] = (), rows: int = 0,
    decision: str = "granted", everybody: bool = False,
) -> None:  # fmt: skip
    """Write down a read of some people's rows, by pseudonym, or a refusal with its reason.

    Args:
        everybody: all people of the table's audience, not listed one by one.
    """
    known = ask.table in context.data_map.published
    _append(context, {
        # What is not a name of ours may be anything, a person's name too.
        "actor": ask.actor if is_name(ask.actor) else "(unfit)",
        "role": ask.role.value,
        "table": ask.table if known else "(unknown)",
        "purpose": ask.purpose if ask.purpose in context.governance.purposes else "(unknown)",
        "people": sorted(set(refs)),
        "everybody": everybody,
        "fields": list(fields),
        "rows": rows,
        "note": ask.note,
        "sign_off": ask.sign_off.leave.name if ask.sign_off else None,
        "decision": decision,
    })  # fmt: skip


def note_change(context: Context, what: str) -> None:
    """Write down a change of roles or policy."""
    _append(context, {
        "actor": actor(), "role": None, "table": None, "purpose": "governance", "people": [],
        "everybody": False, "fields": [], "rows": 0, "note": what, "sign_off": None,
        "decision": "changed",
    })  # fmt: skip


def bodies(layout: Layout) -> Iterable[dict[str, Any]]:
    """What all entries say, oldest first."""
    return (json.loads(entry.body) for entry in AccessLog(layout).entries())


def about(context: Context, refs: Collection[str]) -> list[dict[str, Any]]:
    """Reads that showed one of these pseudonyms, oldest first."""
    return [
        {name: one[name] for name in SHOWN}
        for one in bodies(context.layout)
        if one["decision"] == "granted" and (one["everybody"] or set(refs) & set(one["people"]))
    ]
