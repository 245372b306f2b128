"""Asks the decision (pipeline/access/actions.py) and writes it down: an entry of the access log
before anything begins, and one for every refusal.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from pipeline.access import approval, audit, staff
from pipeline.access.actions import ActionDenied, Actor, Situation, decide, decide_for
from pipeline.access.log import has_entries
from pipeline.access.suspension import suspension_file
from pipeline.context import Context
from pipeline.errors import BadInput
from pipeline.policy.access import AccessRules, Role, load_access
from pipeline.policy.version import version
from pipeline.storage.layout import Layout


def service(rules: AccessRules) -> Actor:
    """Who runs the scheduled jobs."""
    return Actor(rules.service, is_service=True)


def founded(layout: Layout) -> bool:
    """Does somebody work with this data folder? A staff list that was removed does not change that,
    since its log is still there."""
    return bool(staff.everyone(layout)) or has_entries(layout)


def rules_in_force(context: Context) -> AccessRules:
    """The rules that decide: those given, once they are signed; before that the newest ones that
    were, so that nobody brings rules of their own. Where nothing was ever signed, those given."""
    layout = context.layout
    if not approval.missing(layout, context.access, context.version):
        return context.access
    for folder in approval.newest_first(layout):
        # One of an earlier format counts no more; legal and HR sign the new one.
        with suppress(BadInput):
            rules = load_access(folder / "access_rules.yaml")
            if not approval.missing(layout, rules, version(folder)):
                return rules
    return context.access


def require(
    context: Context,
    actor: Actor,
    action: str,
    situation: Situation | None = None,
    *,
    role: Role | None = None,
    case: str | None = None,
    person: Actor | None = None,
) -> None:
    """Stop what an actor may not do. Both are in the access log when this returns.

    Args:
        role: one of the actor's roles, if they act in that one only.
        case: what it is done to, by a name that says nothing of a person.
        person: on whose behalf, for actions that are done so (`receive --for`).

    Raises:
        ActionDenied: with the first reason against it.
    """
    layout, rules = context.layout, rules_in_force(context)
    state = replace(
        situation or Situation(),
        suspended=suspension_file(layout).exists(),
        founded=founded(layout),
    )
    acting = actor.in_role(role)
    if person is None:
        why = decide(rules, action, acting, state)
    else:
        why = decide_for(rules, action, acting, person, state)
    if why is None and (not state.founded or rules.actions[action].entry == "reading"):
        return
    # A folder that nobody works with has no log, and looking into it makes none.
    if state.founded:
        audit.note_action(context, acting, action, case, "allowed" if why is None else why)
    if why is not None:
        raise ActionDenied(f"{action}: {why}")
