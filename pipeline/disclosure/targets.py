"""What the attackers are after: sums of suppressed cells, over columns of cells that are alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from pipeline.disclosure.period import Bools, Floats, Ints


@dataclass(frozen=True)
class Targets:
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
    def of(cls, targets: csr_array, column: Ints, most: Floats, columns: int) -> Targets:
        sums = csr_array((most, (np.arange(len(most)), column)), shape=(len(most), columns))
        shares = csr_array(targets @ sums).tocoo()
        whole = np.bincount(column, most, columns)
        held = whole[shares.coords[1]]
        return cls(
            targets.shape[0],
            shares.coords[0].astype(np.int64),
            shares.coords[1].astype(np.int64),
            shares.data,
            held - shares.data,
        )

    def least(self, low: Floats) -> Floats:
        """Of every target, the least it holds when its columns hold `low`: what the other cells
        of each have no room for."""
        left = np.maximum(low[self.column] - self.others, 0.0)
        return np.bincount(self.target, left, self.size).astype(np.float64)

    def most(self, high: Floats) -> Floats:
        """Of every target, the most it holds when its columns hold `high`."""
        taken = np.minimum(high[self.column], self.share)
        return np.bincount(self.target, taken, self.size).astype(np.float64)

    def among(self, columns: Ints) -> tuple[Ints, Targets]:
        """The targets that have a share in some columns, and that share of them; targets and
        columns numbered again, in this order."""
        place = np.full(max(self.column.max(initial=-1), columns.max(initial=-1)) + 1, -1)
        place[columns] = np.arange(len(columns))
        entries = np.flatnonzero(place[self.column] >= 0)
        numbers, target = np.unique(self.target[entries], return_inverse=True)
        return numbers, Targets(
            len(numbers),
            target.astype(np.int64),
            place[self.column[entries]],
            self.share[entries],
            self.others[entries],
        )


def published_as_such(members: csr_array, targets: csr_array) -> Bools:
    """Targets that are the very cells of a total."""
    common = csr_array(targets @ members.T).tocoo()
    sizes, totals = np.diff(targets.indptr), np.diff(members.indptr)
    target, total = common.coords
    same = (common.data == sizes[target]) & (common.data == totals[total])
    found = np.zeros(len(sizes), bool)
    found[target[same]] = True
    return found
