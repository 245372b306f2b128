"""Can the machine's clock be trusted for erasure? A wrong one erases too early, or too late.

It is compared with the last run and the last receipt, which were made when the clock had been found
right, and with the access log, which any clock writes to: an entry says something only as far as a
run could have been at that time. A clock before those was set back; one long after the last run
jumped, or nothing ran for weeks, and only people know which.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from pipeline.access.log import AccessLog
from pipeline.classified import run_snapshot
from pipeline.errors import PolicyError
from pipeline.retained import receipts
from pipeline.settings import settings, variable
from pipeline.storage.layout import Layout

BACK, AHEAD = dt.timedelta(days=1), dt.timedelta(days=35)
CONFIRMED = variable("clock_is_right")


def _ran(layout: Layout) -> Iterator[dt.date]:
    """When something ran that asked for a right clock."""
    if (layout.classified / run_snapshot.NAME).exists():
        yield run_snapshot.read(layout).as_of.astimezone(dt.UTC).date()
    for path in receipts.newest_first(layout)[:1]:
        yield dt.date.fromisoformat(path.name[:8])


def _noted(layout: Layout, until: dt.date) -> Iterator[dt.date]:
    """Days of the access log up to one; later ones are of a clock that was wrong."""
    for day in map(dt.date.fromisoformat, AccessLog(layout).kept.days()):
        if day <= until:
            yield day


def require_sane(layout: Layout, now: dt.datetime) -> None:
    """Stop before anything is read or erased by a wrong clock.

    Raises:
        PolicyError: with the last day that the store has seen. Whoever has checked the clock can
            confirm it for one day: MILESTONES_CLOCK_IS_RIGHT=<that day>.
    """
    today = now.astimezone(dt.UTC).date()
    if settings().clock_is_right == today:
        return
    last = max(_ran(layout), default=None)
    noted = _noted(layout, last + AHEAD if last else dt.date.max)
    newest = max([*noted, last or dt.date.min])
    if today + BACK < newest:
        raise PolicyError(
            f"the clock says {today}, but the store already has data of {newest}: correct the clock"
        )
    if last and today > last + AHEAD:
        raise PolicyError(
            f"the clock says {today}, but nothing has run since {last}: if both are correct, set "
            f"{CONFIRMED}={today} and run again"
        )
