"""What the classified store was made from, as of when, and until when it may be published.

Both moments are fixed once per night, so that every later step draws the same line between what is
within its window and what is not, even when the night crosses midnight.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.context import Context
from pipeline.errors import Unfinished
from pipeline.policy.windows import published_until
from pipeline.storage.files import replace_text
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout

NAME = "basis.json"


@dataclass(frozen=True)
class RunSnapshot:
    """`deliveries`: date to the hash of what was taken in; the others are aware instants.

    What falls due by `until` is not published: until then, a deletion touches no released table.
    """

    as_of: dt.datetime
    until: dt.datetime
    deliveries: dict[str, str]

    def text(self) -> str:
        """As it is stored."""
        moments = {"as_of": self.as_of.isoformat(), "until": self.until.isoformat()}
        return json.dumps({**moments, "deliveries": self.deliveries}, indent=1)


def deliveries(layout: Layout) -> dict[str, str]:
    """The deliveries that the canonical store holds now, each with the hash of its record."""
    return {
        path.parent.name: file_sha256(path)
        for path in sorted(layout.canonical.glob("*/delivery.json"))
    }


def write(context: Context, folder: Path, as_of: dt.datetime) -> None:
    """Leave the basis beside the classified rows that are being built in `folder`."""
    made = RunSnapshot(as_of, published_until(context.rules, as_of), deliveries(context.layout))
    (folder / NAME).write_text(made.text(), "utf-8")


def outdate(layout: Layout) -> None:
    """The deliveries were exchanged under the classified rows, though not their dates: a deletion must
    not take these rows for its index before a night has made them anew."""
    if (layout.classified / NAME).exists():
        replace_text(layout.classified / NAME, replace(read(layout), deliveries={}).text())


def read(layout: Layout) -> RunSnapshot:
    """The basis of the classified store.

    Raises:
        PolicyError: nothing is classified yet.
    """
    path = layout.classified / NAME
    if not path.exists():
        raise Unfinished("nothing is classified yet; run a night first")
    told = json.loads(path.read_text("utf-8"))
    as_of = dt.datetime.fromisoformat(told["as_of"])
    # Nights before there was an `until` published up to their own moment.
    return RunSnapshot(
        as_of, dt.datetime.fromisoformat(told.get("until", told["as_of"])), told["deliveries"]
    )
