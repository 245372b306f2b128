"""Who works with the data, in which roles: the staff list behind every reading and signature.

It lies in the vault, apart from the policy files, so that whoever changes a policy cannot also
appoint its signers. Every change of the list is an entry of the access log. Who may make one, and
with whom, is up to pipeline/access/appointments.py.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import field_validator

from pipeline.errors import PolicyError
from pipeline.keys import signing
from pipeline.policy.access import Role
from pipeline.policy.base import Strict
from pipeline.storage import encryption
from pipeline.storage.layout import Layout

FILE = "staff.json.enc"
CONFIRMATION = "founding signer"


def is_name(actor: str) -> bool:
    """Could that be an actor's name? Anything else could be personal, and is not written down."""
    return re.fullmatch(r"[a-z][a-z0-9._-]{0,63}", actor) is not None


class Confirmation(Strict):
    """A signer's signature over another one's key, and the key that it was made with: it counts
    after its signer has left, too."""

    by: str
    key: str
    signature: str


class Member(Strict):
    """One actor.

    Attributes:
        actor: the name that reads are logged under.
        roles: the roles that the actor may use.
        person: the actor's own raw identifier, as in the store (`emp:4711`): it says whose reports
            a manager sees, and which records are the actor's own. None for outsiders.
        key: public Ed25519 key (PEM), for actors who sign.
        founding: named when the company was founded (`milestones init`). A founding signer makes
            the key, and another founding signer confirms it before it counts.
        counts_from: from when on what is signed with the key counts, if nobody else has confirmed
            it; None for always.
    """

    actor: str
    roles: tuple[Role, ...]
    person: str | None = None
    key: str | None = None
    founding: bool = False
    confirmed: Confirmation | None = None
    counts_from: dt.datetime | None = None

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


def _counting(member: Member, now: dt.datetime) -> Member:
    """A member as everybody else sees them: without a key that does not count yet, so that nothing
    which is signed with it does."""
    waits = member.counts_from is not None and now < member.counts_from
    if (member.founding or waits) and not _is_confirmed(member):
        return member.model_copy(update={"key": None})
    return member


def _is_confirmed(member: Member) -> bool:
    """Has somebody else signed that this is the member's key?"""
    found = member.confirmed
    return (
        found is not None
        and found.by != member.actor
        and found.key != member.key
        and signing.signed(found.key, CONFIRMATION, _confirmed(member), found.signature)
    )


def _of_one(members: dict[str, Member]) -> dict[str, Member]:
    """Without the keys of whoever stands there twice, by key or by person: one person signs as one.
    Which of the entries is meant, nobody can say."""
    signers = [one for one in members.values() if one.key]
    seen = Counter(mark for one in signers for mark in (one.key, one.person) if mark)
    twice = {one.actor for one in signers if max(seen[one.key or ""], seen[one.person or ""]) > 1}
    return {
        actor: one.model_copy(update={"key": None}) if actor in twice else one
        for actor, one in members.items()
    }


def _confirmed(member: Member) -> dict[str, object]:
    """What a signer signs of another one."""
    return {"actor": member.actor, "roles": list(member.roles), "key": member.key}


def make_key(layout: Layout, actor: str, public: str, counts_from: dt.datetime) -> None:
    """Give an actor the key that they have made.

    Raises:
        PolicyError: there is no such actor, or there is a key already.
    """
    with layout.locked():
        member = require_without_key(layout, actor)
        made = member.model_copy(update={"key": public, "counts_from": counts_from})
        _write(layout, _stored(layout) | {actor: made})


def require_without_key(layout: Layout, actor: str) -> Member:
    """The entry of somebody who can still make their key.

    Raises:
        PolicyError: there is no such actor, or there is a key already.
    """
    member = _stored(layout).get(actor)
    if member is None:
        raise PolicyError("staff: there is no such actor")
    if member.key is not None:
        raise PolicyError(f"staff: {actor} has a key already; `milestones staff put` gives another")
    return member


def confirm(layout: Layout, actor: str, by: str, key: Ed25519PrivateKey) -> str:
    """Confirm another signer's key, after hearing from them that it is theirs; returns it. Founding
    signers confirm each other's before their own count.

    Raises:
        PolicyError: one of the two is no signer with a key, or they are one person.
    """
    with layout.locked():
        members = _stored(layout)
        member, other = members.get(actor), members.get(by)
        if member is None or member.key is None:
            raise PolicyError(f"staff: {actor} has not made a key")
        if other is None or other.key != signing.public_pem(key):
            raise PolicyError(f"staff: this is not the key that the staff list has for {by}")
        if by == actor:
            raise PolicyError("staff: nobody confirms their own key")
        if member.founding and not other.founding:
            raise PolicyError(f"staff: {actor} is a founding signer, and {by} is none")
        if everyone(layout)[by].key is None and not member.founding:
            raise PolicyError(f"staff: {by} has no key that counts")
        signature = signing.sign(key, CONFIRMATION, _confirmed(member))
        made = Confirmation(by=by, key=signing.public_pem(key), signature=signature)
        _write(layout, members | {actor: member.model_copy(update={"confirmed": made})})
        return member.key


def path(layout: Layout) -> Path:
    return layout.vault / FILE


def everyone(layout: Layout) -> dict[str, Member]:
    """All members by actor, with the keys that count."""
    now = dt.datetime.now(dt.UTC)
    return {actor: _counting(one, now) for actor, one in _of_one(_stored(layout)).items()}


def stored(layout: Layout, actor: str) -> Member | None:
    """An entry as it stands there, with a key that may not count yet."""
    return _stored(layout).get(actor)


def _stored(layout: Layout) -> dict[str, Member]:
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
        _write(layout, _stored(layout) | {member.actor: member})


def remove(layout: Layout, actor: str) -> None:
    """Remove an actor from the staff list.

    Raises:
        PolicyError: no such actor.
    """
    with layout.locked():
        members = _stored(layout)
        if members.pop(actor, None) is None:
            raise PolicyError("staff: there is no such actor")
        _write(layout, members)


def forget(layout: Layout, ids: tuple[str, ...]) -> None:
    """Remove an erased person from the list; the caller holds the lock."""
    members = _stored(layout)
    kept = {actor: one for actor, one in members.items() if one.person not in ids}
    if len(kept) < len(members):
        _write(layout, kept)
