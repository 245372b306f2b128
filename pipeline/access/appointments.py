"""Who gives roles: one person for those that say so (`given_by: 1`), two for the others, and nobody
to themselves.

An appointment that needs a second person lies in the vault until somebody else confirms it; until
then the staff list stays as it is. Taking roles away needs one.
"""

from __future__ import annotations

import datetime as dt
import json

from pipeline.access import acting, audit, staff
from pipeline.access.actions import Actor, Situation
from pipeline.access.staff import Member
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.policy.access import AccessRules, Role, RoleRule
from pipeline.policy.base import Strict
from pipeline.storage import encryption
from pipeline.storage.layout import Layout

FILE = f"appointments.json{encryption.TEXT}"


class Appointment(Strict):
    """What waits for somebody else."""

    member: Member
    by: str
    at: dt.datetime


def waiting(layout: Layout) -> dict[str, Appointment]:
    """Appointments that nobody has confirmed yet, by actor."""
    entries = json.loads(encryption.read_text(layout, layout.vault / FILE) or "[]")
    found = [Appointment.model_validate(one) for one in entries]
    return {one.member.actor: one for one in found}


def _write(layout: Layout, found: dict[str, Appointment]) -> None:
    entries = [one.model_dump(mode="json") for one in found.values()]
    encryption.write_text(layout, layout.vault / FILE, json.dumps(entries))


def needs_another(rules: AccessRules, old: Member | None, new: Member) -> bool:
    """Does it take two people? A role that opens, signs or oversees is new, or somebody who has one
    gets another key, or becomes another person."""

    def by_two(roles: set[Role]) -> bool:
        return any(rules.roles.get(role, RoleRule()).given_by > 1 for role in roles)

    if old is None or (old.key, old.person) != (new.key, new.person):
        return by_two(set(new.roles))
    return by_two(set(new.roles) - set(old.roles))


def require_one_person(layout: Layout, new: Member) -> None:
    """Stop an entry for somebody who stands there already under another name.

    Raises:
        PolicyError: another actor has the key, or is the person.
    """
    for actor, one in staff.everyone(layout).items():
        other = staff.stored(layout, actor)
        if actor == new.actor or other is None:
            continue
        if new.key is not None and other.key == new.key:
            raise PolicyError("staff: this is the key of another actor; a person signs as one")
        if new.person is not None and one.person == new.person:
            raise PolicyError("staff: this person acts under another name already")


def put(context: Context, by: Actor, new: Member, now: dt.datetime) -> bool:
    """Put somebody on the staff list or, where that takes two, have it wait; is it done?

    Raises:
        PolicyError: the person stands there already under another name.
    """
    layout, rules = context.layout, acting.rules_in_force(context)
    require_one_person(layout, new)
    if new.actor == rules.service:
        raise PolicyError("staff: this is the account of the scheduled jobs, and nobody's")
    old = staff.stored(layout, new.actor)
    if new.key is None and old is not None:
        new = new.model_copy(update={"key": old.key, "counts_from": old.counts_from})
    if not needs_another(rules, old, new):
        staff.put(layout, new)
        return True
    with layout.locked():
        made = Appointment(member=new, by=by.name, at=now)
        _write(layout, waiting(layout) | {new.actor: made})
    return False


def hand_in(context: Context, actor: str, public: str, now: dt.datetime) -> dt.datetime | None:
    """Give an actor the key that they have made; returns from when on it counts without another's
    confirmation: for founding signers never.

    Raises:
        PolicyError: there is no such actor, there is a key already, or it is another's.
    """
    layout = context.layout
    member = staff.require_without_key(layout, actor)
    require_one_person(layout, member.model_copy(update={"key": public}))
    counts_from = acting.rules_in_force(context).signers.counts_from(now)
    staff.make_key(layout, actor, public, counts_from)
    return None if member.founding else counts_from


def confirm(context: Context, actor: str, by: Actor) -> Member | None:
    """Confirm what somebody else has begun; None if nothing waits. With it the key that the
    appointment names is confirmed.

    Raises:
        ActionDenied: both are one person, or who began it may not do that any more.
    """
    layout = context.layout
    found = waiting(layout).get(actor)
    if found is None:
        return None
    first = staff.find(layout, found.by)
    agreed = {found.by: frozenset(first.roles)} if first else {}
    acting.require(context, by, "staff appoint", Situation(about=actor, agreed=agreed), case=actor)
    require_one_person(layout, found.member)
    with layout.locked():
        left = waiting(layout)
        if left.pop(actor, None) != found:
            raise PolicyError(f"staff: what waits for {actor} has changed; look at it again")
        # Gone first: cut off here, it has to be begun again, and is never given twice.
        _write(layout, left)
    staff.put(layout, found.member)
    return found.member


def forget(layout: Layout, ids: tuple[str, ...]) -> None:
    """Remove what waits for an erased person; the caller holds the lock."""
    found = waiting(layout)
    kept = {actor: one for actor, one in found.items() if one.member.person not in ids}
    if len(kept) < len(found):
        _write(layout, kept)


def set_aside(context: Context, actor: str) -> None:
    """Forget what waits for an actor who is removed; the log still has it."""
    with context.layout.locked():
        left = waiting(context.layout)
        if left.pop(actor, None) is not None:
            _write(context.layout, left)
            audit.note_change(context, f"what waited for {actor} is set aside")
