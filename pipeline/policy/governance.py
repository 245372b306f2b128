"""governance.yaml: on which lawful basis data is used, who receives it, where it may go.

What a run checks of it is in pipeline/policy/governance_checks.py.
"""

from __future__ import annotations

import datetime as dt
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipeline.language.languages import SOURCE, language
from pipeline.policy.base import PolicyFile, Strict, load
from pipeline.policy.fields import Audience

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


def _country(code: str) -> str:
    if not re.fullmatch("[A-Z]{2}", code):
        raise ValueError("must be the code of a country in two capital letters, such as DE")
    return code


def _spoken(tag: str) -> str:
    language(tag)
    return tag


SINGLE_PEOPLE = frozenset({Audience.MANAGER, Audience.ANALYTICS, Audience.HR_LEGAL})


class LawfulBasis(StrEnum):
    """GDPR Art. 6(1). Vital interests, (d), are no basis for learning records."""

    CONSENT = "6(1)(a)"
    CONTRACT = "6(1)(b)"
    OBLIGATION = "6(1)(c)"
    PUBLIC_TASK = "6(1)(e)"
    INTEREST = "6(1)(f)"


class Condition(StrEnum):
    """The conditions of GDPR Art. 9(2) that can apply to an employer."""

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

    audience: Audience
    description: Text
    subjects: Text
    basis: LawfulBasis
    balancing: Balancing | None = None
    freely_given: Text | None = None
    special: Special | None = None
    source: Text
    owner: Text
    review_by: dt.date

    @model_validator(mode="after")
    def _has_its_basis(self) -> RegisteredPurpose:
        if (self.basis is LawfulBasis.INTEREST) != (self.balancing is not None):
            raise ValueError("6(1)(f) needs a balancing test, and no other basis has one")
        consent = self.basis is LawfulBasis.CONSENT
        if consent and self.freely_given is None:
            raise ValueError(
                "6(1)(a): an employee's consent is seldom free, because of the imbalance of power "
                "(recital 43; EDPB 05/2020 para. 21). Choose another basis, or state in "
                "freely_given why it is free here"
            )
        if not consent and self.freely_given is not None:
            raise ValueError("freely_given belongs to 6(1)(a) only")
        return self


class Processor(Strict):
    """The contract of Art. 28(3)."""

    contract: Text
    signed_on: dt.date
    valid_until: dt.date
    owner: Text


class Recipient(Strict):
    name: Text
    country: Annotated[str, AfterValidator(_country)]
    audiences: tuple[Audience, ...]
    processor: Processor | None = None


class Mechanism(Strict):
    """What lets data of one region's people go to some countries; the region `unknown` is that of
    people whose country is no country, or in no region."""

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
    """Where data may go.

    Attributes:
        home: region to the region of data_map.yaml to whose countries its data may go freely.
        unknown_region: the region that rows count as to which no country was delivered.
    """

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


class PlanStep(Strict):
    name: Text
    day: Annotated[int, Field(ge=1, le=90)]
    owner: Text
    done_on: dt.date | None


class Plan(Strict):
    started_on: dt.date
    steps: tuple[PlanStep, ...]

    def due(self, step: PlanStep) -> dt.date:
        return self.started_on + dt.timedelta(days=step.day)

    def state(self, step: PlanStep, today: dt.date) -> str:
        if step.done_on is not None:
            return "done"
        return "overdue" if today > self.due(step) else "open"


class Controller(Strict):
    name: Text
    address: Text
    contact: Text
    dpo: Text
    authority: Text


class Governance(PolicyFile):
    """The whole of governance.yaml.

    Attributes:
        languages: of the pages that people receive, as in HTML's `lang`; the first is the default.
    """

    controller: Controller
    languages: tuple[Annotated[str, AfterValidator(_spoken)], ...] = Field((SOURCE,), min_length=1)
    sector: Sector
    purposes: dict[str, RegisteredPurpose]
    recipients: tuple[Recipient, ...] = Field(min_length=1)
    transfers: Transfers
    raci: dict[str, Raci]
    escalation: tuple[Escalation, ...] = Field(min_length=1)
    plan: Plan

    @field_validator("languages")
    @classmethod
    def _once_each(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(tags)) < len(tags):
            raise ValueError("a language is listed twice")
        return tags

    @model_validator(mode="after")
    def _sector_allows(self) -> Governance:
        for name, purpose in self.purposes.items():
            if self.sector is Sector.PUBLIC and purpose.basis is LawfulBasis.INTEREST:
                raise ValueError(
                    f"{name}: a public authority has no 6(1)(f) for its tasks "
                    "(Art. 6(1) subpara. 2)"
                )
            single = purpose.audience in SINGLE_PEOPLE
            if self.sector is Sector.HEALTH and single and purpose.special is None:
                raise ValueError(
                    f"{name}: in the health sector, a purpose that shows single "
                    "people needs a condition of Art. 9(2)"
                )
        return self

    def purposes_of(self, audience: Audience) -> dict[str, RegisteredPurpose]:
        return {n: one for n, one in self.purposes.items() if one.audience == audience}


def load_governance(path: Path) -> Governance:
    """governance.yaml; raises PolicyError as `load`."""
    return load(Governance, path)
