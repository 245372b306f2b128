"""When each job last succeeded, by what it left in the data folder: the release of a run, the
receipt of a scheduled deletion. So a job that never started is noticed like one that failed, and
whether Dagster or cron starts it makes no difference.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path

from pipeline.storage.layout import Layout
from pipeline.storage.manifest import MANIFEST, manifest

NIGHTLY, RETENTION = "nightly", "retention"
LONGEST = 26  # hours: every day, with two hours to run in
HOUR = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Success:
    """A job's last success.

    Attributes:
        at: aware; None if it has never succeeded.
        waiting_since: `at`, or since when it could have succeeded; None if there is nothing for it
            to do yet.
    """

    job: str
    at: dt.datetime | None
    waiting_since: dt.datetime | None

    def hours(self, now: dt.datetime) -> float:
        """How long ago that was; 0 if there is nothing to do yet."""
        return (now - self.waiting_since) / HOUR if self.waiting_since else 0.0

    def sentence(self, now: dt.datetime) -> str:
        if self.waiting_since is None:
            return f"{self.job}: nothing to do so far"
        ago = f"{self.hours(now):.0f} hours"
        return f"{self.job}: {'' if self.at else 'never succeeded, due for '}{ago}" + (
            " since its last success" if self.at else ""
        )


def last_successes(layout: Layout) -> list[Success]:
    """The last success of both jobs."""
    run = _last_run(layout)
    erased = _last_deletion(layout)
    first = _first_run(layout)
    return [
        Success(NIGHTLY, run, run or _first_delivery(layout)),
        Success(RETENTION, erased, erased or first),
    ]


def overdue(layout: Layout, now: dt.datetime, longest: float = LONGEST) -> list[Success]:
    """Jobs that have not succeeded for longer than so many hours."""
    return [one for one in last_successes(layout) if one.hours(now) > longest]


def _last_run(layout: Layout) -> dt.datetime | None:
    if not (layout.current / MANIFEST).exists():
        return None
    found = manifest(layout)
    return dt.datetime.fromisoformat(str(found.get("ran_at", found["released_at"])))


def _last_deletion(layout: Layout) -> dt.datetime | None:
    for path in sorted(layout.receipts.glob("*.json"), reverse=True):
        contents = json.loads(path.read_text("utf-8"))
        if contents["kind"] == RETENTION:
            return dt.datetime.fromisoformat(contents["completed_at"])
    return None


def _first_run(layout: Layout) -> dt.datetime | None:
    """When there was first something to keep: the oldest run that is on record."""
    return min(map(_written, layout.reconciliation.glob("*.json")), default=None)


def _first_delivery(layout: Layout) -> dt.datetime | None:
    """The delivery in a local landing folder that has waited longest; a remote one is not asked.

    It waits from its day on, or since its files came: a first load brings years of deliveries,
    and none of them is late yet.
    """
    if layout.landing_url is not None:
        return None
    dated = [
        max(day, _written(path))
        for path in (layout.root / "landing").glob("????-??-??")
        if (day := _midnight(path.name)) is not None
    ]
    return min(dated, default=None)


def _written(path: Path) -> dt.datetime:
    return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)


def _midnight(day: str) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC)
    except ValueError:
        return None
