"""What else of a published period goes when some of its figures do.

A course can become sensitive, and policy can ask for more people, after figures were published. To
leave out just these figures would give them back: a total less what is left of its parts. Of what
was published nothing is known but the figures, so what is left of a total may consist of nothing
else. So beside what must go, another part of every such total goes, which itself may be published;
and where there is none, the total.

Cells of teams and courses can be combined in more ways, so of an affected period all of them go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

Name = tuple[object, ...]
COMPANY: Name = ()


@dataclass(frozen=True)
class Node:
    """One figure of a dimension: the whole company has no name, a group one part, a leaf two."""

    people: int
    records: int


Nodes = Mapping[Name, Node]


def also_withdrawn(nodes: Nodes, bad: Collection[Name], *, raised: bool) -> set[Name]:
    """Which figures of one dimension go, with those that must.

    Args:
        nodes: all figures of the dimension, with the company's.
        bad: those that must go.
        raised: k was raised since, so that what was left of a total before may be too small, too.
    """
    found = _Withdrawn(nodes, set(bad), set(bad), raised)
    for group in [name for name in nodes if len(name) == 1]:
        found.mend(group)
    found.mend(COMPANY)
    return found.gone


@dataclass
class _Withdrawn:
    """What goes so far; `worst` is what must not be seen, or is all that a figure is about."""

    nodes: Nodes
    gone: set[Name]
    worst: set[Name]
    raised: bool

    @cached_property
    def below(self) -> dict[Name, list[Name]]:
        """Of every group, published or not, its leaves; of the company, the groups."""
        found: dict[Name, list[Name]] = {}
        for name in self.nodes:
            if name != COMPANY:
                found.setdefault(name[:-1], []).append(name)
        return found

    def inside(self, total: Name) -> list[Name]:
        """Figures that lie in a total, and in no published one below it."""
        direct = self.below.get(total, [])
        if total != COMPANY:
            return direct
        loose = [g for g in self.below if g != COMPANY and (g in self.gone or g not in self.nodes)]
        return [*direct, *(leaf for group in loose for leaf in self.below[group])]

    def whole(self, name: Name) -> bool:
        """Is nothing published that lies in it?"""
        return all(leaf in self.gone for leaf in self.below.get(name, []))

    def mend(self, total: Name) -> None:
        """Let further parts of a total go until what is left of it is more than what must not be
        seen; the total, if none is left."""
        while total in self.nodes and total not in self.gone:
            inside = self.inside(total)
            lost = [name for name in inside if name in self.gone]
            parts = [name for name in inside if name not in self.gone]
            left = self.nodes[total].records - sum(self.nodes[name].records for name in parts)
            hidden = any(name not in self.worst and self.whole(name) for name in lost)
            if left <= 0 or hidden or not (lost or (self.raised and inside)):
                return
            if parts:
                alone = [name for name in parts if self.whole(name)] or parts
                self.gone.add(min(alone, key=lambda name: (self.nodes[name].records, str(name))))
            else:
                self.gone.add(total)
                self.worst.add(total)


def only_of(nodes: Nodes, records: Mapping[Name, int]) -> set[Name]:
    """Figures that are about nothing but the given records of theirs."""
    return {name for name, node in nodes.items() if 0 < node.records <= records.get(name, 0)}
