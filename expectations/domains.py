"""Closed domains: for every kind of column, the values it may have. Anything else is a leak."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from pipeline.keys.ring import AUDIENCE_LETTER, SCHEME
from pipeline.policy.data_map import DataMap
from pipeline.policy.detect import looks_personal
from pipeline.policy.disclosure import Generalization
from pipeline.policy.fields import Audience
from pipeline.published.equivalence_classes import FULL
from pipeline.storage.schema import RECORD_TYPES, STATUSES
from pipeline.storage.sql import literal

MAX_DAYS = 3660  # ten years between assignment and completion; more is a broken clock
# Which kinds may be empty. A pseudonym may be so only where a person need not have one.
NULLABLE = {
    "department", "region", "month", "label", "zone", "instant", "score", "attempts",
    "sensitivity", "days", "rate", "flag",
}  # fmt: skip
# Kinds whose text comes from the sources, so that a person's name could travel in it.
SOURCE_TEXT = {"course", "label", "department"}
# Kinds of few distinct values and a costly test: judged once per value instead of once per row.
BY_VALUE = SOURCE_TEXT | {"zone"}


@dataclass(frozen=True)
class Checked:
    """One column under check: its name, the kind of its values, whether it may be empty."""

    name: str
    rule: str
    nullable: bool


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(literal(value) for value in values)})"


def inside(column: Checked, data_map: DataMap, audience: Audience, k: int | None) -> str:
    """SQL: is the value inside its domain? NULL is judged apart.

    What `reference.*` holds is told in pipeline/classified/reference_values.py.
    """
    name = column.name
    earliest = f"DATE '{data_map.earliest_date}'"
    tomorrow = f"DATE '{dt.datetime.now(dt.UTC).date() + dt.timedelta(days=2)}'"
    courses = "true" if audience is Audience.HR_LEGAL else "sensitivity IS NULL"
    kinds = {"listed", *data_map.course_sensitivity.patterns}
    domains = {
        "pseudonym": f"regexp_full_match({name}, "
        f"'v{SCHEME}{AUDIENCE_LETTER[audience]}[0-9]+_[0-9a-f]{{32}}')",
        "course": f"{name} IN (SELECT course_code FROM reference.course WHERE {courses})",
        "department": f"{name} IN (SELECT department FROM reference.department) "
        f"AND NOT {looks_personal(name)}",
        "label": f"length({name}) <= 200 AND NOT {looks_personal(name)} "
        f"AND {name} IN (SELECT title FROM reference.title)",
        "category": f"{name} IN (SELECT category FROM reference.category)",
        "region": _one_of(name, tuple(data_map.regions)),
        "source": _one_of(name, tuple(data_map.sources)),
        "month": f"date_trunc('month', {name}) = {name} "
        f"AND {name} BETWEEN date_trunc('month', {earliest}) AND {tomorrow}",
        "instant": f"{name} BETWEEN {earliest} AND {tomorrow} + INTERVAL 10 YEAR",
        "zone": f"regexp_full_match({name}, 'Z|[+-][0-9]{{2}}:?[0-9]{{2}}')",
        "record_type": _one_of(name, RECORD_TYPES),
        "status": _one_of(name, STATUSES),
        "completion": _one_of(name, ("complete", "incomplete")),
        "outcome": _one_of(name, ("passed", "failed", "none")),
        "detail": _one_of(name, (FULL, *Generalization)),
        "score_band": _one_of(name, ("low", "mid", "high", "unscored")),
        "sensitivity": _one_of(name, tuple(sorted(kinds))),
        "people": f"{name} BETWEEN {k or 1} AND (SELECT people FROM reference.total)",
        "count": f"{name} BETWEEN {k or 1} AND (SELECT records FROM reference.total)",
        "rate": f"{name} BETWEEN 0 AND 1",
        "days": f"{name} BETWEEN 0 AND {MAX_DAYS}",
        "score": f"{name} BETWEEN 0 AND 100",
        "attempts": f"{name} BETWEEN 0 AND 1000",
        "flag": f"{name} IN (true, false)",
    }
    return domains[column.rule]
