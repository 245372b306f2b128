"""The checklist before something is shared, as a function that says yes or no with reasons."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

from pipeline.access import approval
from pipeline.access.log import AccessLog
from pipeline.access.verify import verify
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.policy.access import Role, RoleRule
from pipeline.policy.governance_checks import expired, require_flows
from pipeline.published import gate
from pipeline.published.risk_report import NUMBERS
from pipeline.retained.housekeeping import expired_before
from pipeline.subjects import legal_holds


@dataclass(frozen=True)
class Answer:
    """One question of the checklist; `why` says what was found."""

    question: str
    yes: bool
    why: str


def _asked(question: str, fault: str | None, good: str) -> Answer:
    return Answer(question, fault is None, fault or good)


def _policy(context: Context, today: dt.date) -> str | None:
    try:
        approval.require_open(context.layout, context.access, context.version)
        legal_holds.require_reviewed(context.layout, today)
    except PolicyError as error:
        return str(error)
    late = expired(context.governance, today)
    return f"expired: {', '.join(late)}" if late else None


def _released(context: Context, file: str) -> str | None:
    """Is the file, or every one of its folder, what passed the checks?"""
    try:
        told = gate.manifest(context.layout)
    except PolicyError as error:
        return str(error)
    if not gate.unchanged(context.layout, file):
        return "the file is not the one that passed the checks"
    if told.get("policy") != context.version:
        return "it was published under another policy; run a night"
    return None


def _recipient(context: Context, name: str, table: str) -> str | None:
    audience = context.data_map.published[table].audience
    found = [one for one in context.governance.recipients if one.name == name]
    if not found:
        return "governance.yaml names no such recipient"
    if audience not in found[0].audiences:
        return f"the recipient may not have the audience {audience.value}"
    only = context.governance.model_copy(update={"recipients": tuple(found)})
    try:
        require_flows(only, context.data_map, audience, context.data_map.regions)
    except PolicyError as error:
        return str(error)
    return None


def _role(context: Context, role: Role, purpose: str, table: str) -> str | None:
    rule = context.access.roles.get(role, RoleRule())
    audience = context.data_map.published[table].audience
    if audience not in rule.receives:
        return f"{role.value} does not receive {audience.value}"
    if purpose not in rule.purposes or purpose not in context.governance.purposes_of(audience):
        return f"{role.value} may not have {table} for {purpose}"
    return None


def _people(context: Context, table: str) -> str | None:
    """Of figures and classes: are they of enough people, by the release's own risk report?"""
    path = context.layout.current / NUMBERS
    if not path.exists():
        return "the release has no risk report"
    told = json.loads(path.read_text("utf-8"))
    rule = context.disclosure.classes.get(table)
    least = context.data_map.published[table].k or (rule.k if rule else None)
    for one in (*told["aggregates"], *told["classes"]):
        if one["table"] == table and one["k"] is not None and least and one["k"] < least:
            return f"some of it is of {one['k']} people, not {least}"
    return None


def checklist(
    context: Context, table: str, role: Role, purpose: str, recipient: str, now: dt.datetime
) -> list[Answer]:
    """May this published table be handed to that role at that recipient, for the purpose?

    Raises:
        PolicyError: no published table of that name.
    """
    spec = context.data_map.published.get(table)
    if spec is None:
        raise PolicyError("no published table of that name")
    broken = verify(AccessLog(context.layout), expired_before(context, now)).broken
    return [
        _asked("Is the policy signed, current and not frozen?", _policy(context, now.date()),
               f"policy {context.version[:12]}"),
        _asked("Is it what passed the checks?", _released(context, spec.file),
               "the file's hash is that of the release"),
        _asked("May the role have it for this purpose?", _role(context, role, purpose, table),
               f"{role.value}, {purpose}"),
        _asked("May it go to the recipient, and to that country?",
               _recipient(context, recipient, table), recipient),
        _asked("Is it of enough people?", _people(context, table),
               f"k of {spec.k}" if spec.k else "as its rules ask"),
        _asked("Is the access log whole?", broken, "every entry holds"),
    ]  # fmt: skip
