"""Who works with the data, in which roles: the staff list behind every reading and signature.

It lies in the vault, apart from the policy files, so that whoever changes a policy cannot also
appoint its signers. Every change of the list is an entry of the access log.
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
    """Could that be an actor's name? Anything else could be personal, and is not written down."""
    return re.fullmatch(r"[a-z][a-z0-9._-]{0,63}", actor) is not None


class Member(Strict):
    """One actor.

    Attributes:
        actor: the name that reads are logged under.
        roles: the roles that the actor may use.
        person: the actor's own raw identifier, as in the store (`emp:4711`): it says whose reports
            a manager sees, and which records are the actor's own. None for outsiders.
        key: public Ed25519 key (PEM), for actors who sign.
    """

    actor: str
    roles: tuple[Role, ...]
    person: str | None = None
    key: str | None = None

    @field_validator("actor")
    @classmethod
    def _plain(cls, actor: str) -> str:
        if not is_name(actor):
            raise ValueError(
                "an actor's name starts with a small letter and has small letters, digits, dots, "
                "dashes and underscores"
            )
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
    entries = json.loads(encryption.read_text(layout, path(layout)) or "[]")
    return {one["actor"]: Member.model_validate(one) for one in entries}


def find(layout: Layout, actor: str) -> Member | None:
    return everyone(layout).get(actor)


def _write(layout: Layout, members: dict[str, Member]) -> None:
    entries = [members[actor].model_dump(mode="json") for actor in sorted(members)]
    encryption.write_text(layout, path(layout), json.dumps(entries))


def put(layout: Layout, member: Member) -> None:
    """Add a member, or replace the entry of one."""
    with layout.locked():
        _write(layout, everyone(layout) | {member.actor: member})


def remove(layout: Layout, actor: str) -> None:
    """Remove an actor from the staff list.

    Raises:
        PolicyError: no such actor.
    """
    with layout.locked():
        members = everyone(layout)
        if members.pop(actor, None) is None:
            raise PolicyError("staff: there is no such actor")
        _write(layout, members)


def forget(layout: Layout, ids: tuple[str, ...]) -> None:
    """Remove an erased person from the list; the caller holds the lock."""
    members = everyone(layout)
    kept = {actor: one for actor, one in members.items() if one.person not in ids}
    if len(kept) < len(members):
        _write(layout, kept)
