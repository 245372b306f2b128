"""Is the first line of a table a header, or a row? Asked before any name in it is shown, since the
first line of a file without a header holds values.

Names differ from what stands below them. A cell of the first line is a value if it is an address,
or stands in its own column once more, or has digits in the same places as a cell below it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import zip_longest

ADDRESS = re.compile(r"[^\s@:/+]+@[\w-]+(\.[\w-]+)+")
ROWS = 20  # that the first line is compared with


def values_in(first: Sequence[str], below: Sequence[Sequence[str]]) -> list[int]:
    """Columns, from 1, in which the first line has a value; none if it is a header.

    Args:
        below: some of the next lines' cells.
    """
    columns = zip_longest(*below[:ROWS], fillvalue="")
    cells = zip_longest(first, columns, fillvalue="")
    return [
        number
        for number, (top, under) in enumerate(cells, 1)
        if top.strip() and _is_value(top.strip(), {cell.strip() for cell in under} - {""})
    ]


def _is_value(top: str, under: Collection[str]) -> bool:
    if ADDRESS.fullmatch(top) or top in under:
        return True
    digits = sum(map(str.isdigit, top))
    like_a_value = digits >= 3 or (digits > 0 and not any(map(str.isalpha, top)))
    return like_a_value and (not under or _shape(top) in map(_shape, under))


def _shape(cell: str) -> str:
    """A cell with one letter for every word and one digit for every number."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", cell))
