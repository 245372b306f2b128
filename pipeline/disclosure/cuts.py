"""Can a figure on fewer than k people be worked out of totals? The cut test.

Take the published totals of teams (and what is left of departments) as points on one side, those of
courses on the other, and every cell that is not published as an edge between its team's point and
its course's. What can be worked out by adding and subtracting totals is exactly what lies across
the cuts of this graph (the rows of its incidence matrix span the cut space; Gusfield, A graph
theoretic approach to statistical data security, SIAM J. Comput. 17, 1988). So no figure on fewer
than k people can be worked out, by whatever combination and by somebody who knows who took which
course, if every cut has k people.

A person counts once in a cut however many edges they are on, so each person's weight is shared
out among their edges: the sum of the weights across a cut is at most the number of its people,
and the test errs to the safe side.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.disclosure.period import Bools, Floats, Ints

SLACK = 1e-6  # of sums of fractions


def components(points: int, tails: Ints, heads: Ints) -> Ints:
    """Number of the component that each point is in."""
    graph = coo_array((np.ones(len(tails), np.int8), (tails, heads)), shape=(points, points))
    label: Ints = connected_components(graph, directed=False)[1].astype(np.int64)
    return label


def neighbours(points: int, tails: Ints, heads: Ints, edges: Ints) -> list[list[tuple[int, int]]]:
    """Of every point, its neighbours over these edges, each with its edge; in the edges' order."""
    near: list[list[tuple[int, int]]] = [[] for _ in range(points)]
    ends = zip(edges.tolist(), tails[edges].tolist(), heads[edges].tolist(), strict=True)
    for edge, tail, head in ends:
        near[tail].append((head, edge))
        near[head].append((tail, edge))
    return near


def _merged(tails: Ints, heads: Ints, weights: Floats, points: int) -> tuple[Ints, Ints, Floats]:
    """Edges without loops, parallel ones summed."""
    apart = tails != heads
    low, high = np.minimum(tails, heads)[apart], np.maximum(tails, heads)[apart]
    pairs, at = np.unique(low * points + high, return_inverse=True)
    summed = np.bincount(at, weights[apart], len(pairs)).astype(np.float64)
    return pairs // points, pairs % points, summed


def thin_cuts(points: int, tails: Ints, heads: Ints, weights: Floats, k: float) -> list[Bools]:
    """Sides of cuts within a component whose weight is below k; none if every cut has k.

    Exact for the given weights: contracts whatever is connected by k, after Padberg & Rinaldi
    (1990) and Nagamochi & Ibaraki (1992), and looks at the points that are left.

    Returns:
        Masks over the points; several if several single points stick out, else at most one.
    """
    label = np.arange(points)
    count = points
    limit = k - SLACK
    while True:
        t, h, w = _merged(label[tails], label[heads], weights, count)
        if not len(t):
            return []
        heavy = w >= limit
        if heavy.any():
            inner = components(count, t[heavy], h[heavy])
            label, count = inner[label], int(inner.max()) + 1
            continue
        degree = (np.bincount(t, w, count) + np.bincount(h, w, count)).astype(np.float64)
        thin = np.flatnonzero((degree < limit) & np.isin(np.arange(count), np.concatenate([t, h])))
        if len(thin):
            return [label == one for one in thin]
        # Every single point has k; what a point shares mostly with one other goes with it.
        close = _half_of_a_point(count, t, h, w, degree)
        if not close.any():
            close = _connected_enough(count, t, h, w, limit)
        inner = components(count, t[close], h[close])
        label, count = inner[label], int(inner.max()) + 1


def _half_of_a_point(points: int, t: Ints, h: Ints, w: Floats, degree: Floats) -> Bools:
    """The heaviest edge of every point, where it is at least half of all that the point has."""
    ends, edges = np.concatenate([t, h]), np.tile(np.arange(len(t)), 2)
    order = np.lexsort((edges, -w[edges], ends))
    _, first = np.unique(ends[order], return_index=True)
    best = edges[order][first]
    chosen = np.zeros(len(t), bool)
    chosen[best[2 * w[best] >= degree[ends[order][first]]]] = True
    return chosen


