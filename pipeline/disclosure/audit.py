"""The audit: an attacker with all published figures and a linear-programming solver.

Independent of how the cells were chosen: it sees totals and published cells, and asks between which
bounds everything that is not published must lie. Two attackers are tried (pipeline/disclosure/
attack.py). The reader only knows the figures, and must not narrow the records of a suppressed cell
to fewer than k. The insider also knows who took what, when it was due and who has a score, and must
not learn of anything suppressed how much of it was completed, done in time or scored more than low,
nor how many days it took.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
from scipy.sparse import csr_array

from pipeline.disclosure.period import Bools, Floats, Ints
from pipeline.disclosure.solver import Solver, Statements, alike, pinned
from pipeline.disclosure.targets import Targets, published_as_such

EXACT = 1e-6
PART = 2048  # columns that are solved at once; the time grows faster than their number
TRIES = 3  # of other parts, before all columns are solved at once
FEW = 4  # targets that a table must settle to seek many at once again


class _Part:
    """Tables that have the published figures and differ from a known one in some columns only.

    Attributes:
        targets: numbers of the targets that have a share in the columns.
    """

    def __init__(self, statements: Statements, over: Targets, table: Floats, columns: Ints) -> None:
        self._statements, self._table, self._columns = statements, table[columns], columns
        self.targets, self._over = over.among(columns)
        self._solver: Solver | None = None

    def held(self) -> tuple[Floats, Floats]:
        """Of every target the least and the most that the columns hold of it in the known table."""
        return self._over.least(self._table), self._over.most(self._table)

    def bounds(self, rows: Ints, matters: Floats) -> tuple[Floats, Floats]:
        """The least and the most that the columns hold of every target, in a table where those in
        `rows` hold much and in one where they hold little.

        Args:
            matters: of every target, how much of it is sought in a column at most.
        """
        over = self._over
        at = np.isin(over.target, rows)
        cap, direction = np.zeros_like(self._table), np.zeros_like(self._table)
        sought = np.minimum(matters[over.target[at]], over.share[at])
        np.maximum.at(cap, over.column[at], sought)
        direction[over.column[at]] = 1.0
        self._solver = self._solver or self._new_solver()
        much, little = (self._solver.farthest(cap, way) for way in (direction, -direction))
        return (
            np.minimum(over.least(much), over.least(little)),
            np.maximum(over.most(much), over.most(little)),
        )

    def _new_solver(self) -> Solver:
        members = csr_array(self._statements.members[:, self._columns])
        members = csr_array(members[np.flatnonzero(np.diff(members.indptr))])
        return Solver(
            Statements(members, members @ self._table, self._statements.most[self._columns])
        )


class _Search:
    """Bounds of targets, wider with every table that is seen.

    Attributes:
        low, high: of every target, over the tables seen so far.
    """

    def __init__(self, statements: Statements, over: Targets, wide: Floats, table: Floats) -> None:
        self._statements, self._over, self._table = statements, over, table
        self._least, self._most = over.least(table), over.most(table)
        self.low, self.high, self._wide = self._least.copy(), self._most.copy(), wide

    def stuck(self) -> Bools:
        """Targets that are not known to be wide."""
        return np.asarray(self.high - self.low < self._wide - EXACT)

    def among(self, columns: Ints) -> None:
        """See tables that differ from the known one in some columns only.

        Each target that is stuck in the end was looked at by itself: where these are all columns,
        its bounds are exact.
        """
        part = _Part(self._statements, self._over, self._table, columns)
        targets = part.targets
        least, most = part.held()
        # The other columns hold what they hold in the known table.
        least, most = self._least[targets] - least, self._most[targets] - most

        def stuck() -> Ints:
            return np.flatnonzero(self.stuck()[targets])

        def see(rows: Ints, matters: Floats) -> None:
            low, high = part.bounds(rows, matters)
            self.low[targets] = np.minimum(self.low[targets], least + low)
            self.high[targets] = np.maximum(self.high[targets], most + high)

        # A vertex of the tables has no more columns that are not zero than there are totals, so
        # it settles few targets; with no more sought of each than matters, it settles many.
        settled = FEW
        while settled >= FEW and len(rows := stuck()):
            see(rows, self._wide[targets])
            settled = len(rows) - len(stuck())
        for row in stuck():
            if self.stuck()[targets[row]]:
                see(np.array([row]), np.full(len(targets), np.inf))


def _parts(members: csr_array, rng: np.random.Generator) -> list[Ints]:
    """All columns in parts, those of the same smallest total together, totals in any order.

    Whatever a total of few columns reveals about them is in one part, and totals of many columns
    run through all parts, so that each part has tables of its own.
    """
    totals, columns = members.shape
    sizes = np.diff(members.indptr)
    rank = np.empty(totals, np.int64)
    rank[np.argsort(sizes, kind="stable")] = np.arange(totals)
    entries = members.tocoo()
    smallest = np.full(columns, totals)
    np.minimum.at(smallest, entries.coords[1], rank[entries.coords[0]])
    order = np.argsort(rng.permutation(totals + 1)[smallest], kind="stable")
    return np.array_split(order, max(1, -(-columns // PART)))


def bounds(
    statements: Statements, targets: csr_array, wide: Floats, table: Floats | None = None
) -> tuple[Floats, Floats]:
    """Between which values every target must lie, as far as it matters.

    Args:
        targets: one row a target, over the suppressed cells; 1 where a cell is in it.
        wide: a target whose bounds are known to be this far apart is not looked at further.
        table: values of the suppressed cells that should have the published figures, to start from;
            the
            solver looks for such a table where none is given, or this is none.

    Returns:
        Lower and upper bounds; exact for targets narrower than `wide`, and inner ones for others.

    Raises:
        AuditError: the figures contradict one another.
    """
    members, column = alike(statements.members)
    columns = members.shape[1]
    most = np.bincount(column, statements.most, columns).astype(np.float64)
    merged = Statements(members, statements.rest, most)
    if table is not None and statements.has(table):
        known = np.bincount(column, table, columns).astype(np.float64)
    else:
        known = Solver(merged).farthest(np.zeros(columns), np.zeros(columns))
    over = Targets.of(targets, column, statements.most, columns)
    # What arithmetic pins down, or a total reveals by itself, needs no solver.
    low, high = pinned(merged)
    settled = over.most(high) - over.least(low) < EXACT
    settled |= published_as_such(statements.members, targets)
    search = _Search(merged, over, np.where(settled, 0.0, wide), known)
    order = np.random.default_rng(0)
    tries = (_parts(members, order) for _ in range(TRIES if columns > PART else 0))
    for part in chain(chain.from_iterable(tries), [np.arange(columns)]):
        if not search.stuck().any():
            break
        search.among(part)
    return search.low, search.high


def system(
    members: csr_array, in_cells: Bools, values: Ints, totals: Ints
) -> tuple[csr_array, Floats]:
    """Members and rests over the suppressed cells.

    Args:
        members: one row a published total, over all cells.
        in_cells: cells that are published.
        values: the published cells' values (of others nothing is read).
        totals: the published totals' values.
    """
    known = members @ np.where(in_cells, values, 0)
    return csr_array(members[:, np.flatnonzero(~in_cells)]), (totals - known).astype(np.float64)
