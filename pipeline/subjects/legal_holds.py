"""Legal holds: what must be kept although its window is over (GDPR Art. 17(3)(e)).

A hold is a case, not a policy: it lies in the vault, since its scope can name people. A hold past
its review date stops every deletion and every nightly run, so that none lapses or stays unnoticed.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable

from pydantic import model_validator

from pipeline.errors import PolicyError
from pipeline.policy.base import Strict
from pipeline.policy.retention import RecordType
from pipeline.storage import cases
from pipeline.storage.layout import Layout
from pipeline.storage.sql import literal
from pipeline.subjects import restrictions

FILE = "holds.json.enc"


class Hold(Strict):
    """One hold. A record is held if it matches every part of the scope; one part is required."""

    name: str
    reason: str
    owner: str
    placed_on: dt.date
    review_by: dt.date
    lifted_on: dt.date | None = None
    people: tuple[str, ...] = ()
    courses: tuple[str, ...] = ()
    records: tuple[RecordType, ...] = ()
    regions: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Hold:
        if not (self.name.strip() and self.reason.strip() and self.owner.strip()):
            raise ValueError("a hold needs a name, a reason and an owner")
        scope = (self.people, self.courses, self.records, self.regions, self.sources)
        if self.lifted_on is None and not any(scope):
            raise ValueError("a hold needs a scope: people, courses, records, regions or sources")
        return self

    def sql(self) -> str:
        """SQL over classified rows: does the hold keep the record?"""
        parts = {
            "person": self.people,
            "course_code": self.courses,
            "record_type": self.records,
            "region": self.regions,
            "source": self.sources,
        }
        tests = [
            f"{column} IN ({', '.join(literal(str(value)) for value in values)})"
            for column, values in parts.items()
            if values
        ]
        return f"coalesce({' AND '.join(tests)}, false)"


def _read(layout: Layout) -> list[Hold]:
    text = cases.read(layout, layout.vault / FILE)
    return [Hold.model_validate(one) for one in json.loads(text or "[]")]


def _write(layout: Layout, holds: list[Hold]) -> None:
    text = json.dumps([hold.model_dump(mode="json") for hold in holds], indent=1)
    cases.write(layout, layout.vault / FILE, text)


def every(layout: Layout) -> list[Hold]:
    """All holds, also those that were lifted."""
    return _read(layout)


@cases.changes
def add(layout: Layout, holds: Iterable[Hold]) -> None:
    """Add holds of a backup whose names are not there."""
    there = _read(layout)
    new = {hold.name: hold for hold in holds if hold.name not in {one.name for one in there}}
    if new:
        _write(layout, [*there, *new.values()])


@cases.changes
def forget(layout: Layout, ids: Iterable[str], today: dt.date) -> None:
    """Remove an erased person's identifiers from holds that were lifted since, such as those of a
    backup; a hold in force on the person prevents the erasure. One that was about nobody else is
    lifted: without people its scope would be everybody's records, or nothing."""
    holds, erased = _read(layout), set(ids)
    left = [_without(hold, erased, today) for hold in holds]
    if left != holds:
        _write(layout, left)


def _without(hold: Hold, erased: set[str], today: dt.date) -> Hold:
    people = tuple(person for person in hold.people if person not in erased)
    ended = (hold.lifted_on or today) if hold.people and not people else hold.lifted_on
    return hold.model_copy(update={"people": people, "lifted_on": ended})


def live(layout: Layout) -> list[Hold]:
    """The holds that are in force."""
    return [hold for hold in _read(layout) if hold.lifted_on is None]


@cases.changes
def place(layout: Layout, hold: Hold) -> None:
    """Put a hold in force.

    Raises:
        PolicyError: the name is taken.
    """
    holds = _read(layout)
    if hold.name in {other.name for other in holds}:
        raise PolicyError(f"legal hold: there is already one called {hold.name}")
    _write(layout, [*holds, hold])


@cases.changes
def lift(layout: Layout, name: str, day: dt.date) -> None:
    """End a hold; the next deletion erases what it kept if that is past retention, and the names
    of people are removed from it.

    Raises:
        PolicyError: there is no hold in force of that name.
    """
    holds = _read(layout)
    if name not in {hold.name for hold in live(layout)}:
        raise PolicyError("legal hold: none of that name is in force")
    ended = {"lifted_on": day, "people": ()}
    _write(layout, [h.model_copy(update=ended) if h.name == name else h for h in holds])


def require_reviewed(layout: Layout, today: dt.date) -> None:
    """Stop when a hold in force is past its review date.

    Raises:
        PolicyError: naming these holds.
    """
    stale = [hold.name for hold in live(layout) if hold.review_by < today]
    if stale:
        raise PolicyError(f"legal hold past its review date: {', '.join(stale)}")


def held_sql(layout: Layout) -> str:
    """SQL over classified rows: does a hold or a restriction (GDPR Art. 18(1)(b)) keep the row?"""
    tests = [hold.sql() for hold in live(layout)]
    people = ", ".join(literal(person) for person in restrictions.restricted(layout))
    if people:
        tests.append(f"person IN ({people})")
    return " OR ".join(tests) or "false"
