"""The cheapest cells to suppress, exactly, where a period is small.

Every thin cut of a trial says that one of the published cells across it must go. The cheapest set
that meets all such demands so far is a lower bound; once it is safe, it is the optimum (an implicit
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
    """The published cells of the safe choice that suppresses the fewest records.

    Returns:
        A mask over the cells; None if there is no such choice or it was not found in time.
    """
    able = np.flatnonzero(cross.may_be_published)
    if len(able) > SMALL:
        return None
    demands: list[Bools] = []
    suppressed = np.zeros(len(able), bool)
    for _ in range(ROUNDS):
        published = cross.may_be_published.copy()
        published[able[suppressed]] = False
        new = _demands(cross, published)
        if not new:
            return published
        demands += [demand[able] for demand in new]
        if not all(demand.any() for demand in demands):
            return None
        found = cheapest(cross.cost[able].astype(np.float64), demands)
        if found is None:
            return None
        suppressed = found
    return None


def _demands(cross: Cross, published: Bools) -> list[Bools]:
    """Sets of cells of which one must be suppressed, whatever else is."""
    sides = cross.thin(~published) or cross.bad_rests(~published)
    if sides:
        return [published & (side[cross.tails] != side[cross.heads]) for side in sides]
    # What the bounds give away can be mended from afar: any other cell.
    return [published.copy()] if cross.unsafe(published) else []
