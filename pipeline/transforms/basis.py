"""What the classified store was made from, and as of when.

The moment is fixed once per night, so that every later step draws the same line between what is
within its window and what is past it, even when the night crosses midnight.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path

from pipeline.gate import digest
from pipeline.layout import Layout
from pipeline.policy.base import PolicyError

NAME = "basis.json"


@dataclass(frozen=True)
class Basis:
    """`drops`: date to the hash of what was taken in; `as_of`: an aware instant."""

    as_of: dt.datetime
    drops: dict[str, str]

    def text(self) -> str:
        """As it is stored."""
        return json.dumps({"as_of": self.as_of.isoformat(), "drops": self.drops}, indent=1)


def drops(layout: Layout) -> dict[str, str]:
    """The drops that the canonical store holds now, each with the hash of its record."""
    return {path.parent.name: digest(path) for path in sorted(layout.canonical.glob("*/drop.json"))}


def write(layout: Layout, folder: Path, as_of: dt.datetime) -> None:
    """Leave the basis beside the classified rows that are being built in `folder`."""
    (folder / NAME).write_text(Basis(as_of, drops(layout)).text(), "utf-8")


def read(layout: Layout) -> Basis:
    """The basis of the classified store.

    Raises:
        PolicyError: nothing is classified yet.
    """
    path = layout.classified / NAME
    if not path.exists():
        raise PolicyError("nothing is classified yet; run a night first")
    told = json.loads(path.read_text("utf-8"))
    return Basis(dt.datetime.fromisoformat(told["as_of"]), told["drops"])
