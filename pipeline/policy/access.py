"""access_rules.yaml: roles, what each receives or may query, who may do what, and under which
conditions.

Deny is the default: whatever the file does not allow is refused (GDPR Art. 25(2), Art. 32(4)).
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from pipeline.errors import PolicyError
from pipeline.policy.base import PolicyFile, Strict, Zone, load
from pipeline.policy.data_map import DataMap
from pipeline.policy.duration import Duration
from pipeline.policy.fields import Audience
from pipeline.policy.governance import Governance


def _is_duration(text: str) -> str:
    Duration.parse(text)
    return text


Span = Annotated[str, AfterValidator(_is_duration)]


class Role(StrEnum):
    ANALYST = "analyst"
    MANAGER = "manager"
    HR = "hr"
    LEGAL = "legal"
    AUDITOR = "auditor"
    DATA_ENGINEER = "data_engineer"
    DPO = "dpo"


class Signing(StrEnum):
    RAW_RECORDS = "raw records"
    POLICY = "policy"
    COURSES = "courses"
    FIGURES = "figures"


class RoleRule(Strict):
    """What one role may read and sign; nothing by default.

    Attributes:
        given_by: how many people it takes to give somebody the role.
    """

    renamed: ClassVar[dict[str, str]] = {
        "opens": "queries",
        "log": "actions: access review",
        "deliveries": "actions: delivery withdraw",
        "identifiers": "actions: people find",
    }

    receives: tuple[Audience, ...] = ()
    queries: tuple[Audience, ...] = ()
    purposes: tuple[str, ...] = ()
    signs: tuple[Signing, ...] = ()
    given_by: Literal[1, 2] = 2


SERVICE = "service"  # who runs the scheduled jobs; nobody's role on the staff list


class Others(Strict):
    """How many other people have to have agreed, each in one of some roles."""

    people: Annotated[int, Field(ge=1)]
    of: tuple[Role, ...]


class ActionRule(Strict):
    """Who may do something; nobody by default.

    Attributes:
        roles: that may, one is enough.
        others: who else has to have agreed.
        apart: earlier steps of the same case, which somebody else has to have done.
        not_own: nobody does it to themselves.
        stops: not during a suspension (`milestones incident`).
        entry: `action` for an entry of the access log before it begins; `reading` if what is read
            makes its own entry, with people and fields, before a row is shown.
        before_staff: anybody may, in a data folder that nobody works with yet.
    """

    roles: tuple[Role | Literal["service"], ...]
    others: Others | None = None
    apart: tuple[str, ...] = ()
    not_own: bool = False
    stops: bool = False
    entry: Literal["action", "reading"] = "action"
    before_staff: bool = False


class SignersRule(Strict):
    """When the signatures of a new key begin to count, unless somebody else confirms it before."""

    wait: Span

    def counts_from(self, now: dt.datetime) -> dt.datetime:
        """From when on a key counts that is made now."""
        day = Duration.parse(self.wait).ends(now.date())
        return dt.datetime.combine(day, now.timetz())


class SignOffRule(Strict):
    """Who signs for the reading of raw records, for how long at most, and for how many people."""

    by: Role
    within: Span
    people: Annotated[int, Field(ge=1)]

    @cached_property
    def duration(self) -> Duration:
        return Duration.parse(self.within)


class Detail(Strict):
    """How an audience can be queried, one person at a time.

    Attributes:
        note: the minimum length of the written reason, in characters.
        raw: fields that need a sign-off.
        raw_rows: a column; rows in which it is not null need a sign-off, too.
        sign_off: who signs, for how long and for how many people.
    """

    note: Annotated[int, Field(ge=1)]
    raw: frozenset[str]
    raw_rows: str
    sign_off: SignOffRule


class Hours(Strict):
    """Working hours, in whole hours from Monday to Friday; other readings count as unusual."""

    opening: Annotated[int, Field(ge=0, le=23, alias="from")]
    closing: Annotated[int, Field(ge=1, le=24, alias="to")]
    zone: Zone


class ReviewRule(Strict):
    """How often the access log must be reviewed, and who answers for it."""

    every: Span
    owner: str

    @cached_property
    def duration(self) -> Duration:
        return Duration.parse(self.every)


class ManagersRule(Strict):
    """Whose roster gives the role of a manager.

    Attributes:
        source: HR's, of the data map; no other gives anybody a role.
        changes: the share of reporting lines that may change without a confirmation by HR.
    """

    source: str
    changes: Annotated[float, Field(ge=0, le=1)]


class SheetFormat(StrEnum):
    HTML = "html"
    XLSX = "xlsx"


# What the table of an audience must have for a sheet; the outcome is shown where it is there.
ON_SHEET = ("manager_ref", "learner_ref", "course_code", "state")


class SheetRule(Strict):
    """The 1:1 sheet, which shows managers the trainings of their own reports by name.

    Attributes:
        purpose: whoever may state it, and receives its audience, may be handed a sheet.
        note: the minimum length of the written reason, in characters.
        formats: as which it may be handed over.
    """

    purpose: str
    note: Annotated[int, Field(ge=1)]
    formats: Annotated[tuple[SheetFormat, ...], Field(min_length=1)] = (SheetFormat.HTML,)


class AccessRules(PolicyFile):
    """The whole of access_rules.yaml.

    Attributes:
        actions: by the name of the command, with an option that makes it another (`go-live
            --role`), or of a Dagster job (`job nightly`).
        ordinary_words: that a note may have although somebody is called so.
        service: the operating system's account under which scheduled jobs run.
    """

    roles: dict[Role, RoleRule]
    actions: dict[str, ActionRule]
    service: str
    signers: SignersRule
    own_reports: tuple[Audience, ...]
    detail: dict[Audience, Detail]
    hours: Hours
    review: ReviewRule
    managers: ManagersRule | None = None
    sheet: SheetRule | None = None
    ordinary_words: tuple[str, ...] = ()


def require_consistent(rules: AccessRules, data_map: DataMap, governance: Governance) -> None:
    """Refuse rules that contradict the other policy files.

    Raises:
        PolicyError: naming the role, audience or field.
    """
    deciding_role(rules)
    _require_two(rules)
    _require_roster(rules, data_map)
    _require_roles(rules, data_map, governance)
    _require_details(rules, data_map)
    for audience in rules.own_reports:
        for table, spec in data_map.tables_of(audience).items():
            if "manager_ref" not in spec.columns:
                raise _deny(f"own_reports: {table} has no manager_ref")
    if rules.sheet:
        sheet_table(rules.sheet, rules, data_map, governance)


def sheet_table(
    sheet: SheetRule, rules: AccessRules, data_map: DataMap, governance: Governance
) -> str:
    """The published table that the 1:1 sheet is made of.

    Raises:
        PolicyError: its purpose is not registered, or not for own reports; or no table fits.
    """
    purpose = governance.purposes.get(sheet.purpose)
    if purpose is None or purpose.audience not in rules.own_reports:
        raise _deny("sheet.purpose must be a registered purpose of an audience in own_reports")
    for table, spec in data_map.tables_of(purpose.audience).items():
        if set(ON_SHEET) <= set(spec.columns):
            return table
    raise _deny(f"sheet: no table of {purpose.audience.value} has {', '.join(ON_SHEET)}")


def _require_two(rules: AccessRules) -> None:
    """Do roles that query or sign take two people to give, and are there steps apart at all?"""
    for role, rule in rules.roles.items():
        if rule.given_by < 2 and (rule.queries or rule.signs):
            raise _deny(
                f"{role.value}: queries or signs, so it takes two people to give (given_by)"
            )
    for name, action in rules.actions.items():
        unknown = sorted(set(action.apart) - set(rules.actions))
        if unknown:
            raise _deny(f"actions: {name} is apart from {', '.join(unknown)}, which is no action")


def _require_roster(rules: AccessRules, data_map: DataMap) -> None:
    if rules.managers is None:
        return
    rosters = [name for name, one in data_map.sources.items() if one.reader == "roster"]
    if rules.managers.source not in rosters:
        raise _deny(f"managers.source must be one of {', '.join(rosters)}")


def _deny(text: str) -> PolicyError:
    return PolicyError(f"access_rules.yaml: {text}")


def _require_roles(rules: AccessRules, data_map: DataMap, governance: Governance) -> None:
    """Does every role have a purpose for what it receives and queries?"""
    for role, rule in rules.roles.items():
        unknown = sorted(set(rule.purposes) - set(governance.purposes))
        if unknown:
            raise _deny(f"{role.value}: purposes not in the register: {', '.join(unknown)}")
        for audience in (*rule.receives, *rule.queries):
            if not set(rule.purposes) & set(governance.purposes_of(audience)):
                raise _deny(f"{role.value}: has no purpose for the audience {audience.value}")
        for audience in rule.queries:
            if audience not in rules.detail:
                raise _deny(f"detail has no rules for querying {audience.value}")
        for audience in rule.receives:
            if audience in rules.detail:
                raise _deny(f"{role.value}: {audience.value} can be queried, not received as files")
            if any(spec.encrypted for spec in data_map.tables_of(audience).values()):
                raise _deny(f"{role.value}: {audience.value} is encrypted and cannot be received")


def _require_details(rules: AccessRules, data_map: DataMap) -> None:
    """Are audiences that can be queried encrypted, and do their fields and signers exist?"""
    for audience, detail in rules.detail.items():
        for table, spec in data_map.tables_of(audience).items():
            if not spec.encrypted:
                raise _deny(f"detail.{audience.value}: {table} is not encrypted in data_map.yaml")
            unknown = sorted({*detail.raw, detail.raw_rows} - set(spec.columns))
            if unknown:
                raise _deny(f"detail.{audience.value}: {table} has no {', '.join(unknown)}")
        signer = rules.roles.get(detail.sign_off.by, RoleRule())
        if Signing.RAW_RECORDS not in signer.signs:
            raise _deny(
                f"detail.{audience.value}: {detail.sign_off.by.value} does not sign raw records"
            )


def deciding_role(rules: AccessRules) -> Role:
    """The one role that decides which courses are ordinary and which sensitive.

    Raises:
        PolicyError: there is none, or more than one.
    """
    found = [role for role, rule in rules.roles.items() if Signing.COURSES in rule.signs]
    if len(found) != 1:
        named = ", ".join(role.value for role in found) or "none"
        raise _deny(f"exactly one role signs `{Signing.COURSES.value}`, and here it is {named}")
    return found[0]


def load_access(path: Path) -> AccessRules:
    """access_rules.yaml; raises PolicyError as `load`."""
    return load(AccessRules, path)
