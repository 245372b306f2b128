"""Both attackers on one period's told figures; see pipeline/disclosure/audit.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, vstack

from pipeline.disclosure.audit import EXACT, bounds, system
from pipeline.disclosure.period import Bools, Floats, Ints, Period, Tally, tally
from pipeline.disclosure.solver import Statements


@dataclass(frozen=True)
class Figures:
    """What was told of one period.

    Attributes:
        members: one row a told total, one column a cell; 1 where the cell is in the total.
        totals: per measure, of every told total.
        cells: which cells are told.
        values: per measure, of every cell; only told cells' are looked at.
    """

    members: csr_array
    totals: dict[str, Ints]
    cells: Bools
    values: dict[str, Ints]


@dataclass(frozen=True)
class Found:
    """What the attackers got.

    Attributes:
        targets: withheld cells and totals of fewer than k people, or that may not be told.
        narrowed: targets whose records the reader narrows to fewer than k.
        learned: targets of which the insider learns how much was completed, or in time.
        narrowest: records between the closest bounds of a target; None without a target.
    """

    targets: int
    narrowed: int
    learned: int
    narrowest: float | None


def _targets(period: Period, withheld: Ints) -> csr_array:
    """Rows over the withheld cells: each cell, each team, each course."""
    count = len(withheld)
    columns = np.arange(count)

    def rows(of: Ints, size: int) -> csr_array:
        return csr_array((np.ones(count), (of, columns)), shape=(size, count))

    found = [
        rows(columns, count),
        rows(period.team[withheld], len(period.teams.group)),
        rows(period.course[withheld], len(period.courses.group)),
    ]
    return csr_array(vstack(found))


def _tallies(period: Period, told: Bools) -> Tally:
    """Of every target in the order of `_targets`."""
    withheld = np.flatnonzero(~told)
    cells = tally(period, np.where(told, -1, np.cumsum(~told) - 1), len(withheld))
    teams = tally(period, np.where(told, -1, period.team), len(period.teams.group))
    courses = tally(period, np.where(told, -1, period.course), len(period.courses.group))
    return Tally(*(np.concatenate(parts) for parts in zip(
        *(vars(one).values() for one in (cells, teams, courses)), strict=True
    )))  # fmt: skip


def attack(period: Period, told: Figures, k: int) -> Found:
    """Try both attackers on one period.

    Raises:
        AuditError: the told figures contradict one another.
    """
    withheld = np.flatnonzero(~told.cells)
    if not len(withheld):
        return Found(0, 0, 0, None)
    targets = _targets(period, withheld)
    sizes = _tallies(period, told.cells)
    few = (sizes.people > 0) & (sizes.people < k)

    def between(measure: str, of: Ints, most: Floats, wide: Floats) -> tuple[Floats, Floats]:
        members, rest = system(told.members, told.cells, told.values[measure], told.totals[measure])
        # Where no total says anything the solver needs a bound; far beyond what is asked for.
        bounded = np.where(np.isfinite(most), most, rest.sum() + wide.max() + 1.0)
        # The truth is a table that has the told figures, if these are right; to start from it
        # saves the solver's search for another one, and changes nothing of the bounds.
        truth = period.per_cell(of)[withheld].astype(np.float64)
        return bounds(Statements(members, rest, bounded), targets, wide, truth)

    low, high = between("records", period.records, np.full(len(withheld), np.inf),
                        np.where(few, float(k), 0.0))  # fmt: skip
    width = high - low
    learned = np.zeros(len(few), bool)
    for measure, of, among in (("complete", period.complete, period.records),
                               ("on_time", period.on_time, period.due)):  # fmt: skip
        most = period.per_cell(among)[withheld].astype(np.float64)
        reach = targets @ most
        low, high = between(measure, of, most, np.minimum(reach, 1.0))
        exact = (high - low < EXACT) & (reach > 0)
        # That everything was done tells nothing adverse; that nothing was, does for any group.
        learned |= exact & (high < reach - EXACT) & (few | (high < EXACT)) & (sizes.people > 0)
    narrowest = float(width[few].min()) if few.any() else None
    return Found(int(few.sum()), int((few & (width < k - EXACT)).sum()), int(learned.sum()),
                 narrowest)  # fmt: skip
