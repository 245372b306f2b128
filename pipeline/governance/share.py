"""The checklist before a table is shared: every question answered with yes or no and a reason."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

from pipeline.access import go_live
from pipeline.access.log import AccessLog
from pipeline.access.verify import verify
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.policy.access import Role, RoleRule
from pipeline.policy.governance_checks import expired, require_flows
from pipeline.published import gate
from pipeline.published.risk_report import NUMBERS
from pipeline.retained.housekeeping import expired_before
from pipeline.retained.implied import implied
from pipeline.subjects import legal_holds


@dataclass(frozen=True)
class Answer:
    """One question of the checklist; `why` is the reason for the answer."""

    question: str
    yes: bool
    why: str


def _answer(question: str, fault: str | None, good: str) -> Answer:
    return Answer(question, fault is None, fault or good)


def _policy(context: Context, today: dt.date) -> str | None:
    try:
        go_live.require_open(context.layout, context.access, context.version)
        legal_holds.require_reviewed(context.layout, today)
    except PolicyError as error:
        return str(error)
    late = expired(context.governance, today)
    return f"expired: {', '.join(late)}" if late else None


def _released(context: Context, file: str) -> str | None:
    """Is the file, or every file of the folder, the one that passed the checks?"""
    try:
        manifest = gate.manifest(context.layout)
    except PolicyError as error:
        return str(error)
    if not gate.unchanged(context.layout, file):
        return "the file is not the one that passed the checks"
    if manifest.get("policy") != context.version:
        return "it was published under another policy; `milestones run` publishes it again"
    return None


def _recipient(context: Context, name: str, table: str) -> str | None:
    audience = context.data_map.published[table].audience
    found = [one for one in context.governance.recipients if one.name == name]
    if not found:
        return "governance.yaml has no recipient of that name"
    if audience not in found[0].audiences:
        return f"the recipient may not receive the audience {audience.value}"
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
        return f"{role.value} may not use {table} for {purpose}"
    return None


def _people(context: Context, table: str) -> str | None:
    """Do figures and classes cover enough people, by the release's own risk report?"""
    path = context.layout.current / NUMBERS
    if not path.exists():
        return "the release has no risk report"
    report = json.loads(path.read_text("utf-8"))
    rule = context.disclosure.classes.get(table)
    least = context.data_map.published[table].k or (rule.k if rule else None)
    for one in (*report["aggregates"], *report["classes"]):
        if one["table"] == table and one["k"] is not None and least and one["k"] < least:
            return f"part of it covers {one['k']} people only, fewer than {least}"
    return None


def checklist(
    context: Context, table: str, role: Role, purpose: str, recipient: str, now: dt.datetime
) -> list[Answer]:
    """May this published table be given to that role at that recipient, for the purpose?

    Raises:
        PolicyError: there is no published table of that name.
    """
    spec = context.data_map.published.get(table)
    if spec is None:
        raise PolicyError("there is no published table of that name")
    broken = verify(
        AccessLog(context.layout), expired_before(context, now), implied=implied(context.layout)
    ).broken
    return [
        _answer(
            "Is the policy signed and current, and nothing suspended?",
            _policy(context, now.date()),
            f"policy {context.version[:12]}",
        ),
        _answer(
            "Is it the file that passed the checks?",
            _released(context, spec.file),
            "the file's hash is that of the release",
        ),
        _answer(
            "May the role have it for this purpose?",
            _role(context, role, purpose, table),
            f"{role.value}, {purpose}",
        ),
        _answer(
            "May the recipient receive it, in that country?",
            _recipient(context, recipient, table),
            recipient,
        ),
        _answer(
            "Does every row cover enough people?",
            _people(context, table),
            f"at least {spec.k}" if spec.k else "as its rules require",
        ),
        _answer("Is the access log complete?", broken, "every entry is valid"),
    ]
