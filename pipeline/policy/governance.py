"""governance.yaml: on what ground data is used, who receives it, where it may go.

Everything with a date can expire, and what has expired stops the night: `require_current` names
the document. Transfers are judged per region of the people and country of the recipient.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from pipeline.policy.base import PolicyError, Strict, load
from pipeline.policy.data_map import DataMap, Purpose

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
SINGLE_PEOPLE = frozenset({Purpose.MANAGER, Purpose.ANALYTICS, Purpose.HR_LEGAL})


class Basis(StrEnum):
    """GDPR Art. 6(1). Vital interests, (d), are no ground for learning records."""

    CONSENT = "6(1)(a)"
    CONTRACT = "6(1)(b)"
    OBLIGATION = "6(1)(c)"
    PUBLIC_TASK = "6(1)(e)"
    INTEREST = "6(1)(f)"


class Condition(StrEnum):
    """GDPR Art. 9(2), those that an employer can have."""

    CONSENT = "9(2)(a)"
    EMPLOYMENT = "9(2)(b)"
    CLAIMS = "9(2)(f)"
    PUBLIC_INTEREST = "9(2)(g)"
    OCCUPATIONAL_MEDICINE = "9(2)(h)"


class Sector(StrEnum):
    PRIVATE = "private"
    PUBLIC = "public"
    HEALTH = "health"


class Balancing(Strict):
    """The test of Art. 6(1)(f): the interest, and why the people's own does not override it."""

    interest: Text
    finding: Text
    assessed_on: dt.date
    by: Text


class Special(Strict):
    condition: Condition
    source: Text


class RegisteredPurpose(Strict):
    """One purpose that a read may state."""

    audience: Purpose
    description: Text
    subjects: Text
    basis: Basis
    balancing: Balancing | None = None
    freely_given: Text | None = None
    special: Special | None = None
    source: Text
    owner: Text
    review_by: dt.date

    @model_validator(mode="after")
    def _grounded(self) -> RegisteredPurpose:
        if (self.basis is Basis.INTEREST) != (self.balancing is not None):
            raise ValueError("6(1)(f) needs its balancing test, and no other basis has one")
        consent = self.basis is Basis.CONSENT
        if consent and self.freely_given is None:
            raise ValueError(
                "6(1)(a): an employee's consent is seldom free, because of the imbalance of power "
                "(recital 43; EDPB 05/2020 para. 21). Take another basis, or say in freely_given "
                "why it is free here"
            )
        if not consent and self.freely_given is not None:
            raise ValueError("freely_given goes with 6(1)(a) only")
        return self


class Processor(Strict):
    """The contract of Art. 28(3)."""

    contract: Text
    signed_on: dt.date
    valid_until: dt.date
    owner: Text


class Recipient(Strict):
    name: Text
    country: Annotated[str, Field(pattern="^[A-Z]{2}$")]
    audiences: tuple[Purpose, ...]
    processor: Processor | None = None


class Mechanism(Strict):
    """What lets data of one region's people go to some countries."""

    origin: str = Field(alias="from")
    to: tuple[str, ...] = Field(min_length=1)


class Unrestricted(Mechanism):
    source: Text
    assessed_on: dt.date
    review_by: dt.date


class Adequacy(Mechanism):
    source: Text
    decided_on: dt.date
    review_by: dt.date


class Assessment(Strict):
    name: Text
    assessed_on: dt.date
    review_by: dt.date


class Clauses(Mechanism):
    """Standard contractual clauses, Decision (EU) 2021/914, with their impact assessment."""

    module: Annotated[int, Field(ge=1, le=4)]
    contract: Text
    signed_on: dt.date
    assessment: Assessment
    owner: Text


class Transfers(Strict):
    """`home`: region to the region of data_map.yaml whose countries its data may go to freely."""

    home: dict[str, str]
    unknown_region: str
    unrestricted: tuple[Unrestricted, ...] = ()
    adequacy: tuple[Adequacy, ...] = ()
    scc: tuple[Clauses, ...] = ()


class Raci(Strict):
    responsible: tuple[str, ...] = Field(min_length=1)
    accountable: Text
    consulted: tuple[str, ...]
    informed: tuple[str, ...]


class Escalation(Strict):
    who: Text
    within_hours: Annotated[int, Field(ge=1, le=72)]


class Step(Strict):
    name: Text
    day: Annotated[int, Field(ge=1, le=90)]
    owner: Text
    done_on: dt.date | None


class Plan(Strict):
    started_on: dt.date
    steps: tuple[Step, ...]

    def due(self, step: Step) -> dt.date:
        return self.started_on + dt.timedelta(days=step.day)

    def state(self, step: Step, today: dt.date) -> str:
        if step.done_on is not None:
            return "done"
        return "overdue" if today > self.due(step) else "open"


class Controller(Strict):
    name: Text
    address: Text
    contact: Text
    dpo: Text
    authority: Text


class Governance(Strict):
    """The whole of governance.yaml."""

    version: int
    controller: Controller
    sector: Sector
    purposes: dict[str, RegisteredPurpose]
    recipients: tuple[Recipient, ...] = Field(min_length=1)
    transfers: Transfers
    raci: dict[str, Raci]
    escalation: tuple[Escalation, ...] = Field(min_length=1)
    plan: Plan

    @model_validator(mode="after")
    def _sector_allows(self) -> Governance:
        for name, purpose in self.purposes.items():
            if self.sector is Sector.PUBLIC and purpose.basis is Basis.INTEREST:
                raise ValueError(f"{name}: a public authority has no 6(1)(f) for its tasks "
                                 "(Art. 6(1) subpara. 2)")  # fmt: skip
            single = purpose.audience in SINGLE_PEOPLE
            if self.sector is Sector.HEALTH and single and purpose.special is None:
                raise ValueError(f"{name}: in the health sector, what shows single people needs a "
                                 "condition of Art. 9(2)")  # fmt: skip
        return self

    def purposes_of(self, audience: Purpose) -> dict[str, RegisteredPurpose]:
        return {n: one for n, one in self.purposes.items() if one.audience == audience}


