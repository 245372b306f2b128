"""Both attackers on one period's published figures; see pipeline/disclosure/audit.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array, vstack

from pipeline.disclosure.audit import EXACT, bounds, system
from pipeline.disclosure.period import MEASURES, Bools, Floats, Ints, Period, Tally, tally
from pipeline.disclosure.solver import Statements


@dataclass(frozen=True)
class Figures:
    """What was published of one period, or of one measure: of the period that is about it.

    Attributes:
        members: one row a published total, one column a cell; 1 where the cell is in the total.
        totals: records and complete of every published total.
        cells: which cells are published.
        values: records and complete of every cell; only published cells' are looked at.
    """

    members: csr_array
    totals: dict[str, Ints]
    cells: Bools
    values: dict[str, Ints]

    def about(self, cells: Ints) -> Figures:
        """The same over some of the cells."""
        values = {name: counts[cells] for name, counts in self.values.items()}
        members = csr_array(self.members[:, cells])
        return Figures(members, self.totals, self.cells[cells], values)


@dataclass(frozen=True)
class Found:
    """What the attackers got.

    Attributes:
        targets: suppressed cells and totals of fewer than k people, or that may not be published.
        narrowed: targets whose records the reader narrows to fewer than k.
        learned: targets of which the insider learns how much was completed, or another measure.
        narrowest: records between the closest bounds of a target; None without a target.
    """

    targets: int
    narrowed: int
    learned: int
    narrowest: float | None


def _targets(period: Period, suppressed: Ints) -> csr_array:
    """Rows over the suppressed cells: each cell, each team, each course."""
    count = len(suppressed)
    columns = np.arange(count)

    def rows(of: Ints, size: int) -> csr_array:
        return csr_array((np.ones(count), (of, columns)), shape=(size, count))

    found = [
        rows(columns, count),
        rows(period.team[suppressed], len(period.teams.group)),
        rows(period.course[suppressed], len(period.courses.group)),
    ]
    return csr_array(vstack(found))


def _tallies(period: Period, published: Bools) -> Tally:
    """Of every target in the order of `_targets`."""
    suppressed = np.flatnonzero(~published)
    cells = tally(period, np.where(published, -1, np.cumsum(~published) - 1), len(suppressed))
    teams = tally(period, np.where(published, -1, period.team), len(period.teams.group))
    courses = tally(period, np.where(published, -1, period.course), len(period.courses.group))
    return Tally(
        *(
            np.concatenate(parts)
            for parts in zip(*(vars(one).values() for one in (cells, teams, courses)), strict=True)
        )
    )


def attack_all(period: Period, figures: Mapping[str, Figures], k: int) -> Found:
    """Try both attackers on one period's figures, and on each of its measures.

    Args:
        figures: `figures`, and of each of MEASURES what is published with it, over the same cells.

    Raises:
        AuditError: the published figures contradict one another.
    """
    found = attack(period, figures["figures"], k)
    learned = found.learned
    for measure in MEASURES:
        part, cells = period.about(measure)
        of_measure = figures[measure].about(cells)
        # How many records a measure counts is not published.
        learned += attack(part, of_measure, k, timed=measure == "days", reader=False).learned
    return replace(found, learned=learned)


def attack(
    period: Period, figures: Figures, k: int, *, timed: bool = False, reader: bool = True
) -> Found:
    """Try both attackers on one period, or on what is about one measure of it.

    Args:
        timed: the measure has values of any size, and not outcomes.
        reader: try the reader, too.

    Raises:
        AuditError: the published figures contradict one another.
    """
    suppressed = np.flatnonzero(~figures.cells)
    if not len(suppressed):
        return Found(0, 0, 0, None)
    targets = _targets(period, suppressed)
    sizes = _tallies(period, figures.cells)
    few = (sizes.people > 0) & (sizes.people < k)

    def between(measure: str, of: Ints, most: Floats, wide: Floats) -> tuple[Floats, Floats]:
        members, rest = system(
            figures.members, figures.cells, figures.values[measure], figures.totals[measure]
        )
        # Where no total says anything the solver needs a bound; far beyond what is asked for.
        bounded = np.where(np.isfinite(most), most, rest.sum() + wide.max() + 1.0)
        # The truth is a table that has the published figures, if these are right; to start from it
        # saves the solver's search for another one, and changes nothing of the bounds.
        truth = period.per_cell(of)[suppressed].astype(np.float64)
        return bounds(Statements(members, rest, bounded), targets, wide, truth)

    unbounded = np.full(len(suppressed), np.inf)
    width = np.full(len(few), np.inf)
    if reader or timed:
        wide = np.where(few, float(k) if reader else 1.0, 0.0)
        low, high = between("records", period.records, unbounded, wide)
        width = high - low
    if timed:
        # Sums of values are worked out as their numbers are.
        learned = few & (width < EXACT)
    else:
        most = period.per_cell(period.records)[suppressed].astype(np.float64)
        reach = targets @ most
        low, high = between("complete", period.complete, most, np.minimum(reach, 1.0))
        exact = (high - low < EXACT) & (reach > 0)
        # That everything was done reveals nothing adverse; that nothing was done does, for any
        # group.
        learned = exact & (high < reach - EXACT) & (few | (high < EXACT)) & (sizes.people > 0)
    narrowest = float(width[few].min()) if few.any() else None
    return Found(
        int(few.sum()), int((few & (width < k - EXACT)).sum()), int(learned.sum()), narrowest
    )
