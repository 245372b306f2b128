"""The one way to HiGHS: all tables that have the published figures, and the cheapest set to
suppress."""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
from scipy.sparse import csr_array, hstack

from pipeline.disclosure.period import Bools, Floats, Ints

ROUNDS = 50  # of arithmetic; its bounds can come closer without end


@dataclass(frozen=True)
class Statements:
    """Figures of one measure as an attacker has them.

    Attributes:
        members: one row a published total, one column a suppressed cell; 1 where the cell is in it.
        rest: what is left of each total after the published cells in it.
        most: upper bound of every suppressed cell.
    """

    members: csr_array
    rest: Floats
    most: Floats

    def has(self, table: Floats) -> bool:
        """Do these values of the suppressed cells have the published figures?"""
        fits = np.array_equal(self.members @ table, self.rest)
        return fits and bool(((table >= 0) & (table <= self.most)).all())


class AuditError(RuntimeError):
    """The published figures contradict one another: no table at all has them."""


def alike(members: csr_array) -> tuple[csr_array, Ints]:
    """Cells that lie in the very same totals, as one column; and of every cell its column.

    No total distinguishes such cells, so any way of sharing a column's value out among them that
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


class Quiet(highspy.Highs):
    """HiGHS without its banner, which it prints when its constructor enables callbacks: we use
    none, so they stay disabled."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def enableCallbacks(self) -> None:
        self.silent()


def _model(matrix: csr_array, most: Floats) -> highspy.HighsLp:
    """Columns from zero to `most`, at no cost; what the rows add up to is left open."""
    model = highspy.HighsLp()
    model.num_row_, model.num_col_ = matrix.shape
    model.col_cost_ = model.col_lower_ = np.zeros(len(most))
    model.col_upper_ = most
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = matrix.indptr
    model.a_matrix_.index_ = matrix.indices
    model.a_matrix_.value_ = matrix.data
    return model


def cheapest(cost: Floats, demands: list[Bools]) -> Bools | None:
    """The cheapest set that has something of every demand, exactly; None if none was found.

    Args:
        demands: masks over the same things as `cost`.
    """
    model = _model(csr_array(np.array(demands, np.float64)), np.ones(len(cost)))
    model.col_cost_ = cost
    model.integrality_ = [highspy.HighsVarType.kInteger] * len(cost)
    model.row_lower_ = np.ones(len(demands))
    model.row_upper_ = np.full(len(demands), highspy.kHighsInf)
    highs = Quiet()
    highs.setOptionValue("mip_rel_gap", 0.0)
    highs.passModel(model)
    highs.solve()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    return np.round(highs.getSolution().col_value).astype(bool)


class Solver:
    """All tables that have the published figures; one model, solved again from where it stands.

    Every column is split into what is sought, up to a cap, and the rest of it.
    """

    def __init__(self, statements: Statements) -> None:
        self._columns = statements.members.shape[1]
        both = csr_array(hstack([statements.members, statements.members]))
        model = _model(both, np.concatenate([np.zeros(self._columns), statements.most]))
        model.row_lower_ = model.row_upper_ = statements.rest
        self._most = statements.most
        self._numbers = np.arange(2 * self._columns, dtype=np.int32)
        self._zero = np.zeros(self._columns)
        self._highs = Quiet()
        # It would look for totals that follow from others, which takes longer than solving.
        self._highs.setOptionValue("presolve", "off")
        self._highs.passModel(model)

    def farthest(self, cap: Floats, direction: Floats) -> Floats:
        """A table that has the published figures and whose columns, as far as each is below its
        cap, lie farthest in a direction.

        Raises:
            AuditError: there is no such table.
        """
        count = len(self._numbers)
        self._highs.changeColsBounds(
            count, self._numbers, np.zeros(count), np.concatenate([cap, self._most - cap])
        )
        self._highs.changeColsCost(count, self._numbers, np.concatenate([-direction, self._zero]))
        self._highs.solve()
        if self._highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise AuditError("the published figures contradict one another")
        found = np.asarray(self._highs.getSolution().col_value, np.float64)
        return found[: self._columns] + found[self._columns :]


def pinned(statements: Statements) -> tuple[Floats, Floats]:
    """Bounds that every cell keeps to in all tables, by arithmetic alone: what a total leaves when
    the others in it are as small, or as large, as they can be. Outer bounds, perhaps not tight."""
    low, high = np.zeros(len(statements.most)), statements.most.copy()
    entries = statements.members.tocoo()
    rows, columns = entries.coords
    for _ in range(ROUNDS):
        least, most = statements.members @ low, statements.members @ high
        tighter_high, tighter_low = high.copy(), low.copy()
        np.minimum.at(tighter_high, columns, (statements.rest - least)[rows] + low[columns])
        np.maximum.at(tighter_low, columns, (statements.rest - most)[rows] + high[columns])
        if np.allclose(tighter_high, high) and np.allclose(tighter_low, low):
            break
        low, high = tighter_low, tighter_high
    return low, high
