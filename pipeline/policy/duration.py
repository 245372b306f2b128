"""ISO 8601 durations of years, months, weeks and days, counted as the law counts them.

Regulation (EEC, Euratom) 1182/71, Art. 3: the day of the event is not counted, and a period of
months or years ends with the last hour of the day of the same number, or of the month's last day
where that number is missing (29 February plus a year ends on 28 February).
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from dateutil.relativedelta import relativedelta

LONGEST = 100 * 12  # months; more must be a typing mistake
# One cycle of leap years from a day before one of them: every month length meets every other.
ANCHORS = tuple(dt.date(2023, 1, 1) + dt.timedelta(days=day) for day in range(4 * 365 + 1))


@dataclass(frozen=True)
class Duration:
    """A calendar period; `text` is as the policy file spells it."""

    text: str
    months: int
    days: int

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read `P3Y`, `P1Y6M`, `P4W`, `P90D`.

        Raises:
            ValueError: another form, a time part, zero, or more than a hundred years.
        """
        match = re.fullmatch(r"P(?:(\d{1,3})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,5})D)?", text)
        if not match:
            raise ValueError(
                "a window is an ISO 8601 duration of years, months, weeks and days, such as P90D"
            )
        years, months, weeks, days = (int(part or 0) for part in match.groups())
        found = cls(text, 12 * years + months, 7 * weeks + days)
        if not found.months and not found.days:
            raise ValueError("a window of zero keeps nothing; give at least one day")
        if found.months + found.days / 28 > LONGEST:
            raise ValueError("a window cannot be longer than a hundred years")
        return found

    def ends(self, day: dt.date) -> dt.date:
        """The last day of the period that an event on `day` starts."""
        return day + relativedelta(months=self.months, days=self.days)

    def within(self, other: Duration) -> bool:
        """Does this period never end after the other, whatever the day it starts on?"""
        # More months or days never end a period sooner; only one more and one fewer need a search.
        if self.months <= other.months and self.days <= other.days:
            return True
        return all(self.ends(day) <= other.ends(day) for day in ANCHORS)
