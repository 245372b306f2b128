"""The cheapest cells to withhold, exactly, where a period is small.

Every thin cut of a trial says that one of the told cells across it must go. The cheapest set that
meets all such demands so far is a lower bound; once it is safe, it is the optimum (an implicit
hitting set, as the cut generation of Fischetti & Salazar, Management Science 47, 2001).
"""

from __future__ import annotations

import numpy as np

from pipeline.disclosure.cross import Cross
from pipeline.disclosure.period import Bools
from pipeline.disclosure.solver import cheapest

SMALL = 60  # candidates
ROUNDS = 80


def optimum(cross: Cross) -> Bools | None:
    """The told cells of the safe choice that withholds the fewest records.

    Returns:
        A mask over the cells; None if there is no such choice or it was not found in time.
    """
    able = np.flatnonzero(cross.may_be_told)
    if len(able) > SMALL:
        return None
    demands: list[Bools] = []
    withheld = np.zeros(len(able), bool)
    for _ in range(ROUNDS):
        told = cross.may_be_told.copy()
        told[able[withheld]] = False
        new = _demands(cross, told)
        if not new:
            return told
        demands += [demand[able] for demand in new]
        if not all(demand.any() for demand in demands):
            return None
        found = cheapest(cross.cost[able].astype(np.float64), demands)
        if found is None:
            return None
        withheld = found
    return None


def _demands(cross: Cross, told: Bools) -> list[Bools]:
    """Sets of cells of which one must be withheld, whatever else is."""
    sides = cross.thin(~told) or cross.bad_rests(~told)
    if sides:
        return [told & (side[cross.tails] != side[cross.heads]) for side in sides]
    # What the bounds give away can be mended from afar: any other cell.
    return [told.copy()] if cross.unsafe(told) else []
