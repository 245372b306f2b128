"""What the classified store was made from, as of when, and until when it may be published.

Both moments are fixed once per run, so that every later step draws the same line between what is
within its window and what is not, even when the run crosses midnight.
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
    """`deliveries`: date to the hash of what was ingested; the others are aware instants.

    What falls due by `until` is not published: until then, an erasure touches no released table.
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
    """Write the snapshot beside the classified rows that are being built in `folder`."""
    made = RunSnapshot(as_of, published_until(context.rules, as_of), deliveries(context.layout))
    (folder / NAME).write_text(made.text(), "utf-8")


def outdate(layout: Layout) -> None:
    """The deliveries under the classified rows were replaced, though not their dates: an erasure
    must not take these rows for its index before a run has made them anew."""
    if (layout.classified / NAME).exists():
        replace_text(layout.classified / NAME, replace(read(layout), deliveries={}).text())


def read(layout: Layout) -> RunSnapshot:
    """The snapshot of the classified store.

    Raises:
        PolicyError: nothing is classified yet.
    """
    path = layout.classified / NAME
    if not path.exists():
        raise Unfinished("nothing is classified yet; run the pipeline first")
    stored = json.loads(path.read_text("utf-8"))
    as_of = dt.datetime.fromisoformat(stored["as_of"])
    # Runs before there was an `until` published up to their own moment.
    return RunSnapshot(
        as_of, dt.datetime.fromisoformat(stored.get("until", stored["as_of"])), stored["deliveries"]
    )
