"""Who works with the data, in which roles: the directory behind every read and signature.

It lies in the vault, apart from the policy files, so that who may change a policy cannot name its
signers too. Every change of it is an entry of the access log.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import field_validator

from pipeline.errors import PolicyError
from pipeline.keys import signing
from pipeline.policy.access import Role
from pipeline.policy.base import Strict
from pipeline.storage import encryption
from pipeline.storage.layout import Layout

FILE = "staff.json.enc"


def is_name(actor: str) -> bool:
    """Could that be an actor's name? Anything else may be anything, and is not written down."""
    return re.fullmatch(r"[a-z][a-z0-9._-]{0,63}", actor) is not None


class Member(Strict):
    """One actor.

    Attributes:
        actor: the name that reads are logged under.
        roles: what the actor may act as.
        person: the actor's own raw identifier, as in the store (`emp:4711`): whose reports a
            manager sees, and how a look at one's own records is known. None for outsiders.
        key: public Ed25519 key (PEM) of who signs.
    """

    actor: str
    roles: tuple[Role, ...]
    person: str | None = None
    key: str | None = None

    @field_validator("actor")
    @classmethod
    def _plain(cls, actor: str) -> str:
        if not is_name(actor):
            raise ValueError("an actor's name is of small letters, digits, dots and dashes")
        return actor

    @field_validator("key")
    @classmethod
    def _is_key(cls, key: str | None) -> str | None:
        if key is not None:
            signing.load_public_key(key.encode())
        return key


def path(layout: Layout) -> Path:
    return layout.vault / FILE


def everyone(layout: Layout) -> dict[str, Member]:
    """All members by actor."""
    told = json.loads(encryption.read_text(layout, path(layout)) or "[]")
    return {one["actor"]: Member.model_validate(one) for one in told}


def find(layout: Layout, actor: str) -> Member | None:
    return everyone(layout).get(actor)


def _write(layout: Layout, members: dict[str, Member]) -> None:
    told = [members[actor].model_dump(mode="json") for actor in sorted(members)]
    encryption.write_text(layout, path(layout), json.dumps(told))


def put(layout: Layout, member: Member) -> None:
    """Add a member, or replace what is known of one."""
    with layout.locked():
        _write(layout, everyone(layout) | {member.actor: member})


def remove(layout: Layout, actor: str) -> None:
    """Take an actor's roles away.

    Raises:
        PolicyError: no such actor.
    """
    with layout.locked():
        members = everyone(layout)
        if members.pop(actor, None) is None:
            raise PolicyError("staff: no such actor")
        _write(layout, members)


def forget(layout: Layout, ids: tuple[str, ...]) -> None:
    """Remove whoever is an erased person; the caller holds the lock."""
    members = everyone(layout)
    kept = {actor: one for actor, one in members.items() if one.person not in ids}
    if len(kept) < len(members):
        _write(layout, kept)
