"""One period's records as a table of teams by courses, with who contributed what.

The finest cells are (team, course); teams roll up to departments and the company, courses to
categories and all courses. People are counted, never rows: a cell knows its contributors.

Some measures are about some of the records only: a share on time about those with a due date. For
such a measure the people behind a figure are those who have such a record, so it is looked at as a
period of its own, made of these records (`Period.about`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pipeline.policy.disclosure import DisclosureRule

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

# Measure to the contributions that it counts, and to those among them that are not adverse.
MEASURES = {
    "on_time": ("due", "on_time"),
    "days": ("timed", "timed"),
    "scores": ("scored", "not_low"),
}


COUNTED = ("records", "complete", *dict.fromkeys(sum(MEASURES.values(), ())))


@dataclass(frozen=True)
class Tree:
    """A dimension: leaves under groups under one root. An unnamed node is never published."""

    group: Ints
    leaf_named: Bools
    group_named: Bools


@dataclass(frozen=True)
class Period:
    """Contributions of people to cells, one row a (cell, person); arrays of equal length.

    `team` and `course` say for every cell where it stands. The others count records among
    `records`: `complete`; `due`, with a due date, and `on_time` among them; `timed`, with days from
    assignment to completion; `scored`, and `not_low` among them.
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
    timed: Ints
    scored: Ints
    not_low: Ints

    @property
    def cells(self) -> int:
        return len(self.team)

    def per_cell(self, counts: Ints) -> Ints:
        """Contributions summed per cell."""
        return np.bincount(self.cell, counts, self.cells).astype(np.int64)

    def about(self, measure: str) -> tuple[Period, Ints]:
        """What a measure counts, as `records`, and what of it is not adverse, as `complete`.

        Returns:
            The period of the cells that have any, and the numbers of these cells.
        """
        counted, fine = (getattr(self, name) for name in MEASURES[measure])
        there = counted > 0
        cells, cell = np.unique(self.cell[there], return_inverse=True)
        own = {name: getattr(self, name)[there] for name in ("person", *COUNTED)}
        own |= {"records": counted[there], "complete": fine[there]}
        places = {"team": self.team[cells], "course": self.course[cells]}
        return replace(self, **places, cell=cell.astype(np.int64), **own), cells


@dataclass(frozen=True)
class Tally:
    """Of every group of cells: people, records, people with something complete, and the most
    records of one person."""

    people: Ints
    records: Ints
    completers: Ints
    top: Ints

    def may_be_published(self, rule: DisclosureRule) -> Bools:
        """Which groups' figures may be published."""
        return np.asarray(
            (self.people >= rule.k)
            & (self.completers >= rule.minimum_not_adverse)
            & (self.top <= rule.dominance * self.records),
            bool,
        )


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
        np.bincount(owner, records, size).astype(np.int64),
        heads(of_person(period.complete) > 0),
        top,
    )
