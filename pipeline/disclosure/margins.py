"""Which totals of one dimension are published: nothing that can be subtracted may cover too few.

In a tree, all that can be worked out by adding and subtracting is what is left of a published node
after its published descendants: its rest. So every rest must itself be a figure that may be
    published. A rest that may not be published takes in a sibling: complementary suppression
    (Willenborg & de Waal, Elements of Statistical Disclosure Control, 2001, ch. 4). Every published
    sibling covers k people, so the cheapest one that mends the rest is enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.disclosure.period import Bools, Ints, Period, Tally, Tree, tally
from pipeline.policy.disclosure import DisclosureRule


@dataclass(frozen=True)
class Margins:
    """What of one dimension is published: root, groups, leaves."""

    root: bool
    groups: Bools
    leaves: Bools


class _Rests:
    """The cells that are left of every published node after its published descendants."""

    def __init__(self, period: Period, tree: Tree, leaf: Ints, rule: DisclosureRule) -> None:
        self.period, self.tree, self.leaf, self.rule = period, tree, leaf, rule
        self.of_leaf = tally(period, leaf, len(tree.group))
        self.of_group = tally(period, tree.group[leaf], len(tree.group_named))
        self.leaves = tree.leaf_named & self.of_leaf.may_be_published(rule)
        self.groups = tree.group_named & self.of_group.may_be_published(rule)

    def block(self) -> Ints:
        """Of every leaf: itself if published, else its group if published, else the root."""
        return blocks(self.tree, Margins(True, self.groups, self.leaves))

    def bad(self) -> tuple[Ints, Tally]:
        """Blocks whose rest may not be published: groups, or the root as number 0."""
        leaves, groups = len(self.tree.group), len(self.tree.group_named)
        rests = tally(self.period, self.block()[self.leaf], leaves + groups + 1)
        broken = (rests.people > 0) & ~rests.may_be_published(self.rule)
        return np.flatnonzero(broken[leaves:]), rests


def blocks(tree: Tree, published: Margins) -> Ints:
    """Of every leaf the block it counts in: its own number if it is published, else that of its
    group (behind the leaves), else that of the root (behind the groups)."""
    leaves, groups = len(tree.group), len(tree.group_named)
    rest = np.where(published.groups[tree.group], leaves + tree.group, leaves + groups)
    return np.where(published.leaves, np.arange(leaves), rest).astype(np.int64)


def margins(
    period: Period,
    tree: Tree,
    leaf: Ints,
    rule: DisclosureRule,
    shut: Margins,
) -> Margins:
    """Choose what of one dimension is published.

    Args:
        leaf: each cell's leaf.
        shut: groups and leaves that must not be published for another reason.
    """
    rests = _Rests(period, tree, leaf, rule)
    everything = tally(period, np.zeros(period.cells, np.int64), 1)
    if shut.root or not everything.may_be_published(rule)[0]:
        return Margins(False, np.zeros_like(rests.groups), np.zeros_like(rests.leaves))
    rests.leaves &= ~shut.leaves
    rests.groups &= ~shut.groups
    groups = len(tree.group_named)
    while True:
        broken, _ = rests.bad()
        if not len(broken):
            return Margins(True, rests.groups, rests.leaves)
        for at in broken:
            _mend(rests, None if at == groups else int(at))


def _mend(rests: _Rests, group: int | None) -> None:
    """Give one rest another leaf: the one of the fewest records that mends it, else of the fewest.
    A group's rest with no leaf left is the whole group; the root's takes in a group."""
    tree = rests.tree
    inside = tree.group == group if group is not None else ~rests.groups[tree.group]
    open_leaves = np.flatnonzero(inside & rests.leaves)
    open_leaves = open_leaves[np.argsort(rests.of_leaf.records[open_leaves], kind="stable")]
    if not len(open_leaves):
        if group is not None:
            rests.groups[group] = False
            return
        candidates = np.flatnonzero(rests.groups)
        if len(candidates):
            cheapest = candidates[np.argmin(rests.of_group.records[candidates])]
            rests.groups[cheapest] = False
        else:
            rests.leaves[:] = False
        return
    closed = inside & ~rests.leaves
    for one in open_leaves:
        trial = np.full(len(tree.group), -1, np.int64)
        trial[closed] = 0
        trial[one] = 0
        merged = tally(rests.period, trial[rests.leaf], 1)
        if merged.may_be_published(rests.rule)[0]:
            rests.leaves[one] = False
            return
    rests.leaves[open_leaves[0]] = False
