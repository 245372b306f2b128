"""The audit: an attacker with all told figures and a linear-programming solver.

Independent of how the cells were chosen: it sees totals and told cells, and asks for every cell
and total that is not told between which bounds it must lie. Two attackers are tried. The reader
knows the figures only, and must not narrow the records of a withheld cell to fewer than k. The
insider knows besides who took what, and must not learn of anything withheld how much of it was
completed, or done in time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array

from pipeline.disclosure.period import Bools, Floats, Ints

WITNESSES = 12  # random directions that are tried on all targets at once
EXACT = 1e-6


@dataclass(frozen=True)
class Told:
    """Figures of one measure as an attacker has them.

    Attributes:
        members: one row a told total, one column a withheld cell; 1 where the cell is in it.
        rest: what is left of each total after the told cells in it.
        most: upper bound of every withheld cell; infinite if the attacker knows none.
    """

    members: csr_array
    rest: Floats
    most: Floats


class AuditError(RuntimeError):
    """The told figures contradict one another: no table at all has them."""


def _solve(told: Told, direction: Floats) -> Floats:
    limits = [(0.0, most) for most in told.most.tolist()]
    found = linprog(direction, A_eq=told.members, b_eq=told.rest, bounds=limits, method="highs")
    if found.status != 0:
        raise AuditError("the told figures contradict one another")
    return np.asarray(found.x, np.float64)


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

    def see(point: Floats) -> None:
        seen = targets @ point
        np.minimum(low, seen, out=low)
        np.maximum(high, seen, out=high)

    for _ in range(WITNESSES):
        direction = random.standard_normal(len(told.most))
        for sign in (1.0, -1.0):
            see(_solve(told, sign * direction))
        if (high - low >= wide - EXACT).all():
            return low, high
    for at in np.flatnonzero(high - low < wide - EXACT):
        row = np.asarray(targets[[int(at)], :].todense()).ravel().astype(np.float64)
        see(_solve(told, row))
        if high[at] - low[at] < wide[at] - EXACT:
            see(_solve(told, -row))
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


def narrow(low: Floats, high: Floats, wide: Floats) -> Iterator[int]:
    """Numbers of targets that are narrowed beyond what is allowed."""
    yield from np.flatnonzero(high - low < wide - EXACT).tolist()
