"""Is the machine's clock one to erase by? A wrong one erases what is not due, or shows what is.

The store is asked what it has seen: the last night, the last entry of the access log, the last
receipt. A clock that stands before them was set back; one that stands long after them jumped, or
nothing ran for weeks, which only people can tell apart.
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


def _seen(layout: Layout) -> Iterator[dt.date]:
    if (layout.classified / run_snapshot.NAME).exists():
        yield run_snapshot.read(layout).as_of.astimezone(dt.UTC).date()
    for day in AccessLog(layout).kept.days()[-1:]:
        yield dt.date.fromisoformat(day)
    for path in receipts.newest_first(layout)[:1]:
        yield dt.date.fromisoformat(path.name[:8])


def require_sane(layout: Layout, now: dt.datetime) -> None:
    """Stop before anything is read or erased by a wrong clock.

    Raises:
        PolicyError: with the day that the store has seen last. Whoever has looked at the clock says
            so for a day: MILESTONES_CLOCK_IS_RIGHT=<that day>.
    """
    today = now.astimezone(dt.UTC).date()
    last = max(_seen(layout), default=None)
    if last is None or settings().clock_is_right == today:
        return
    if today < last - BACK:
        raise PolicyError(f"the clock says {today}, but the store has seen {last}: set it right")
    if today > last + AHEAD:
        raise PolicyError(
            f"the clock says {today}, and nothing has run since {last}: if both are so, set "
            f"{CONFIRMED}={today} and run again"
        )
