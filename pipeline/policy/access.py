"""access_rules.yaml: roles, what each receives or may open, and how the detail opens.

Deny is the default: whatever the file does not give is refused (GDPR Art. 25(2), Art. 32(4)).
"""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, field_validator

from pipeline.errors import PolicyError
from pipeline.policy.base import Strict, load
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


class RoleRule(Strict):
    """What one role may; nothing by default."""

    receives: tuple[Audience, ...] = ()
    opens: tuple[Audience, ...] = ()
    purposes: tuple[str, ...] = ()
    signs: tuple[Signing, ...] = ()
    log: bool = False


class SignOffRule(Strict):
    """Who signs the reading of raw records, for how long at most, and for how many people."""

    by: Role
    within: Span
    people: Annotated[int, Field(ge=1)]

    @cached_property
    def duration(self) -> Duration:
        return Duration.parse(self.within)


class Detail(Strict):
    """How an audience opens at the door. `raw` fields, and rows where `raw_rows` is not null,
    open to a sign-off only."""

    note: Annotated[int, Field(ge=1)]
    raw: frozenset[str]
    raw_rows: str
    sign_off: SignOffRule


class Hours(Strict):
    """When reading is ordinary: whole hours of a working day, Monday to Friday."""

    opening: Annotated[int, Field(ge=0, le=23, alias="from")]
    closing: Annotated[int, Field(ge=1, le=24, alias="to")]
    zone: str

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        ZoneInfo(zone)
        return zone


class Review(Strict):
    every: Span
    owner: str

    @cached_property
    def duration(self) -> Duration:
        return Duration.parse(self.every)


class AccessRules(Strict):
    """The whole of access_rules.yaml."""

    version: Literal[1]
    roles: dict[Role, RoleRule]
    own_reports: tuple[Audience, ...]
    detail: dict[Audience, Detail]
    hours: Hours
    review: Review


def require_consistent(rules: AccessRules, data_map: DataMap, governance: Governance) -> None:
    """Deny rules that contradict the other policy files.

    Raises:
        PolicyError: naming the role, audience or field.
    """

    def deny(text: str) -> PolicyError:
        return PolicyError(f"access_rules.yaml: {text}")

    for role, rule in rules.roles.items():
        unknown = sorted(set(rule.purposes) - set(governance.purposes))
        if unknown:
            raise deny(f"{role.value}: not in the register: {', '.join(unknown)}")
        for audience in (*rule.receives, *rule.opens):
            if not set(rule.purposes) & set(governance.purposes_of(audience)):
                raise deny(f"{role.value}: has no purpose for the audience {audience.value}")
        for audience in rule.opens:
            if audience not in rules.detail:
                raise deny(f"detail does not say how {audience.value} opens")
        for audience in rule.receives:
            if audience in rules.detail:
                raise deny(f"{role.value}: {audience.value} opens at the door, it is not received")
            if any(spec.encrypted for spec in data_map.tables_of(audience).values()):
                raise deny(f"{role.value}: {audience.value} is encrypted, it cannot be received")
    for audience, detail in rules.detail.items():
        for table, spec in data_map.tables_of(audience).items():
            if not spec.encrypted:
                raise deny(f"detail.{audience.value}: {table} is not encrypted in data_map.yaml")
            strange = sorted({*detail.raw, detail.raw_rows} - set(spec.columns))
            if strange:
                raise deny(f"detail.{audience.value}: {table} has no {', '.join(strange)}")
        signer = rules.roles.get(detail.sign_off.by, RoleRule())
        if Signing.RAW_RECORDS not in signer.signs:
            raise deny(f"detail.{audience.value}: {detail.sign_off.by.value} does not sign")
    for audience in rules.own_reports:
        for table, spec in data_map.tables_of(audience).items():
            if "manager_ref" not in spec.columns:
                raise deny(f"own_reports: {table} does not tell whose reports it holds")


def load_access(path: Path) -> AccessRules:
    """access_rules.yaml; raises PolicyError as `load`."""
    return load(AccessRules, path)
