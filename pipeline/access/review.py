"""The regular review of the access log: what a reviewer should look at, and that one has.

Signs, not verdicts: reading at odd hours, far more people than peers of the same role read, looks
at one's own records, refusals, and how purposes are mixed.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.access import audit
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.policy.access import Hours
from pipeline.storage.files import replace_text

FOLDER = "reviews"
TIMES_PEERS = 3.0  # people read, as a multiple of the median of the role


@dataclass(frozen=True)
class Finding:
    """One actor in one role.

    Attributes:
        people: distinct pseudonyms that were read.
        times_peers: `people` as a multiple of the median of others in the role; None without any.
        own: attempts to read one's own records, which the door refuses.
        purposes: readings by purpose.
        signs: what a reviewer should look at.
    """

    actor: str
    role: str
    readings: int
    people: int
    raw: int
    odd_hours: int
    refused: int
    own: int
    times_peers: float | None
    purposes: dict[str, int]
    signs: tuple[str, ...]


@dataclass(frozen=True)
class Review:
    """A review of all entries between two moments (UTC), `until` not included."""

    since: str
    until: str
    entries: int
    changes: int
    lines: tuple[Finding, ...]


def at_odd_hours(at: str, hours: Hours) -> bool:
    """Is a moment (UTC, ISO 8601) outside the working hours of a working day?"""
    local = dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC).astimezone(ZoneInfo(hours.zone))
    return local.weekday() > 4 or not hours.opening <= local.hour < hours.closing


def _line(context: Context, key: tuple[str, str], entries: list[dict[str, Any]],
          people: dict[tuple[str, str], int]) -> Finding:  # fmt: skip
    actor, role = key
    granted = [one for one in entries if one["decision"] == "granted"]
    refused = len(entries) - len(granted)
    peers = [n for (a, r), n in people.items() if r == role and a != actor]
    usual = median(peers) if peers else 0
    times = people[key] / usual if usual else None
    odd = sum(at_odd_hours(one["at"], context.access.hours) for one in granted)
    own = sum("GDPR Art. 15" in one["decision"] for one in entries)
    signs = {
        f"{odd} readings at odd hours": odd > 0,
        f"{times or 0:.1f} times as many people as peers": (times or 0) >= TIMES_PEERS,
        f"{own} looks at own records": own > 0,
        f"{refused} refusals": refused > 0,
        "everybody of a table": any(one["everybody"] for one in granted),
    }
    return Finding(
        actor, role, len(granted), people[key], sum(bool(one["sign_off"]) for one in granted),
        odd, refused, own, times, dict(Counter(one["purpose"] for one in granted)),
        tuple(sign for sign, holds in signs.items() if holds),
    )  # fmt: skip


def review(context: Context, since: dt.datetime, until: dt.datetime) -> Review:
    """Look at the entries from `since` to before `until`."""
    first, last = (one.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S") for one in (since, until))
    entries = [one for one in audit.bodies(context.layout) if first <= one["at"] < last]
    by_actor: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in entries:
        if one["decision"] != "changed":
            by_actor.setdefault((one["actor"], one["role"]), []).append(one)
    people = {
        key: len({ref for one in told if one["decision"] == "granted" for ref in one["people"]})
        for key, told in by_actor.items()
    }
    lines = [_line(context, key, told, people) for key, told in sorted(by_actor.items())]
    lines.sort(key=lambda line: (-len(line.signs), line.actor))
    changes = sum(one["decision"] == "changed" for one in entries)
    return Review(first, last, len(entries), changes, tuple(lines))


def last_reviewed(context: Context) -> dt.datetime | None:
    """Up to when somebody has signed a review."""
    found = sorted((context.layout.governance / FOLDER).glob("*.json"))
    if not found:
        return None
    told = json.loads(found[-1].read_text("utf-8"))
    return dt.datetime.fromisoformat(told["review"]["until"]).replace(tzinfo=dt.UTC)


def overdue(context: Context, now: dt.datetime) -> bool:
    """Is there something in the log that nobody has reviewed for longer than policy allows?"""
    since = last_reviewed(context)
    if since is None:
        first = next(iter(audit.bodies(context.layout)), None)
        if first is None:
            return False
        since = dt.datetime.fromisoformat(first["at"]).replace(tzinfo=dt.UTC)
    return context.access.review.duration.ends(since.date()) < now.date()


def record(context: Context, found: Review, reviewer: str, finding: str, now: dt.datetime) -> None:
    """Write down that a review was read, by whom and with what finding; the log has it too.

    Raises:
        PolicyError: no finding, or the reviewer is among those who are reviewed.
    """
    if not finding.strip():
        raise PolicyError("a review has a finding, if only 'nothing to follow up'")
    if reviewer in {line.actor for line in found.lines}:
        raise PolicyError("nobody reviews their own readings")
    path = context.layout.governance / FOLDER / f"{now:%Y%m%dT%H%M%S}.json"
    replace_text(path, json.dumps(
        {"reviewer": reviewer, "finding": finding, "review": asdict(found)}
    ))  # fmt: skip
    audit.note_change(context, f"access log reviewed up to {found.until}")
