"""Closed domains: for every `rule` in data_map.yaml, the values that a column may have. Anything
else is a leak.

To add a domain, add one entry to DOMAINS; a column uses it by naming it as its `rule`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dateutil.relativedelta import relativedelta

from pipeline.errors import PolicyError
from pipeline.keys.ring import AUDIENCE_LETTER, SCHEME
from pipeline.policy.data_map import UNKNOWN_REGION, DataMap
from pipeline.policy.detect import looks_personal
from pipeline.policy.disclosure import BANDS, Generalization
from pipeline.policy.fields import Audience
from pipeline.published.equivalence_classes import FULL, MOST_TRIES
from pipeline.published.team_names import LONGEST
from pipeline.storage.schema import RECORD_TYPES, STATUSES
from pipeline.storage.sql import literal

MAX_DAYS = 3660  # ten years between assignment and completion; more is a broken clock
TEN_YEARS = relativedelta(years=10)  # how far ahead a date may be
SENSITIVE_BY_CODE = "listed"  # the sensitivity of a course that is listed by its code
UNREVIEWED = (
    "unreviewed"  # of one about which nobody has decided, and of which nothing is suggested
)


@dataclass(frozen=True)
class Scope:
    """Where a column is checked: under which data map, for whom, with which smallest group (None
    where rows are about single people)."""

    data_map: DataMap
    audience: Audience
    k: int | None = None


@dataclass(frozen=True)
class CheckedColumn:
    """One column under check.

    Attributes:
        type: DuckDB type.
        rule: name of its domain.
        nullable: it may be empty.
    """

    name: str
    type: str
    rule: str
    nullable: bool


@dataclass(frozen=True)
class Domain:
    """The values that a kind of column may have.

    Attributes:
        test: SQL test over a column, by the column's name and the scope. NULL is judged apart.
            The connection has `reference.*` (pipeline/classified/reference_values.py).
        nullable: columns of this kind may be empty.
        source_text: text from the sources, in which a person's name could travel: it is compared
            with the denylist as well.
        few_values: few distinct values and a costly test: judged once per value, not per row.
        measure: a figure about a group where the table has a smallest group.
    """

    test: Callable[[str, Scope], str]
    nullable: bool = False
    source_text: bool = False
    few_values: bool = False
    measure: bool = False

    @property
    def once_per_value(self) -> bool:
        return self.source_text or self.few_values


def _one_of(*values: str) -> Callable[[str, Scope], str]:
    listed = ", ".join(map(literal, values))
    return lambda column, _: f"{column} IN ({listed})"


def _listed(values: Callable[[DataMap], Iterable[str]]) -> Callable[[str, Scope], str]:
    """One of the values that the data map lists."""
    return lambda column, scope: _one_of(*values(scope.data_map))(column, scope)


def _between(low: float, high: float) -> Callable[[str, Scope], str]:
    return lambda column, _: f"{column} BETWEEN {low} AND {high}"


def _reference(table: str, entry: str) -> Callable[[str, Scope], str]:
    return lambda column, _: f"{column} IN (SELECT {entry} FROM reference.{table})"


def _pseudonym(column: str, scope: Scope) -> str:
    letter = AUDIENCE_LETTER[scope.audience]
    return f"regexp_full_match({column}, 'v{SCHEME}{letter}[0-9]+_[0-9a-f]{{32}}')"


def _course(column: str, scope: Scope) -> str:
    visible = "true" if scope.audience is Audience.HR_LEGAL else "sensitivity IS NULL"
    return f"{column} IN (SELECT course_code FROM reference.course WHERE {visible})"


def _department(column: str, _: Scope) -> str:
    listed = f"{column} IN (SELECT department FROM reference.department)"
    return f"{listed} AND NOT {looks_personal(column)}"


def _unit(column: str, _: Scope) -> str:
    return (
        f"length({column}) <= {LONGEST} AND NOT {looks_personal(column)} "
        f"AND {column} IN (SELECT unit FROM reference.unit)"
    )


def _label(column: str, _: Scope) -> str:
    return (
        f"length({column}) <= 200 AND NOT {looks_personal(column)} "
        f"AND {column} IN (SELECT title FROM reference.title)"
    )


def _latest() -> dt.date:
    """The day after tomorrow: by then it is tomorrow everywhere on Earth."""
    return dt.datetime.now(dt.UTC).date() + dt.timedelta(days=2)


def _earliest(scope: Scope) -> str:
    return literal(scope.data_map.earliest_date)


def _month(column: str, scope: Scope) -> str:
    return (
        f"date_trunc('month', {column}) = {column} "
        f"AND {column} BETWEEN date_trunc('month', {_earliest(scope)}) AND {literal(_latest())}"
    )


def _date(column: str, scope: Scope) -> str:
    return f"{column} BETWEEN {_earliest(scope)} AND {literal(_latest() + TEN_YEARS)}"


def _instant(column: str, scope: Scope) -> str:
    # The first of January begins on the day before in half of the world.
    earliest = f"{_earliest(scope)} - INTERVAL 1 DAY"
    return f"{column} BETWEEN {earliest} AND {literal(_latest() + TEN_YEARS)}"


def _group_of(total: str) -> Callable[[str, Scope], str]:
    """From the smallest group to everything there is (`people` or `records`)."""
    return lambda column, scope: (
        f"{column} BETWEEN {scope.k or 1} AND (SELECT {total} FROM reference.total)"
    )


DOMAINS: dict[str, Domain] = {
    # Who
    "pseudonym": Domain(_pseudonym),
    "department": Domain(_department, nullable=True, source_text=True),
    "unit": Domain(_unit, nullable=True, source_text=True),
    "region": Domain(_listed(lambda data_map: [*data_map.regions, UNKNOWN_REGION]), nullable=True),
    # What
    "record_type": Domain(_one_of(*RECORD_TYPES)),
    "source": Domain(_listed(lambda data_map: data_map.sources)),
    "course": Domain(_course, source_text=True),
    "label": Domain(_label, nullable=True, source_text=True),
    "category": Domain(_reference("category", "category")),
    "sensitivity": Domain(
        _listed(
            lambda data_map: [
                SENSITIVE_BY_CODE,
                UNREVIEWED,
                *data_map.course_sensitivity.categories,
            ]
        ),
        nullable=True,
    ),
    "detail": Domain(_one_of(FULL, *Generalization)),
    # When
    "month": Domain(_month, nullable=True),
    "date": Domain(_date, nullable=True),
    "instant": Domain(_instant, nullable=True),
    "zone": Domain(
        lambda column, _: f"regexp_full_match({column}, 'Z|[+-][0-9]{{2}}:?[0-9]{{2}}')",
        nullable=True,
        few_values=True,
    ),
    # How it went
    "status": Domain(_one_of(*STATUSES)),
    "state": Domain(_one_of("not_started", "in_progress", "overdue", "complete")),
    "outcome": Domain(_one_of("passed", "failed", "none")),
    "score": Domain(_between(0, 100), nullable=True),
    "score_band": Domain(_one_of(*BANDS)),
    "attempts": Domain(_between(0, 1000), nullable=True),
    "tries": Domain(_between(1, MOST_TRIES)),
    "flag": Domain(lambda column, _: f"{column} IN (true, false)", nullable=True),
    # Figures
    "people": Domain(_group_of("people"), measure=True),
    "count": Domain(_group_of("records"), measure=True),
    "rate": Domain(_between(0, 1), nullable=True, measure=True),
    "days": Domain(_between(0, MAX_DAYS), nullable=True, measure=True),
}


def domain(rule: str) -> Domain:
    """The domain of that name.

    Raises:
        PolicyError: there is none; names those there are.
    """
    try:
        return DOMAINS[rule]
    except KeyError:
        raise PolicyError(
            f"`{rule}` is not a rule for columns; expectations/domains.py has: "
            f"{', '.join(sorted(DOMAINS))}"
        ) from None


def require_domains(data_map: DataMap) -> None:
    """Stop unless every column has a domain, so that none goes unchecked.

    Raises:
        PolicyError: naming the first column whose rule is none.
    """
    for name, column in data_map.columns.items():
        try:
            domain(column.rule)
        except PolicyError as error:
            raise PolicyError(f"data_map.yaml: columns.{name}: {error}") from None


def described_column(data_map: DataMap, name: str, where: str) -> CheckedColumn:
    """A column as its entry in data_map.yaml has it; it may be empty if its domain may.

    Raises:
        PolicyError: the column has no entry, or its rule is none; `where` names its table.
    """
    entry = data_map.columns.get(name)
    if entry is None:
        raise PolicyError(
            f"{where}.{name} has no entry under `columns` in data_map.yaml, so nothing could "
            "check it"
        )
    return CheckedColumn(name, entry.type, entry.rule, domain(entry.rule).nullable)


def inside(column: CheckedColumn, scope: Scope) -> str:
    """SQL: is the value inside its domain? NULL is judged apart."""
    return domain(column.rule).test(column.name, scope)
