"""One period's records as a table of teams by courses, with who contributed what.

The finest cells are (team, course); teams roll up to departments and the company, courses to
categories and all courses. People are counted, never rows: a cell knows its contributors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.policy.disclosure import DisclosureRule

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tree:
    """A dimension: leaves under groups under one root. An unnamed node is never published."""

    group: Ints
    leaf_named: Bools
    group_named: Bools


@dataclass(frozen=True)
class Period:
    """Contributions of people to cells, one row a (cell, person); arrays of equal length.

    `team` and `course` say for every cell where it stands. `complete`, `due`, `on_time` and `low`
    count records among `records`.
    """

    teams: Tree
    courses: Tree
    team: Ints
    course: Ints
    cell: Ints
    person: Ints
    records: Ints
    complete: Ints
    due: Ints
    on_time: Ints
    low: Ints

    @property
    def cells(self) -> int:
        return len(self.team)

    def per_cell(self, counts: Ints) -> Ints:
        """Contributions summed per cell."""
        return np.bincount(self.cell, counts, self.cells).astype(np.int64)


@dataclass(frozen=True)
class Tally:
    """Of every group of cells: people, those with a due date, records, people with something
    complete, people with something else than a low score, and the most records of one person."""

    people: Ints
    dated: Ints
    records: Ints
    completers: Ints
    not_low: Ints
    top: Ints

    def may_be_published(self, rule: DisclosureRule, *, scores: bool) -> Bools:
        """Which groups' figures may be published; `scores`: score bands are among them."""
        fine = (
            (self.people >= rule.k)
            & ((self.dated == 0) | (self.dated >= rule.k))
            & (self.completers >= rule.minimum_not_adverse)
            & (self.top <= rule.dominance * self.records)
        )
        if scores:
            fine &= self.not_low >= rule.minimum_not_adverse
        return np.asarray(fine, bool)


def tally(period: Period, group: Ints, size: int) -> Tally:
    """Tally groups of cells; `group` names each cell's, -1 for none."""
    of = group[period.cell]
    seen = of >= 0
    people = int(period.person.max(initial=-1)) + 1
    pairs, at = np.unique(of[seen] * people + period.person[seen], return_inverse=True)

    def of_person(counts: Ints) -> Ints:
        return np.bincount(at, counts[seen], len(pairs)).astype(np.int64)

    owner = pairs // max(people, 1)
    records = of_person(period.records)

    def heads(test: Bools) -> Ints:
        return np.bincount(owner[test], minlength=size).astype(np.int64)

    top = np.zeros(size, np.int64)
    np.maximum.at(top, owner, records)
    return Tally(
        heads(np.ones(len(pairs), bool)),
        heads(of_person(period.due) > 0),
        np.bincount(owner, records, size).astype(np.int64),
        heads(of_person(period.complete) > 0),
        heads(records > of_person(period.low)),
        top,
    )