def _connected_enough(points: int, t: Ints, h: Ints, w: Floats, limit: float) -> Bools:
    """Edges whose ends no cut below the limit parts, by a maximum adjacency order; at least one
    per component, since its last two points are parted by no less than the last one's degree."""
    near = neighbours(points, t, h, np.arange(len(t)))
    reach = np.zeros(points)
    done = np.zeros(points, bool)
    enough = np.zeros(len(t), bool)
    queue: list[tuple[float, int]] = [(0.0, point) for point in range(points) if near[point]]
    heapq.heapify(queue)
    while queue:
        weight, point = heapq.heappop(queue)
        if done[point] or -weight < reach[point]:
            continue
        done[point] = True
        for other, edge in near[point]:
            if not done[other]:
                reach[other] += w[edge]
                enough[edge] = reach[other] >= limit
                heapq.heappush(queue, (-reach[other], other))
    return enough


def shared_weights(edge: Ints, person: Ints, edges: int, solid: Bools) -> Floats:
    """Weights of edges for the cut test: infinite where `solid`, else the people on the edge,
    each shared out among all their edges that are not.

    Args:
        edge, person: one entry an (edge, person), each but once; both of equal length.
    """
    loose = ~solid[edge]
    who = person[loose]
    share = 1.0 / np.bincount(who)[who]
    weights = np.bincount(edge[loose], share, edges)
    return np.where(solid, np.inf, weights)


def cycles(points: int, tails: Ints, heads: Ints, rising: Bools, falling: Bools) -> Bools:
    """Edges whose value can change while all totals stay: those on a cycle along which every edge
    can be raised and lowered in turn (Gusfield 1988, after Boesch & Tindell 1980).

    Args:
        tails, heads: team's point, course's point.
        rising, falling: may the edge's value grow, shrink?
    """
    forth, back = np.flatnonzero(rising), np.flatnonzero(falling)
    arcs = coo_array(
        (
            np.ones(len(forth) + len(back), np.int8),
            (
                np.concatenate([tails[forth], heads[back]]),
                np.concatenate([heads[forth], tails[back]]),
            ),
        ),
        shape=(points, points),
    )
    strong = connected_components(arcs, directed=True, connection="strong")[1]
    free: Bools = (rising | falling) & (strong[tails] == strong[heads])
    for bridge in bridges(points, tails, heads, free):
        free[bridge] = False
    return free


def bridges(points: int, tails: Ints, heads: Ints, among: Bools) -> Iterator[int]:
    """Edges, among those marked, whose loss parts their component (Tarjan 1974)."""
    # Of parallel edges none is a bridge, and one is enough to walk along.
    marked = np.flatnonzero(among)
    _, first, times = np.unique(
        tails[marked] * points + heads[marked], return_index=True, return_counts=True
    )
    single = {int(edge) for edge in marked[first[times == 1]]}
    near = neighbours(points, tails, heads, marked[first])
    found = [-1] * points
    low = [0] * points
    clock = 0
    for start in range(points):
        if found[start] >= 0 or not near[start]:
            continue
        found[start] = low[start] = clock
        clock += 1
        path = [(start, -1, iter(near[start]))]
        while path:
            point, by, ways = path[-1]
            for other, edge in ways:
                if edge == by:
                    continue
                if found[other] < 0:
                    found[other] = low[other] = clock
                    clock += 1
                    path.append((other, edge, iter(near[other])))
                    break
                low[point] = min(low[point], found[other])
            else:
                path.pop()
                if path:
                    above = path[-1][0]
                    low[above] = min(low[above], low[point])
                    if low[point] > found[above] and by in single:
                        yield by
