"""The regular review of the access log: what a reviewer should look at, and a record that one did.

Signs, not verdicts: readings at odd hours, far more people than others in the role read, attempts
to read one's own records, refusals, and the mix of purposes.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator
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
STAFF_ACTIONS = ("staff put", "staff appoint", "staff confirm", "staff key")
ON_BEHALF = "for others"  # in the place of a role: who handed a reading over has seen it, too
TIMES_PEERS = 3.0  # people read, as a multiple of the median of the role


@dataclass(frozen=True)
class Finding:
    """One actor in one role.

    Attributes:
        people: distinct pseudonyms that were read.
        times_peers: `people` as a multiple of the others' median in the role; None without others.
        own: attempts to read one's own records, which are refused.
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
class NewStaff:
    """An actor whose roles or key are new.

    Attributes:
        by: who gave, confirmed or took roles, or confirmed the key.
        has_new_key: and so signs from now on.
        did: what the actor did since, and how often, as the log has it.
    """

    actor: str
    at: str
    by: tuple[str, ...]
    has_new_key: bool
    did: dict[str, int]


@dataclass(frozen=True)
class Review:
    """A review of all entries between two moments (UTC), `until` not included."""

    since: str
    until: str
    entries: int
    changes: int
    findings: tuple[Finding, ...]
    new_staff: tuple[NewStaff, ...] = ()


def at_odd_hours(at: str, hours: Hours) -> bool:
    """Is a moment (UTC, ISO 8601) outside the working hours of a working day?"""
    local = dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC).astimezone(ZoneInfo(hours.zone))
    return local.weekday() > 4 or not hours.opening <= local.hour < hours.closing


def _finding(
    context: Context,
    key: tuple[str, str],
    entries: list[dict[str, Any]],
    people: dict[tuple[str, str], int],
) -> Finding:
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
        f"{times or 0:.1f} times as many people as others in the role": (times or 0) >= TIMES_PEERS,
        f"{own} attempts to read their own records": own > 0,
        f"{refused} refusals": refused > 0,
        "everybody in a table": any(one["everybody"] for one in granted),
    }
    return Finding(
        actor,
        role,
        len(granted),
        people[key],
        sum(bool(one["sign_off"]) for one in granted),
        odd,
        refused,
        own,
        times,
        dict(Counter(one["purpose"] for one in granted)),
        tuple(sign for sign, holds in signs.items() if holds),
    )


def review(context: Context, since: dt.datetime, until: dt.datetime) -> Review:
    """Review the entries from `since` to before `until`."""
    first, last = (one.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S") for one in (since, until))
    entries = [one for one in audit.bodies(context.layout) if first <= one["at"] < last]
    by_actor: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in entries:
        if one["decision"] not in audit.CHANGES:
            by_actor.setdefault((one["actor"], one["role"] or "none"), []).append(one)
            if one.get("by"):
                by_actor.setdefault((one["by"], ON_BEHALF), []).append(one)
    people = {
        key: len({ref for one in read if one["decision"] == "granted" for ref in one["people"]})
        for key, read in by_actor.items()
    }
    lines = [_finding(context, key, read, people) for key, read in sorted(by_actor.items())]
    lines.sort(key=lambda line: (-len(line.signs), line.actor))
    changes = sum(one["decision"] in audit.CHANGES for one in entries)
    return Review(first, last, len(entries), changes, tuple(lines), tuple(new_staff(entries)))


def new_staff(entries: list[dict[str, Any]]) -> Iterator[NewStaff]:
    """Who was put on the staff list, confirmed or given a key, and what they did since."""
    made: dict[str, list[int]] = {}
    for at, one in enumerate(entries):
        is_action = one["purpose"] == "action" and one["decision"] == "allowed"
        if is_action and one["note"] in STAFF_ACTIONS:
            made.setdefault(one["case"] or one["actor"], []).append(at)
    for actor, steps in sorted(made.items()):
        yield NewStaff(
            actor,
            entries[steps[0]]["at"],
            tuple(sorted({entries[at]["actor"] for at in steps} - {actor})),
            any(entries[at]["note"] == "staff key" for at in steps),
            dict(Counter(_did(one) for one in entries[steps[0] :] if one["actor"] == actor)),
        )


def _did(entry: dict[str, Any]) -> str:
    """What an entry is about: the action, the table that was read, or what was signed."""
    if entry["purpose"] == "action":
        found = str(entry["note"])
    else:
        found = f"read {entry['table']}" if entry["table"] else str(entry["purpose"])
    return f"{found} (refused)" if str(entry["decision"]).startswith("refused") else found


def last_reviewed(context: Context) -> dt.datetime | None:
    """The end of the last recorded review; None without any."""
    found = sorted((context.layout.governance / FOLDER).glob("*.json"))
    if not found:
        return None
    recorded = json.loads(found[-1].read_text("utf-8"))
    return dt.datetime.fromisoformat(recorded["review"]["until"]).replace(tzinfo=dt.UTC)


def overdue(context: Context, now: dt.datetime) -> bool:
    """Has part of the log waited for a review for longer than policy allows?"""
    since = last_reviewed(context)
    if since is None:
        first = next(iter(audit.bodies(context.layout)), None)
        if first is None:
            return False
        since = dt.datetime.fromisoformat(first["at"]).replace(tzinfo=dt.UTC)
    return context.access.review.duration.ends(since.date()) < now.date()


def record(context: Context, found: Review, reviewer: str, finding: str, now: dt.datetime) -> None:
    """Record that a review was read, by whom and with which finding; the log records it, too.

    Raises:
        PolicyError: no finding, or the reviewer is among those who are reviewed.
    """
    if not finding.strip():
        raise PolicyError("a review needs a finding, if only 'nothing to follow up'")
    if reviewer in {line.actor for line in found.findings}:
        raise PolicyError("you cannot review your own readings")
    path = context.layout.governance / FOLDER / f"{now:%Y%m%dT%H%M%S}.json"
    replace_text(
        path, json.dumps({"reviewer": reviewer, "finding": finding, "review": asdict(found)})
    )
    audit.note_change(context, f"access log reviewed up to {found.until}")
