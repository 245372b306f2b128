"""May this person do that? One decision for every command, job and desk; pure, and no by default.

Whoever stands at an edge (the command line, a Dagster job, a desk with a login) finds out who
somebody is and hands that over as an `Actor`. What they may do is up to `actions` in
access_rules.yaml, and pipeline/access/acting.py writes it down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipeline.access.staff import Member, is_name
from pipeline.errors import PolicyError
from pipeline.policy.access import SERVICE, AccessRules, ActionRule, Role
from pipeline.policy.open_actions import FOR


class ActionDenied(PolicyError):
    """Something that policy does not allow this actor; the text is the reason, and is logged."""


@dataclass(frozen=True)
class Actor:
    """Who acts, as whoever has authenticated them says: the operating system's account, a login.

    Attributes:
        roles: as the staff list has them, or the roster for managers.
        is_service: the scheduled jobs, and nobody else.
    """

    name: str
    roles: frozenset[Role] = frozenset()
    is_service: bool = False

    @classmethod
    def of(cls, name: str, member: Member | None) -> Actor:
        return cls(name, frozenset(member.roles) if member else frozenset())

    def in_role(self, role: Role | None) -> Actor:
        """Acting in that one of the roles only; in all of them if none was chosen."""
        return self if role is None else replace(self, roles=self.roles & {role})

    @property
    def shown(self) -> str:
        """The name as it may be written down: what is no actor's name could be a person's."""
        return self.name if is_name(self.name) else "(unfit)"


@dataclass(frozen=True)
class Situation:
    """What else matters.

    Attributes:
        suspended: during an incident.
        founded: somebody works with the data folder.
        about: the actor whose roles or rights are changed.
        earlier: steps of the same case to who did them.
        agreed: who has agreed, in which roles.
        unfit: why a text that would be written down may not be (pipeline/read/notes.py); None if
            all may.
    """

    suspended: bool = False
    founded: bool = True
    about: str | None = None
    earlier: Mapping[str, str] = field(default_factory=dict)
    agreed: Mapping[str, frozenset[Role]] = field(default_factory=dict)
    unfit: str | None = None


def decide(
    rules: AccessRules, action: str, actor: Actor, situation: Situation = Situation()
) -> str | None:
    """The first reason why an actor may not do something; None if they may."""
    rule = rules.actions.get(action)
    if rule is None:
        return f"no rule lists `{action}`, so nobody may do it"
    if rule.before_staff and not situation.founded:
        return None
    if not situation.founded:
        return "nobody works with this data folder yet; `milestones init` makes its staff list"
    return _of_actor(rule, action, actor) or _of_situation(rule, actor, situation)


def decide_for(
    rules: AccessRules, action: str, actor: Actor, person: Actor, situation: Situation = Situation()
) -> str | None:
    """The first reason why an actor may not do something on a person's behalf; None if they may.
    The actor needs the action (`receive --for`), the person what it is done for (`receive`)."""
    if person.name == actor.name:
        return f"nobody acts on their own behalf; leave out {FOR}"
    why = decide(rules, action, actor, situation)
    if why is None:
        own = decide(rules, action.removesuffix(f" {FOR}"), person, situation)
        why = own and f"the rights of whom it is for: {own}"
    return why


def _of_actor(rule: ActionRule, action: str, actor: Actor) -> str | None:
    if actor.is_service:
        return None if SERVICE in rule.roles else f"the service may not do `{action}`"
    if not actor.roles:
        return "this account has no role on the staff list"
    if not actor.roles & set(rule.roles):
        return f"{' and '.join(sorted(actor.roles))} may not do `{action}`"
    return None


def _of_situation(rule: ActionRule, actor: Actor, situation: Situation) -> str | None:
    if rule.stops and situation.suspended:
        return "suspended; `milestones incident resume` ends it"
    if rule.not_own and situation.about == actor.name:
        return "nobody does this to themselves"
    for step in rule.apart:
        if situation.earlier.get(step) == actor.name:
            return f"somebody else has to do this than who did `{step}`"
    if rule.others is not None:
        agreed = sum(
            bool(roles & set(rule.others.of)) and who not in (actor.name, situation.about)
            for who, roles in situation.agreed.items()
        )
        if agreed < rule.others.people:
            who = " or ".join(rule.others.of)
            return f"needs {rule.others.people} other of {who}, and {agreed} agreed"
    return situation.unfit
