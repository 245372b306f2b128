"""Which counts of a rehearsal are not shown, so that no number under k can be read or worked out.

The counts of a table add up to its total, which is shown as well. Whatever is under k is hidden;
and where one is hidden alone, or those hidden are together under k, the next smallest one with
them, in all tables, so that no subtraction gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Counts = Mapping[str, int]  # what is counted, to how many of the total


def hidden(tables: Iterable[Counts], k: int, few: Iterable[str] = ()) -> frozenset[str]:
    """The names of the counts that no table shows.

    Args:
        tables: each adds up to a total that is known.
        few: names of counts that are about fewer than k people, however many they are.
    """
    every = list(tables)
    found = set(few) | {name for counts in every for name, n in counts.items() if 0 < n < k}
    while more := {name for counts in every if (name := _next(counts, found, k)) is not None}:
        found |= more
    return frozenset(found)


def _next(counts: Counts, found: set[str], k: int) -> str | None:
    """The smallest count that has to be hidden too; None if there is none, or nothing left."""
    unknown = [n for name, n in counts.items() if name in found and n]
    left = sorted((n, name) for name, n in counts.items() if name not in found and n)
    exposed = unknown and (len(unknown) == 1 or sum(unknown) < k)
    return left[0][1] if exposed and left else None


def total(counts: Counts, names: frozenset[str], k: int) -> int | None:
    """What the counts add up to; None if that would show one that is hidden."""
    unknown = [n for name, n in counts.items() if name in names and n]
    exposed = unknown and (len(unknown) == 1 or sum(unknown) < k)
    return None if exposed else sum(counts.values())
