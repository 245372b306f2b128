"""What of a period may be published a second time, beside the figures that are known already.

Whoever has both versions can subtract them, and the difference is about the people whose records
came, went or changed in between. Who those are is not known any more: of the first version there
are only its figures. So a figure is replaced only where the figures themselves prove that enough
people separate the two versions, whoever they are: their numbers of people differ by k or more.
The same must hold of everything that can be subtracted: of what is left of a figure after those
that are published of its parts. A figure whose counts are as before says nothing new and stays.
New figures have people, records and what was completed only: how many people were behind another
measure of the first version, nothing proves.

Only the company, departments and teams are published again: with courses, which share their people,
the differences could be crossed, and of those no such proof exists.

Nodes of the tree are numbered: the company 0, then the departments, then the teams.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.disclosure.margins import Margins, blocks, margins
from pipeline.disclosure.period import Bools, Ints, Period, Tally, Tree, tally
from pipeline.policy.disclosure import DisclosureRule


@dataclass(frozen=True)
class Before:
    """What was published of every node: people is 0 where nothing was."""

    people: Ints
    records: Ints
    complete: Ints


@dataclass(frozen=True)
class Corrected:
    """Nodes with new figures, and nodes whose figures stay; the others are withdrawn."""

    replaced: Bools
    kept: Bools


@dataclass(frozen=True)
class _Bounds:
    """What the first version says of some groups of people: at least and at most how many."""

    low: Ints
    high: Ints
    records: Ints
    complete: Ints


def corrected(period: Period, before: Before, rule: DisclosureRule) -> Corrected:
    """Choose what of the period's new version is published."""
    tree = period.teams
    groups, leaves = len(tree.group_named), len(tree.group)
    now, counts = _tally_of_nodes(period), _counts_of_nodes(period)
    same = (
        (before.people == now.people)
        & (before.records == now.records)
        & (before.complete == counts)
    )
    whole = _Bounds(before.people, before.people, before.records, before.complete)
    apart = _apart(now, whole, rule)
    allowed = (before.people > 0) & (same | apart)
    shut = Margins(False, ~allowed[1 : groups + 1], ~allowed[groups + 1 :])
    while True:
        found = _margins(period, shut, rule)
        if found is None:
            return Corrected(np.zeros(len(same), bool), np.zeros(len(same), bool))
        published = np.concatenate([[found.root and allowed[0]], found.groups, found.leaves])
        thin = _thin_rests(period, published, before, rule)
        if not thin.any():
            return Corrected(published & ~same, published & same)
        # A figure of which too little is left keeps its parts to itself.
        inside = published & thin[_holders(tree, published)]
        inside[0] = False
        shut.groups[inside[1 : groups + 1]] = True
        shut.leaves[inside[groups + 1 : groups + 1 + leaves]] = True


def _margins(period: Period, shut: Margins, rule: DisclosureRule) -> Margins | None:
    """What of departments and teams may be published by itself; None if not even the company."""
    everything = tally(period, np.zeros(period.cells, np.int64), 1)
    if not everything.may_be_published(rule)[0]:
        return None
    return margins(period, period.teams, period.team, rule, shut)


def _of_nodes(period: Period) -> list[tuple[Ints, int]]:
    """Of every cell the number of its node, and how many there are: company, groups, leaves."""
    tree = period.teams
    return [
        (np.zeros(period.cells, np.int64), 1),
        (tree.group[period.team], len(tree.group_named)),
        (period.team, len(tree.group)),
    ]


def _tally_of_nodes(period: Period) -> Tally:
    parts = [tally(period, node, size) for node, size in _of_nodes(period)]
    return Tally(*(np.concatenate([getattr(p, f) for p in parts]) for f in Tally.__annotations__))


def _counts_of_nodes(period: Period) -> Ints:
    """Completed records of every node."""
    complete = period.per_cell(period.complete)
    return np.concatenate(
        [np.bincount(node, complete, size).astype(np.int64) for node, size in _of_nodes(period)]
    )


def _holders(tree: Tree, published: Bools) -> Ints:
    """Of every node the published node that it lies directly in; the company if there is none."""
    groups = len(tree.group_named)
    group = tree.group + 1
    of_leaf = np.where(published[group], group, 0)
    return np.concatenate([np.zeros(groups + 1, np.int64), of_leaf]).astype(np.int64)


def _thin_rests(period: Period, published: Bools, before: Before, rule: DisclosureRule) -> Bools:
    """Published nodes of which something is left, after their published parts, that does not
    separate the versions by enough people, and is not as it was."""
    tree = period.teams
    groups, leaves = len(tree.group_named), len(tree.group)
    parts = Margins(bool(published[0]), published[1 : groups + 1], published[groups + 1 :])
    block = blocks(tree, parts)[period.team]
    # Blocks are numbered from the leaves to the company, nodes the other way round.
    node = np.concatenate([[leaves + groups], np.arange(groups) + leaves, np.arange(leaves)])
    rests = tally(period, block, leaves + groups + 1)
    now = Tally(*(getattr(rests, name)[node] for name in Tally.__annotations__))
    complete = np.bincount(block, period.per_cell(period.complete), leaves + groups + 1).astype(
        np.int64
    )[node]
    inside = published.copy()
    inside[0] = False
    holder = _holders(tree, published)[inside]

    def left(counts: Ints) -> Ints:
        return counts - np.bincount(holder, counts[inside], len(counts)).astype(np.int64)

    records = left(before.records)
    bounds = _Bounds(
        np.maximum(left(before.people), 0),
        np.minimum(before.people, records),
        records,
        left(before.complete),
    )
    as_before = (now.records == records) & (complete == bounds.complete)
    has_parts = np.bincount(holder, minlength=len(published)) > 0
    close = ~as_before & ~_apart(now, bounds, rule)
    return np.asarray(published & has_parts & close, bool)


def _apart(now: Tally, before: _Bounds, rule: DisclosureRule) -> Bools:
    """Is it certain that k people or more are in one version and not in the other, and that what
    can be worked out about them is a figure that might be published?"""
    k, least = rule.k, rule.minimum_not_adverse
    came = now.people - before.high >= k
    went = before.low - now.people >= k
    # How many of those who came, or went, have something complete, at least.
    some_came = now.completers - np.minimum(before.high, before.complete) >= least
    had = before.low - (before.records - before.complete)
    some_went = had - now.completers >= least
    # Nobody has more of the change than all that they have in one of the versions.
    share = rule.dominance * np.abs(now.records - before.records)
    most_before = before.records - before.low + 1
    grown = came & some_came & (now.top <= share)
    shrunk = went & some_went & (np.maximum(now.top, most_before) <= share)
    return np.asarray(grown | shrunk, bool)
