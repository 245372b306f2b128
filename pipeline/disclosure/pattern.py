"""What is published of one period: totals first, then cells, until nothing can be worked out.

Then, of what is published, each measure that is about some of the records only: by the same rules,
over the people who have such records. A figure can be published without one of its measures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipeline.disclosure.cross import Cross, published_cells
from pipeline.disclosure.margins import Margins, blocks, margins
from pipeline.disclosure.optimum import optimum
from pipeline.disclosure.period import MEASURES, Bools, Ints, Period, Tree
from pipeline.policy.disclosure import DisclosureRule


@dataclass(frozen=True)
class Pattern:
    """What of one period is published; `cells` over the period's (team, course) cells."""

    teams: Margins
    courses: Margins
    cells: Bools


def _none(tree: Tree) -> Margins:
    """No total at all; also: nothing that has to give way."""
    return Margins(False, np.zeros(len(tree.group_named), bool), np.zeros(len(tree.group), bool))


def _nothing(period: Period) -> Pattern:
    return Pattern(_none(period.teams), _none(period.courses), np.zeros(period.cells, bool))


def cross_of(
    period: Period,
    teams: Margins,
    courses: Margins,
    rule: DisclosureRule,
    within: Bools | None = None,
) -> Cross:
    """The graph of cells between the blocks that the published totals make."""
    team_block, course_block = blocks(period.teams, teams), blocks(period.courses, courses)
    return Cross.of(period, team_block, course_block, rule, within)


def protect_all(period: Period, rule: DisclosureRule, *, exact: bool = True) -> dict[str, Pattern]:
    """Choose what is published of one period: `figures`, and of these each of MEASURES.

    Args:
        exact: as `protect` has it, of the figures.
    """
    found = {"figures": protect(period, rule, exact=exact)}
    for measure in MEASURES:
        part, cells = period.about(measure)
        within = found["figures"]
        if measure == "scores":
            # Score bands are published for courses, categories and the company only: with those of
            # teams they could be crossed.
            within = replace(
                within,
                teams=replace(_none(period.teams), root=within.teams.root),
                cells=np.zeros(period.cells, bool),
            )
        within = replace(within, cells=within.cells[cells])
        chosen = protect(part, rule, exact=False, within=within)
        of_all = np.zeros(period.cells, bool)
        of_all[cells] = chosen.cells
        found[measure] = replace(chosen, cells=of_all)
    return found


def _shut(tree: Tree, within: Margins | None) -> Margins:
    """What must not be published, to begin with."""
    if within is None:
        return _none(tree)
    return Margins(not within.root, ~within.groups, ~within.leaves)


def protect(
    period: Period, rule: DisclosureRule, *, exact: bool = True, within: Pattern | None = None
) -> Pattern:
    """Choose what is published of one period.

    Totals are kept before cells. Where no cell is left to mend thin cuts, the total of the fewest
    records beside each gives way, and everything is chosen again; a period of which not even the
    company's total is safe is not published.

    Args:
        exact: look for the cheapest cells to suppress where the period is small enough.
        within: what else may be published; everything if None.
    """
    shut_teams = _shut(period.teams, within.teams if within else None)
    shut_courses = _shut(period.courses, within.courses if within else None)
    while True:
        teams = margins(period, period.teams, period.team, rule, shut_teams)
        courses = margins(period, period.courses, period.course, rule, shut_courses)
        if not (teams.root and courses.root):
            return _nothing(period)
        cross = cross_of(period, teams, courses, rule, within.cells if within else None)
        cells, broken = published_cells(cross)
        if not broken:
            if exact and (cells != cross.may_be_published).any():
                best = optimum(cross)
                cells = cells if best is None else best
            return Pattern(teams, courses, cells)
        cheapest: list[_Way] = []
        for side in broken:
            across = np.flatnonzero(~cells & (side[cross.tails] != side[cross.heads]))
            ways = _ways(
                period.teams,
                teams,
                shut_teams,
                period.team[across],
                period.team,
                side[cross.tails[across]],
            )
            ways += _ways(
                period.courses,
                courses,
                shut_courses,
                period.course[across],
                period.course,
                side[cross.heads[across]],
            )
            cheapest += sorted(ways, key=_Way.order)[:1]
        if not cheapest:
            if shut_teams.leaves.all() and shut_courses.leaves.all():
                return _nothing(period)
            shut_teams.leaves[:] = shut_teams.groups[:] = True
            shut_courses.leaves[:] = shut_courses.groups[:] = True
            continue
        # Sides have no point in common, so a total on a side that gives way for it mends no other,
        # but for what is left of a group, which takes it in: that is looked at in the next round.
        own = [way for way in cheapest if way.own]
        for way in own or [min(cheapest, key=_Way.order)]:
            way.shut.leaves[way.leaf] = True
            if way.group >= 0:
                way.shut.groups[way.group] = True


@dataclass(frozen=True)
class _Way:
    """A total that can give way: a leaf's, with its group's if `group` is one; `own` if it is a
    leaf's on the cut's side."""

    cost: int
    leaf: int
    group: int
    shut: Margins
    own: bool = False

    def order(self) -> tuple[int, int, int]:
        return self.cost, self.leaf, self.group


def _ways(
    tree: Tree, published: Margins, shut: Margins, ends: Ints, of_cell: Ints, on_side: Bools
) -> list[_Way]:
    """How the blocks of some leaves can take in more: a published leaf by losing its own total,
    what is left of a group by its smallest published leaf, what is left of the whole by a leaf of
    an unpublished group or by a group and its smallest leaf."""
    size = np.bincount(of_cell, minlength=len(tree.group))

    def smallest(leaves: Bools, group: int = -1) -> list[_Way]:
        found = np.flatnonzero(leaves)
        if not len(found):
            return []
        leaf = int(found[np.argmin(size[found])])
        whole = tree.group == group
        return [_Way(int(size[whole].sum() if group >= 0 else size[leaf]), leaf, group, shut)]

    ways: list[_Way] = []
    for end in np.unique(ends):
        group = int(tree.group[end])
        alone = np.arange(len(tree.group)) == end
        if published.leaves[end]:
            own = bool(on_side[ends == end].any())
            ways += [replace(way, own=own) for way in smallest(alone)]
        elif published.groups[group]:
            inside = published.leaves & (tree.group == group)
            ways += smallest(inside) or smallest(alone, group)
        else:
            loose = published.leaves & ~published.groups[tree.group]
            ways += smallest(loose) or [
                way
                for other in np.flatnonzero(published.groups)
                for way in smallest(tree.group == other, int(other))
            ]
    return ways
