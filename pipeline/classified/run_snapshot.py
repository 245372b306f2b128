"""What the classified store was made from, as of when, and until when it may be published.

Both moments are fixed once per night, so that every later step draws the same line between what is
within its window and what is not, even when the night crosses midnight.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.context import Ground
from pipeline.policy.base import PolicyError
from pipeline.policy.windows import published_until
from pipeline.published.gate import digest
from pipeline.storage.layout import Layout, write_settled

NAME = "basis.json"


@dataclass(frozen=True)
class Basis:
    """`drops`: date to the hash of what was taken in; the others are aware instants.

    What falls due by `until` is not published: until then, a deletion touches no released table.
    """

    as_of: dt.datetime
    until: dt.datetime
    drops: dict[str, str]

    def text(self) -> str:
        """As it is stored."""
        moments = {"as_of": self.as_of.isoformat(), "until": self.until.isoformat()}
        return json.dumps({**moments, "drops": self.drops}, indent=1)


def drops(layout: Layout) -> dict[str, str]:
    """The drops that the canonical store holds now, each with the hash of its record."""
    return {path.parent.name: digest(path) for path in sorted(layout.canonical.glob("*/drop.json"))}


def write(ground: Ground, folder: Path, as_of: dt.datetime) -> None:
    """Leave the basis beside the classified rows that are being built in `folder`."""
    made = Basis(as_of, published_until(ground.rules, as_of), drops(ground.layout))
    (folder / NAME).write_text(made.text(), "utf-8")


def outdate(layout: Layout) -> None:
    """The drops were exchanged under the classified rows, though not their dates: a deletion must
    not take these rows for its index before a night has made them anew."""
    if (layout.classified / NAME).exists():
        write_settled(layout.classified / NAME, replace(read(layout), drops={}).text())


def read(layout: Layout) -> Basis:
    """The basis of the classified store.

    Raises:
        PolicyError: nothing is classified yet.
    """
    path = layout.classified / NAME
    if not path.exists():
        raise PolicyError("nothing is classified yet; run a night first")
    told = json.loads(path.read_text("utf-8"))
    as_of = dt.datetime.fromisoformat(told["as_of"])
    # Nights before there was an `until` published up to their own moment.
    return Basis(as_of, dt.datetime.fromisoformat(told.get("until", told["as_of"])), told["drops"])
