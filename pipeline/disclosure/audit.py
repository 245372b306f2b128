"""The audit: an attacker with all told figures and a linear-programming solver (HiGHS).

Independent of how the cells were chosen: it sees totals and told cells, and asks between which
bounds everything that is not told must lie. Two attackers are tried (pipeline/disclosure/
attack.py). The reader knows the figures only, and must not narrow the records of a withheld cell
to fewer than k. The insider knows besides who took what, and must not learn of anything withheld
how much of it was completed, or done in time.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
from highspy._core import _Highs
from scipy.sparse import csr_array, hstack

from pipeline.disclosure.period import Bools, Floats, Ints

WITNESSES = 2  # random directions that are tried on all targets at once
ROUNDS = 50  # of arithmetic; its bounds can come closer without end
FEW = 4  # targets that a round must settle to be worth another one
EXACT = 1e-6


@dataclass(frozen=True)
class Told:
    """Figures of one measure as an attacker has them.

    Attributes:
        members: one row a told total, one column a withheld cell; 1 where the cell is in it.
        rest: what is left of each total after the told cells in it.
        most: upper bound of every withheld cell.
    """

    members: csr_array
    rest: Floats
    most: Floats


class AuditError(RuntimeError):
    """The told figures contradict one another: no table at all has them."""


class _Solver:
    """All tables that have the told figures; one model, solved again from where it stands."""

    def __init__(self, told: Told) -> None:
        rows, columns = told.members.shape
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = columns, rows
        model.col_cost_ = np.zeros(columns)
        model.col_lower_, model.col_upper_ = np.zeros(columns), told.most
        model.row_lower_ = model.row_upper_ = told.rest
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_ = told.members.indptr
        model.a_matrix_.index_ = told.members.indices
        model.a_matrix_.value_ = told.members.data
        self._numbers = np.arange(columns, dtype=np.int32)
        # The core class: its wrapper prints a banner on standard output.
        self._highs = _Highs()
        self._highs.setOptionValue("output_flag", False)
        self._highs.passModel(model)

    def farthest(self, direction: Floats) -> Floats:
        """A table that has the told figures and lies farthest in a direction.

        Raises:
            AuditError: there is no such table.
        """
        self._highs.changeColsCost(len(self._numbers), self._numbers, -direction)
        self._highs.run()
        if self._highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise AuditError("the told figures contradict one another")
        return np.asarray(self._highs.getSolution().col_value, np.float64)


def pinned(told: Told) -> tuple[Floats, Floats]:
    """Bounds that every cell keeps to in all tables, by arithmetic alone: what a total leaves when
    the others in it are as small, or as large, as they can be. Outer bounds, perhaps not tight."""
    low, high = np.zeros(len(told.most)), told.most.copy()
    entries = told.members.tocoo()
    rows, columns = entries.coords
    for _ in range(ROUNDS):
        least, most = told.members @ low, told.members @ high
        tighter_high, tighter_low = high.copy(), low.copy()
        np.minimum.at(tighter_high, columns, (told.rest - least)[rows] + low[columns])
        np.maximum.at(tighter_low, columns, (told.rest - most)[rows] + high[columns])
        if np.allclose(tighter_high, high) and np.allclose(tighter_low, low):
            break
        low, high = tighter_low, tighter_high
    return low, high


class _Spread:
    """The same tables, sought where as many cells as can be hold as much as matters at once.

    A vertex of the tables has no more cells that are not nought than there are totals, so it tells
    of few. Every cell is split into what counts, up to `cap`, and the rest, and only the first is
    sought: that is spread over many cells.
    """

    def __init__(self, told: Told, cap: Floats) -> None:
        self._cells = len(cap)
        self._solver = _Solver(Told(
            csr_array(hstack([told.members, told.members])), told.rest,
            np.concatenate([cap, told.most - cap]),
        ))  # fmt: skip

    def farthest(self, direction: Floats) -> Floats:
        found = self._solver.farthest(np.concatenate([direction, np.zeros(self._cells)]))
        return found[: self._cells] + found[self._cells :]


def bounds(told: Told, targets: csr_array, wide: Floats, seed: int = 0) -> tuple[Floats, Floats]:
    """Between which values every target must lie, as far as it matters.

    Args:
        targets: one row a target, over the withheld cells.
        wide: a target whose bounds are known to be this far apart is not looked at further.

    Returns:
        Lower and upper bounds; exact for targets narrower than `wide`, and inner ones for others.

    Raises:
        AuditError: the figures contradict one another.
    """
    random = np.random.default_rng(seed)
    low, high = np.full(targets.shape[0], np.inf), np.full(targets.shape[0], -np.inf)
    solver, wide = _Solver(told), wide.copy()

    def see(table: Floats) -> None:
        seen = targets @ table
        np.minimum(low, seen, out=low)
        np.maximum(high, seen, out=high)

    def both_ways(where: _Solver | _Spread, direction: Floats) -> None:
        see(where.farthest(direction))
        see(where.farthest(-direction))

    def stuck() -> Ints:
        return np.flatnonzero(high - low < wide - EXACT)

    def together(rows: Ints, weights: Floats) -> Floats:
        mixed: Floats = targets[rows, :].T @ weights
        return mixed

    see(solver.farthest(np.zeros(len(told.most))))
    # What arithmetic pins down needs no solver.
    least, most = pinned(told)
    wide[targets @ (most - least) < EXACT] = 0.0
    # One table that is far out for many targets at once tells of all of them.
    for _ in range(WITNESSES):
        rows = stuck()
        for weights in (np.ones(len(rows)), random.standard_normal(len(rows))):
            both_ways(solver, together(rows, weights))
    single = np.flatnonzero(np.diff(targets.indptr) == 1)
    cells = targets.indices[targets.indptr[single]]
    cap = np.zeros(len(told.most))
    np.maximum.at(cap, cells, wide[single])
    spread = _Spread(told, np.minimum(cap, told.most))
    settled = FEW
    while settled >= FEW and len(rows := stuck()):
        direction = np.zeros(len(told.most))
        direction[cells[np.isin(single, rows)]] = 1.0
        both_ways(spread, direction)
        settled = len(rows) - len(stuck())
    while len(rows := stuck()):
        row = rows[:1]
        both_ways(solver, together(row, np.ones(1)))
        # What is narrow now is so for good: these bounds are exact.
        if high[row[0]] - low[row[0]] < wide[row[0]] - EXACT:
            wide[row[0]] = 0.0
    return low, high


def system(members: csr_array, in_cells: Bools, values: Ints, totals: Ints) -> tuple[
    csr_array, Floats
]:  # fmt: skip
    """Members and rests over the withheld cells.

    Args:
        members: one row a told total, over all cells.
        in_cells: cells that are told.
        values: the told cells' values (of others nothing is read).
        totals: the told totals' values.
    """
    known = members @ np.where(in_cells, values, 0)
    return csr_array(members[:, np.flatnonzero(~in_cells)]), (totals - known).astype(np.float64)
