"""The edge of the command line: every command asks the one decision (pipeline/access/actions.py)
before it begins. A command that no rule lists is refused, so a new one cannot be forgotten.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.models import CommandInfo, OptionInfo

from pipeline.cli.shared import PLAIN, open_context

if TYPE_CHECKING:
    from pipeline.access.actions import Actor, Situation
    from pipeline.context import Context

# Arguments that are written down with an action: names that the staff list or the project gave, of
# which these are the forms: a day, a request, a receipt.
CASES = ("name", "actor", "day", "period", "table")
GIVEN = r"\d{4}-\d\d-\d\d|\d{8}-[a-z]+-[0-9a-f]{6}|\d{8}T\d{12}Z-[0-9a-f]{8}"


def commands(app: typer.Typer, before: str = "") -> Iterator[tuple[str, CommandInfo]]:
    """All commands with their names, such as `request run`."""
    for one in app.registered_commands:
        assert one.callback is not None
        yield before + (one.name or one.callback.__name__.replace("_", "-")), one
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, f"{before}{group.name} ")


def guard(app: typer.Typer) -> None:
    """Let every command ask first."""
    for name, one in commands(app):
        assert one.callback is not None
        one.callback = _asking(name, one.callback)


def _asking(command: str, work: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(work)
    def ask(**given: object) -> object:
        from pipeline.policy.open_actions import actions_of

        for action in actions_of(command, options(work, given)):
            _require(action, command, given, dict(plain_texts(work, given)))
        return work(**given)

    return ask


def _marks(work: Callable[..., Any]) -> Iterator[tuple[str, tuple[object, ...]]]:
    """The parameters of a command, and what their annotations say of each."""
    for name, one in inspect.signature(work, eval_str=True).parameters.items():
        yield name, getattr(one.annotation, "__metadata__", ())


def options(work: Callable[..., Any], given: dict[str, Any]) -> list[str]:
    """The options that were used, by their names."""
    found = []
    for name, marks in _marks(work):
        option = next((mark for mark in marks if isinstance(mark, OptionInfo)), None)
        if option is not None and given.get(name) not in (None, False):
            found += _flags(name, option)
    return found


def plain_texts(work: Callable[..., Any], given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts that would be written down, and how each is called on the command line."""
    for name, marks in _marks(work):
        if PLAIN in marks and given.get(name):
            option = next((mark for mark in marks if isinstance(mark, OptionInfo)), None)
            yield _flags(name, option)[0] if option else name.upper(), given[name]


def _flags(name: str, option: OptionInfo) -> list[str]:
    """How an option is called on the command line."""
    # Inside Annotated, typer has the first name in the place of a default.
    declared = [one for one in (option.default, *(option.param_decls or ())) if _is_flag(one)]
    return list(map(str, declared)) or [f"--{name.strip('_').replace('_', '-')}"]


def _is_flag(one: object) -> bool:
    return isinstance(one, str) and one.startswith("-")


def _require(action: str, command: str, given: dict[str, Any], texts: dict[str, str]) -> None:
    from pipeline.access import account, acting, audit
    from pipeline.cli import screen

    home: Path = given["home"]
    with open_context(home, valid=False) as context:
        if remark := account.remark(context.layout):
            screen.warn(remark)
        if action == "keys storage" and _is_between_keys(context):
            return
        role = audit.role_named(given["role"]) if _acts_in(command, given) else None
        who, state = actor(context), _situation(context, command, given)
        state = replace(state, unfit=_unfit(context, texts))
        if (name := given.get("for_")) is None:
            case = _case(context, command, given)
            acting.require(context, who, action, state, role=role, case=case)
        else:
            person, case = _on_behalf_of(context, name)
            acting.require(context, who, action, state, case=case, person=person.in_role(role))


def _is_between_keys(context: Context) -> bool:
    """Was a change of the storage key cut off, so that nobody can read who may? Whoever began it
    could, and it only goes on with the same new key."""
    from pipeline.access import staff
    from pipeline.errors import PolicyError

    try:
        staff.everyone(context.layout)
    except PolicyError:
        return True
    return False


def _acts_in(command: str, given: dict[str, Any]) -> bool:
    """Was one of the roles chosen, of the actor or of whom it is for? (`may-share` names any.)"""
    return isinstance(given.get("role"), str) and command != "may-share"


def _on_behalf_of(context: Context, name: str) -> tuple[Actor, str]:
    """Whom it is for, and how that is written down: a name that is not on the staff list could be
    any person's."""
    from pipeline.access.actions import Actor
    from pipeline.classified import managers

    member = managers.member(context, name)
    return Actor.of(name, member), name if member else "(unknown)"


def actor(context: Context) -> Actor:
    """Who runs the command, as the staff list or the roster knows the account."""
    from pipeline.access import account, acting
    from pipeline.access.actions import Actor
    from pipeline.classified import managers

    name = account.actor(context.layout)
    if name == acting.rules_in_force(context).service:
        return acting.service(acting.rules_in_force(context))
    return Actor.of(name, managers.member(context, name))


def _situation(context: Context, command: str, given: dict[str, Any]) -> Situation:
    from pipeline.access.actions import Situation
    from pipeline.errors import PolicyError
    from pipeline.subjects import request_register

    if command.startswith("request ") and given.get("name"):
        # Without such a request there are no steps; the command says so to whoever may ask for it.
        with suppress(PolicyError):
            return Situation(earlier=request_register.done_by(context.layout, given["name"]))
    return Situation(about=given.get("actor") if command.startswith("staff ") else None)


def _unfit(context: Context, texts: dict[str, str]) -> str | None:
    """Why one of the texts may not be written down; None if all may."""
    from pipeline.read import notes

    found = (notes.objection(context, text, name) for name, text in texts.items())
    return next((why for why in found if why), None)


def _case(context: Context, command: str, given: dict[str, Any]) -> str | None:
    """What the action is about, if its name is one that can be written down. Anything else could be
    a person's name or number, that of a hold as well."""
    from pipeline.access.staff import is_name

    found = next((name for name in CASES if isinstance(given.get(name), str)), None)
    if found is None or command.startswith("hold "):
        return None
    text: str = given[found]
    if found == "actor":
        known = is_name(text)
    elif found == "table":
        known = text in context.data_map.published
    else:
        known = re.fullmatch(GIVEN, text) is not None
    return text if known else "(unfit)"
