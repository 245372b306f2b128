"""A delivered file as readers open it: plain UTF-8 text or Parquet, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

USUAL: dict[str, object] = {"encoding": "utf-8", "delimiter": ",", "header_line": 1}


class Kind(StrEnum):
    """How the rows of a table are written."""

    DELIMITED = "delimited"
    CELLS = "cells"  # of a workbook, as Parquet of texts
    LINES = "lines"  # a JSON object a line
    ARRAY = "array"  # one JSON array of objects


@dataclass(frozen=True)
class Table:
    """How the rows of a table are written, as declared or found out.

    Attributes:
        columns: their names, as the header spells them.
        unnamed: how many empty columns without a name stand behind them.
        skip: lines above the header.
        nulls: texts that stand where there is no value, in lower case.
    """

    columns: tuple[str, ...]
    kind: Kind = Kind.DELIMITED
    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    skip: int = 0
    unnamed: int = 0
    nulls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Readable:
    """A delivered file, or a file inside a delivered archive, as a reader can open it.

    Attributes:
        path: plain UTF-8 text, or Parquet; a copy in the work folder unless it was delivered so.
        name: as messages show it.
        table: None for what is no table of a source's own columns.
        used: how it was written, for the run's metadata; no value and no name.
    """

    path: Path
    name: str
    table: Table | None = None
    used: dict[str, object] = field(default_factory=dict)

    @property
    def written(self) -> str:
        """How it is written, in words, as far as that is not the usual."""
        found = {key: value for key, value in self.used.items() if USUAL.get(key) != value}
        shown = {**found, "delimiter": repr(found["delimiter"])} if "delimiter" in found else found
        return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in shown.items())