def require_grounds(governance: Governance, data_map: DataMap) -> None:
    """Deny a policy in which an audience has no purpose, or shows sensitive courses without a
    condition of Art. 9(2), or names a region or an activity that does not exist.

    Raises:
        PolicyError: naming the audience, the purpose or the region.
    """
    for audience in Purpose:
        purposes = governance.purposes_of(audience)
        if not purposes:
            raise PolicyError(f"governance.yaml: the audience {audience.value} has no purpose")
        sensitive = any(
            "sensitivity" in spec.columns for spec in data_map.tables_of(audience).values()
        )
        bare = [name for name, one in purposes.items() if sensitive and one.special is None]
        if bare:
            raise PolicyError(f"governance.yaml: {', '.join(bare)}: shows special-category data "
                              "without a condition of GDPR Art. 9(2)")  # fmt: skip
        if len({one.basis is Basis.CONSENT for one in purposes.values()}) > 1:
            raise PolicyError(f"governance.yaml: {audience.value}: rests on consent for one "
                              "purpose and not for another; its rows cannot be both")  # fmt: skip
        if not any(audience in one.audiences for one in governance.recipients):
            raise PolicyError(f"governance.yaml: no recipient holds the audience {audience.value}")
    moves = governance.transfers
    named = {*moves.home, *moves.home.values(), moves.unknown_region} | {
        one.origin for one in (*moves.unrestricted, *moves.adequacy, *moves.scc)
    }
    strange = sorted(named - set(data_map.regions))
    if strange:
        raise PolicyError(f"governance.yaml: transfers: not in data_map.yaml: {', '.join(strange)}")
    homeless = sorted(set(data_map.regions) - set(moves.home))
    if homeless:
        raise PolicyError(f"governance.yaml: transfers.home lacks {', '.join(homeless)}")


def documents(governance: Governance) -> Iterator[tuple[str, dt.date]]:
    """Every document that can expire: its name and its last good day."""
    for name, purpose in governance.purposes.items():
        yield f"purpose {name}", purpose.review_by
    for recipient in governance.recipients:
        if recipient.processor is not None:
            yield f"contract {recipient.processor.contract}", recipient.processor.valid_until
    moves = governance.transfers
    for free in moves.unrestricted:
        yield f"assessment of {free.origin}", free.review_by
    for decision in moves.adequacy:
        yield f"adequacy for {decision.origin}", decision.review_by
    for clauses in moves.scc:
        yield f"assessment {clauses.assessment.name}", clauses.assessment.review_by


def dated(governance: Governance) -> Iterator[tuple[str, dt.date]]:
    """Every document with a date on which it was made, which cannot lie ahead."""
    for name, purpose in governance.purposes.items():
        if purpose.balancing is not None:
            yield f"balancing test of {name}", purpose.balancing.assessed_on
    for recipient in governance.recipients:
        if recipient.processor is not None:
            yield f"contract {recipient.processor.contract}", recipient.processor.signed_on
    moves = governance.transfers
    for free in moves.unrestricted:
        yield f"assessment of {free.origin}", free.assessed_on
    for decision in moves.adequacy:
        yield f"adequacy for {decision.origin}", decision.decided_on
    for clauses in moves.scc:
        yield f"clauses {clauses.contract}", clauses.signed_on
        yield f"assessment {clauses.assessment.name}", clauses.assessment.assessed_on


def require_current(governance: Governance, today: dt.date) -> None:
    """Stop the night on anything that has expired or is not in force yet.

    Raises:
        PolicyError: naming every such document and its date.
    """
    late = [f"{name} ({day})" for name, day in documents(governance) if day < today]
    early = [f"{name} ({day})" for name, day in dated(governance) if day > today]
    if late:
        raise PolicyError(f"governance.yaml: expired: {', '.join(late)}")
    if early:
        raise PolicyError(f"governance.yaml: not in force yet: {', '.join(early)}")


def mechanism(governance: Governance, data_map: DataMap, region: str, country: str) -> str | None:
    """What lets data of a region's people go to a country; None if nothing does."""
    moves = governance.transfers
    if country in data_map.regions[moves.home[region]]:
        return "within the region"
    for kind, ways in (
        ("unrestricted", moves.unrestricted),
        ("adequacy", moves.adequacy),
        ("scc", moves.scc),
    ):
        for way in ways:
            if way.origin == region and country in way.to:
                return kind
    return None


def require_flows(
    governance: Governance, data_map: DataMap, audience: Purpose, regions: Iterable[str | None]
) -> None:
    """Deny rows of some regions to an audience that has a recipient they may not go to
    (GDPR Art. 44). Rows of no known region count as those of `unknown_region`.

    Raises:
        PolicyError: naming region, audience and recipient.
    """
    known = {region or governance.transfers.unknown_region for region in regions}
    for region in sorted(known):
        for recipient in governance.recipients:
            if audience not in recipient.audiences:
                continue
            if mechanism(governance, data_map, region, recipient.country) is None:
                raise PolicyError(
                    f"governance.yaml: {audience.value}: nothing lets data of {region} go to "
                    f"{recipient.name} ({recipient.country}); add a mechanism under transfers, or "
                    "take the recipient off the audience"
                )


def load_governance(path: Path) -> Governance:
    """governance.yaml; raises PolicyError as `load`."""
    return load(Governance, path)
