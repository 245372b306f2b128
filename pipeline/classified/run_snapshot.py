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
    """`deliveries`: date to the hash of what was ingested; `courses`: the fingerprint of those that
    are tagged as hidden (sensitivity.py); the others are aware instants.

    What falls due by `until` is not published: until then, an erasure touches no released table.
    Trainings are open or overdue as of `classified_at`, which an erasure leaves as it is.
    """

    as_of: dt.datetime
    until: dt.datetime
    deliveries: dict[str, str]
    classified_at: dt.datetime
    courses: str

    def text(self) -> str:
        """As it is stored."""
        moments = {
            "as_of": self.as_of.isoformat(),
            "until": self.until.isoformat(),
            "classified_at": self.classified_at.isoformat(),
        }
        made_of = {"deliveries": self.deliveries, "courses": self.courses}
        return json.dumps({**moments, **made_of}, indent=1)


def deliveries(layout: Layout) -> dict[str, str]:
    """The deliveries that the canonical store holds now, each with the hash of its record."""
    return {
        path.parent.name: file_sha256(path)
        for path in sorted(layout.canonical.glob("*/delivery.json"))
    }


def write(context: Context, folder: Path, as_of: dt.datetime, courses: str) -> None:
    """Write the snapshot beside the classified rows that are being built in `folder`."""
    until = published_until(context.rules, as_of)
    made = RunSnapshot(as_of, until, deliveries(context.layout), as_of, courses)
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
    # Runs before there was an `until` published up to their own moment; and before there were
    # `courses`, whoever asks for them has to look at the rows.
    as_of, until, classified_at = (
        dt.datetime.fromisoformat(stored.get(name, stored["as_of"]))
        for name in ("as_of", "until", "classified_at")
    )
    courses = stored.get("courses", "")
    return RunSnapshot(as_of, until, stored["deliveries"], classified_at, courses)
