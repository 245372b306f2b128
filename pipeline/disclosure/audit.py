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


def alike(members: csr_array) -> tuple[csr_array, Ints]:
    """Cells that lie in the very same totals, as one column; and of every cell its column.

    No total tells such cells apart, so any way of sharing a column's value out among them that
    keeps to their bounds is a table, too. An organization has many more small cells than totals.
    """
    of_cell = csr_array(members.T)
    of_cell.sort_indices()
    degree = np.diff(of_cell.indptr)
    cells = len(degree)
    rows = np.full((cells, int(degree.max(initial=1))), -1)
    place = np.arange(of_cell.nnz) - np.repeat(of_cell.indptr[:-1], degree)
    rows[np.repeat(np.arange(cells), degree), place] = of_cell.indices
    _, first, column = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return csr_array(members[:, first]), column.reshape(-1).astype(np.int64)


@dataclass(frozen=True)
class _Targets:
    """Targets over columns of cells that are alike; one entry a (target, column), equal lengths.

    Attributes:
        share: the most that the target's cells in the column can hold.
        others: the most that the column's other cells can hold.
    """

    size: int
    target: Ints
    column: Ints
    share: Floats
    others: Floats

    @classmethod
    def of(cls, targets: csr_array, column: Ints, most: Floats, columns: int) -> _Targets:
        sums = csr_array(
            (most, (np.arange(len(most)), column)), shape=(len(most), columns)
        )  # fmt: skip
        shares = csr_array(targets @ sums).tocoo()
        whole = np.bincount(column, most, columns)
        held = whole[shares.coords[1]]
        return cls(
            targets.shape[0], shares.coords[0].astype(np.int64), shares.coords[1].astype(np.int64),
            shares.data, held - shares.data,
        )  # fmt: skip

    def least(self, low: Floats) -> Floats:
        """Of every target, the least it holds when its columns hold `low`: what the other cells
        of each have no room for."""
        left = np.maximum(low[self.column] - self.others, 0.0)
        return np.bincount(self.target, left, self.size).astype(np.float64)

    def most(self, high: Floats) -> Floats:
        """Of every target, the most it holds when its columns hold `high`."""
        taken = np.minimum(high[self.column], self.share)
        return np.bincount(self.target, taken, self.size).astype(np.float64)


class _Solver:
    """All tables that have the told figures; one model, solved again from where it stands.

    Every column is split into what is sought, up to a cap, and the rest of it.
    """

    def __init__(self, told: Told) -> None:
        rows, self._columns = told.members.shape
        both = csr_array(hstack([told.members, told.members]))
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = 2 * self._columns, rows
        model.col_cost_ = np.zeros(2 * self._columns)
        model.col_lower_ = np.zeros(2 * self._columns)
        model.col_upper_ = np.concatenate([np.zeros(self._columns), told.most])
        model.row_lower_ = model.row_upper_ = told.rest
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_ = both.indptr
        model.a_matrix_.index_ = both.indices
        model.a_matrix_.value_ = both.data
        self._most = told.most
        self._numbers = np.arange(2 * self._columns, dtype=np.int32)
        self._nought = np.zeros(self._columns)
        # The core class: its wrapper prints a banner on standard output.
        self._highs = _Highs()
        self._highs.setOptionValue("output_flag", False)
        self._highs.passModel(model)

    def farthest(self, cap: Floats, direction: Floats) -> Floats:
        """A table that has the told figures and whose columns, as far as each is below its cap,
        lie farthest in a direction.

        Raises:
            AuditError: there is no such table.
        """
        count = len(self._numbers)
        self._highs.changeColsBounds(
            count, self._numbers, np.zeros(count), np.concatenate([cap, self._most - cap])
        )
        self._highs.changeColsCost(count, self._numbers, np.concatenate([-direction, self._nought]))
        self._highs.run()
        if self._highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise AuditError("the told figures contradict one another")
        found = np.asarray(self._highs.getSolution().col_value, np.float64)
        return found[: self._columns] + found[self._columns :]


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


def _told_as_such(members: csr_array, targets: csr_array) -> Bools:
    """Targets that are the very cells of a total."""
    common = csr_array(targets @ members.T).tocoo()
    sizes, totals = np.diff(targets.indptr), np.diff(members.indptr)
    target, total = common.coords
    same = (common.data == sizes[target]) & (common.data == totals[total])
    found = np.zeros(len(sizes), bool)
    found[target[same]] = True
    return found


def bounds(told: Told, targets: csr_array, wide: Floats) -> tuple[Floats, Floats]:
    """Between which values every target must lie, as far as it matters.

    Args:
        targets: one row a target, over the withheld cells; 1 where a cell is in it.
        wide: a target whose bounds are known to be this far apart is not looked at further.

    Returns:
        Lower and upper bounds; exact for targets narrower than `wide`, and inner ones for others.

    Raises:
        AuditError: the figures contradict one another.
    """
    members, column = alike(told.members)
    columns = members.shape[1]
    whole = np.bincount(column, told.most, columns).astype(np.float64)
    over = _Targets.of(targets, column, told.most, columns)
    merged = Told(members, told.rest, whole)
    low, high = np.full(over.size, np.inf), np.full(over.size, -np.inf)
    solver, wide = _Solver(merged), wide.copy()

    def see(table: Floats) -> None:
        np.minimum(low, over.least(table), out=low)
        np.maximum(high, over.most(table), out=high)

    def both_ways(cap: Floats, direction: Floats) -> None:
        see(solver.farthest(cap, direction))
        see(solver.farthest(cap, -direction))

    def stuck() -> Ints:
        return np.flatnonzero(high - low < wide - EXACT)

    see(solver.farthest(np.zeros(columns), np.zeros(columns)))
    # What arithmetic pins down, or a total tells by itself, needs no solver.
    least, most = pinned(merged)
    wide[over.most(most) - over.least(least) < EXACT] = 0.0
    wide[_told_as_such(told.members, targets)] = 0.0
    # A vertex of the tables has no more columns that are not nought than there are totals, so it
    # tells of few. With no more sought of each than matters, one table tells of many targets.
    settled = FEW
    while settled >= FEW and len(rows := stuck()):
        at = np.isin(over.target, rows)
        cap, direction = np.zeros(columns), np.zeros(columns)
        matters = np.minimum(wide[over.target[at]], over.share[at])
        np.maximum.at(cap, over.column[at], matters)
        direction[over.column[at]] = 1.0
        both_ways(cap, direction)
        settled = len(rows) - len(stuck())
    while len(rows := stuck()):
        row = rows[0]
        at = over.target == row
        cap, direction = np.zeros(columns), np.zeros(columns)
        cap[over.column[at]], direction[over.column[at]] = over.share[at], 1.0
        both_ways(cap, direction)
        # What is narrow now is so for good: these bounds are exact.
        if high[row] - low[row] < wide[row] - EXACT:
            wide[row] = 0.0
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
