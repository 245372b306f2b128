"""disclosure_rules.yaml: which figures may be published, and about which groups of people."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from dateutil.relativedelta import relativedelta
from pydantic import Field, field_validator, model_validator

from pipeline.errors import PolicyError
from pipeline.policy.base import PolicyFile, Strict, load
from pipeline.policy.data_map import DataMap
from pipeline.policy.duration import Duration
from pipeline.policy.fields import Audience
from pipeline.storage.sql import literal

OTHER = "other"  # the category of a course that matches no pattern
MONTHS = {"month": 1, "quarter": 3, "year": 12}
BANDS = ("low", "mid", "high", "unscored")  # of scores


@dataclass(frozen=True)
class DisclosureRule:
    """When a figure may be published.

    Attributes:
        k: the minimum number of distinct people that it covers; the on-time share must cover as
            many people with a due date, or none.
        minimum_not_adverse: at least so many of them do not have the adverse outcome (nothing
            completed, or only low scores), so that "all of them failed" is not published
            (l-diversity for one sensitive value: Machanavajjhala et al. 2007).
        dominance: the largest share of the records that one person may contribute.
    """

    k: int
    minimum_not_adverse: int
    dominance: float

    def asks_more_than(self, other: DisclosureRule) -> bool:
        """Can what the other rule allows fall short of this one?"""
        return self.strictest(other) != other

    def strictest(self, other: DisclosureRule) -> DisclosureRule:
        """What both rules ask for."""
        return DisclosureRule(
            max(self.k, other.k),
            max(self.minimum_not_adverse, other.minimum_not_adverse),
            min(self.dominance, other.dominance),
        )


class TableRule(Strict):
    """How strict one coaching table is, and why."""

    renamed: ClassVar[dict[str, str]] = {"but_for": "minimum_not_adverse"}
    minimum_not_adverse: Annotated[int, Field(ge=1)]
    dominance: Annotated[float, Field(gt=0, le=1)]
    reason: Annotated[str, Field(min_length=1)]


class Noise(Strict):
    """Differential privacy of one table: each period costs `epsilon`, and at most
    `max_records_per_person` of a person's records count in it."""

    renamed: ClassVar[dict[str, str]] = {"at_most": "max_records_per_person"}
    epsilon: Annotated[float, Field(gt=0)]
    max_records_per_person: Annotated[int, Field(ge=1)]


class Budget(Strict):
    """The epsilon that all tables together may use for periods that begin within `per`."""

    epsilon: Annotated[float, Field(gt=0)]
    per: str

    @field_validator("per")
    @classmethod
    def _duration(cls, per: str) -> str:
        Duration.parse(per)
        return per


class OncePublished(Strict):
    """What is published once, when a period and its grace are over."""

    period: Literal["month", "quarter", "year"]
    grace: str

    @field_validator("grace")
    @classmethod
    def _duration(cls, grace: str) -> str:
        Duration.parse(grace)
        return grace

    def closed_before(self, newest: dt.date) -> dt.date:
        """The first day of the first period that is still open, or still waits for late records, at
        the newest delivery's date; earlier periods can be published."""
        months, wait = MONTHS[self.period], Duration.parse(self.grace)
        first = dt.date(newest.year, (newest.month - 1) // months * months + 1, 1)
        # The period before `first` is over, but its grace may not be.
        while wait.ends(first - dt.timedelta(days=1)) >= newest:
            first -= relativedelta(months=months)
        return first


class Coaching(OncePublished):
    """The coaching tables: what a figure covers, when it is published, and each table's rule."""

    owner: str
    tables: dict[str, TableRule]
    noise: dict[str, Noise] = Field(default_factory=dict)
    budget: Budget | None = None

    @model_validator(mode="after")
    def _noise_has_a_budget(self) -> Coaching:
        if self.noise and self.budget is None:
            raise ValueError("noise needs a budget")
        if unknown := sorted(set(self.noise) - set(self.tables)):
            raise ValueError(f"noise: no coaching table of that name: {', '.join(unknown)}")
        return self


class Generalization(StrEnum):
    """How a row's quasi-identifiers are made coarser."""

    DEPARTMENT = "department"
    REGION = "region"
    CATEGORY = "category"
    COURSE = "course"


# Of two steps on the same quasi-identifier, the one that removes less comes first.
LADDERS = ((Generalization.CATEGORY, Generalization.COURSE),)


class ClassRule(OncePublished):
    """How many people share the quasi-identifiers of every row of one row-level table.

    Attributes:
        period: what a row covers of one person and course; published once it is over, and the
            grace with it.
        k: at least so many people.
        minimum_not_adverse: at least so many of them have a row that is not adverse.
        generalize: what a class that is too small loses, step by step.
    """

    renamed: ClassVar[dict[str, str]] = {
        "but_for": "minimum_not_adverse",
        "coarsen": "generalize",
    }
    k: Annotated[int, Field(ge=2)]
    minimum_not_adverse: Annotated[int, Field(ge=1)]
    generalize: tuple[Generalization, ...]
    owner: str
    reason: Annotated[str, Field(min_length=1)]

    @field_validator("generalize")
    @classmethod
    def _in_order(cls, generalize: tuple[Generalization, ...]) -> tuple[Generalization, ...]:
        if len(set(generalize)) < len(generalize):
            raise ValueError("a step is named twice")
        for ladder in LADDERS:
            at = [generalize.index(step) for step in ladder if step in generalize]
            if at != sorted(at):
                raise ValueError(f"the order is {', '.join(ladder)}")
        return generalize


class DisclosureRules(PolicyFile):
    """The whole of disclosure_rules.yaml."""

    format: ClassVar[int] = 2
    coaching: Coaching
    classes: dict[str, ClassRule]
    categories: dict[str, tuple[str, ...]]

    @model_validator(mode="after")
    def _other_is_taken(self) -> DisclosureRules:
        if OTHER in self.categories:
            raise ValueError(
                f"categories.{OTHER} is for courses that match no pattern; it cannot have patterns"
            )
        return self

    def rule(self, data_map: DataMap) -> DisclosureRule:
        """The strictest settings of all coaching tables: they hold for whatever can be worked out
        from the tables together."""
        tables = self.coaching.tables.values()
        return DisclosureRule(
            max(spec.k for spec in data_map.published.values() if spec.k),
            max(one.minimum_not_adverse for one in tables),
            min(one.dominance for one in tables),
        )

    def category_sql(self, course: str) -> str:
        """SQL: the category of a course code; case does not matter."""
        branches = " ".join(
            f"WHEN lower({course}) GLOB {literal(pattern.lower())} THEN {literal(name)}"
            for name, patterns in self.categories.items()
            for pattern in patterns
        )
        return f"CASE {branches} ELSE {literal(OTHER)} END" if branches else literal(OTHER)


def require_matching(rules: DisclosureRules, data_map: DataMap) -> None:
    """Stop the run unless every coaching table and every analysts' table has a rule, and every
    rule has a table.

    Raises:
        PolicyError: naming the tables.
    """
    for where, audience, ruled in (
        ("coaching.tables", Audience.COACHING, set(rules.coaching.tables)),
        ("classes", Audience.ANALYTICS, set(rules.classes)),
    ):
        if different := sorted(set(data_map.tables_of(audience)) ^ ruled):
            raise PolicyError(
                f"disclosure_rules.yaml: {where} and the data map differ in {', '.join(different)}"
            )


def load_disclosure(path: Path) -> DisclosureRules:
    """disclosure_rules.yaml; raises PolicyError as `load`."""
    return load(DisclosureRules, path)
