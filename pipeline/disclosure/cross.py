"""Which (team, course) cells are published, given the published totals: complementary suppression.

A cell that may not be published is suppressed, and with it the cheapest others, so that every cut
of the suppressed cells has k people (pipeline/disclosure/cuts.py). Any published cell has k people
by itself, so suppressing one repairs every cut that it lies across: what is looked for is the
cheapest set that joins what thin cuts part. Cost: the records suppressed.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.disclosure.cuts import cycles, neighbours, shared_weights, thin_cuts
from pipeline.disclosure.period import Bools, Floats, Ints, Period, tally
from pipeline.policy.disclosure import DisclosureRule


@dataclass(frozen=True)
class Cross:
    """The graph of one period: every cell is an edge from its team's block to its course's."""

    period: Period
    points: int
    tails: Ints
    heads: Ints
    people: Ints
    cost: Ints
    harmless: Bools  # as a figure, published or worked out
    may_be_published: Bools  # harmless, and of a team with a name
    rule: DisclosureRule

    @classmethod
    def of(
        cls,
        period: Period,
        team_block: Ints,
        course_block: Ints,
        rule: DisclosureRule,
        within: Bools | None = None,
    ) -> Cross:
        """Number the blocks that cells lie in: teams' first, then courses'.

        Args:
            within: cells that may be published as far as others are concerned; all if None.
        """
        tails = np.unique(team_block[period.team], return_inverse=True)[1].astype(np.int64)
        heads = np.unique(course_block[period.course], return_inverse=True)[1].astype(np.int64)
        cells = tally(period, np.arange(period.cells), period.cells)
        points = int(tails.max(initial=-1)) + 1
        fine = cells.may_be_published(rule)
        return cls(
            period,
            points + int(heads.max(initial=-1)) + 1,
            tails,
            heads + points,
            cells.people,
            cells.records,
            fine,
            fine & period.teams.leaf_named[period.team] & (True if within is None else within),
            rule,
        )

    @cached_property
    def harmless_near(self) -> list[list[tuple[int, int]]]:
        """Of every point, its neighbours over cells that are harmless, and the cells."""
        return neighbours(self.points, self.tails, self.heads, np.flatnonzero(self.harmless))

    def weights(self, unknown: Bools) -> Floats:
        """Weights of the unknown cells for the cut test (others: 0)."""
        period = self.period
        mine = unknown[period.cell]
        solid = unknown & self.harmless
        weights = shared_weights(period.cell[mine], period.person[mine], period.cells, solid)
        # A cell of k people that may not be published for another reason must not stand alone.
        alone = unknown & ~self.harmless & (self.people >= self.rule.k)
        return np.where(alone, np.minimum(weights, self.rule.k / 2), weights)

    def thin(self, unknown: Bools) -> list[Bools]:
        """Thin cuts of the unknown cells."""
        edges = np.flatnonzero(unknown)
        weights = self.weights(unknown)
        return thin_cuts(
            self.points, self.tails[edges], self.heads[edges], weights[edges], self.rule.k
        )

    def unsafe(self, published: Bools) -> list[Bools]:
        """Thin cuts of what the totals leave open: of the cells themselves, and of what was
        completed, after what its bounds (zero and all) give away."""
        found = self.thin(~published) or self.bad_rests(~published)
        if found:
            return found
        pinned, adverse = self.given_away(published)
        return self.thin(~published & ~pinned) or [
            np.isin(np.arange(self.points), [self.tails[at]])
            for at in np.flatnonzero(pinned & adverse)
        ]

    def bad_rests(self, unknown: Bools) -> list[Bools]:
        """Totals whose rest, less the cells published of it, may not be published."""
        found = []
        for ends in (self.tails, self.heads):
            rests = tally(self.period, np.where(unknown, ends, -1), self.points)
            bad = (rests.people > 0) & ~rests.may_be_published(self.rule)
            found += [np.arange(self.points) == at for at in np.flatnonzero(bad)]
        return found

    def given_away(self, published: Bools) -> tuple[Bools, Bools]:
        """Suppressed cells whose count of completed records is pinned to zero or to all, and cells
        of which that would reveal something adverse."""
        period = self.period
        value, most = period.per_cell(period.complete), period.per_cell(period.records)
        edges = np.flatnonzero(~published)
        free = cycles(
            self.points,
            self.tails[edges],
            self.heads[edges],
            (value < most)[edges],
            (value > 0)[edges],
        )
        pinned = np.zeros(period.cells, bool)
        pinned[edges[~free]] = True
        # A bridge is left to the cut test; what is known for its bound is known.
        return pinned & ((value == 0) | (value == most)), (value == 0) & (most > 0)


def published_cells(cross: Cross) -> tuple[Bools, list[Bools]]:
    """Choose the cells that are published.

    Returns:
        A mask over the cells, and the thin cuts that suppressing cells alone cannot repair.
    """
    published = cross.may_be_published.copy()
    added: list[int] = []
    while True:
        broken = cross.unsafe(published)
        if not broken:
            break
        suppressed: list[int] = []
        for side in broken:
            # A side that a path of this round has come to is looked at again in the next one.
            if (side[cross.tails[suppressed]] | side[cross.heads[suppressed]]).any():
                continue
            path = _cheapest_path(cross, published, side)
            if path is None:
                if not suppressed:
                    return published, broken
                break
            published[path] = False
            suppressed += path
        added += suppressed
    for at in sorted(added, key=lambda one: -cross.cost[one]):
        if _needed_beside(cross, published, at):
            continue
        published[at] = True
        if cross.unsafe(published):
            published[at] = False
    return published, []


def _needed_beside(cross: Cross, published: Bools, at: int) -> bool:
    """Would the suppressed cells next to a suppressed cell, at one of its ends, have fewer than k
    people without it? Seldom the only reason to suppress it, and often enough to spare the cut
    test."""
    for ends in (cross.tails, cross.heads):
        beside = ~published & (ends == ends[at])
        beside[at] = False
        if beside.any() and cross.people[beside].sum() < cross.rule.k:
            return True
    return False


def _cheapest_path(cross: Cross, published: Bools, side: Bools) -> list[int] | None:
    """Published cells of the least cost whose loss joins the cut's side to the rest of its
    component: a way that may lead through suppressed cells elsewhere for nothing."""
    unknown = np.flatnonzero(~published)
    rest = np.zeros(cross.points, bool)
    # Points that the suppressed cells reach from the side, without the side itself.
    touching = side[cross.tails[unknown]] | side[cross.heads[unknown]]
    rest[cross.tails[unknown[touching]]] = True
    rest[cross.heads[unknown[touching]]] = True
    rest &= ~side
    near = cross.harmless_near
    best = np.full(cross.points, np.inf)
    came: dict[int, tuple[int, int]] = {}
    queue = [(0.0, int(point)) for point in np.flatnonzero(side)]
    best[side] = 0.0
    while queue:
        cost, point = heapq.heappop(queue)
        if cost > best[point]:
            continue
        if rest[point]:
            path = []
            while point in came:
                point, edge = came[point]
                if published[edge]:
                    path.append(edge)
            return path or None
        for other, edge in near[point]:
            total = cost + (float(cross.cost[edge]) if published[edge] else 0.0)
            if total < best[other]:
                best[other] = total
                came[other] = (point, edge)
                heapq.heappush(queue, (total, other))
    return None
