"""What the commands of governance print."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.cli.screen import console, grid_of, say, warn

if TYPE_CHECKING:
    from pipeline.access.review import Review
    from pipeline.access.staff import Member
    from pipeline.governance.incident import Scope
    from pipeline.governance.preview import Change, Preview
    from pipeline.governance.share import Answer


def staff(members: Iterable[Member]) -> None:
    """Print actors and roles; their own identifiers are not shown."""
    grid = grid_of("Staff")
    for name in ("actor", "roles", "has a key"):
        grid.add_column(name)
    for one in members:
        grid.add_row(one.actor, ", ".join(one.roles), "yes" if one.key else "no")
    console.print(grid)


def answers(found: list[Answer]) -> None:
    """Print a checklist and its result."""
    grid = grid_of("Checklist for sharing")
    for name in ("question", "", "why"):
        grid.add_column(name, overflow="fold")
    for one in found:
        grid.add_row(one.question, "yes" if one.yes else "no", one.why)
    console.print(grid)
    if all(one.yes for one in found):
        say("yes, this may be shared")
    else:
        warn("no, do not share this")


def review(found: Review) -> None:
    """Print what a reviewer of the access log should look at."""
    grid = grid_of(f"Access log, {found.since} to {found.until} UTC: {found.entries} entries")
    for name in ("actor", "role"):
        grid.add_column(name)
    for name in ("readings", "people", "raw", "odd hours", "refused"):
        grid.add_column(name, justify="right")
    grid.add_column("look at", overflow="fold")
    for one in found.findings:
        counts = (one.readings, one.people, one.raw, one.odd_hours, one.refused)
        grid.add_row(one.actor, one.role, *map(str, counts), "; ".join(one.signs) or "–")
    console.print(grid)
    for one in found.findings:
        mix = ", ".join(f"{purpose} {n}" for purpose, n in sorted(one.purposes.items()))
        console.print(f"{one.actor}: {mix or 'nothing read'}", style="dim", highlight=False)
    for new in found.new_staff:
        key = ", has a new key" if new.has_new_key else ""
        did = ", ".join(f"{what} {n}" for what, n in sorted(new.did.items())) or "nothing"
        warn(f"new since {new.at[:16]}: {new.actor}, by {' and '.join(new.by) or '–'}{key}; {did}")


def touches(change: Change) -> bool:
    """Would the table change?"""
    return bool(change.rows_gone or change.rows_new or change.columns_gone or change.columns_new)


def preview(found: Preview) -> None:
    """Print what a changed policy would change."""
    for key in found.keys:
        console.print(key, highlight=False, markup=False)
    if not found.keys:
        say("the policy files are the same")
    same = [one.table for one in found.changes if not touches(one)]
    grid = grid_of("What would be published")
    grid.add_column("table", no_wrap=True)
    for name in ("rows", "removed", "added", "people", "affected"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("columns", overflow="fold")
    for one in found.changes:
        if touches(one):
            people = (one.people_before, one.people_after)
            columns = [*(f"-{c}" for c in one.columns_gone), *(f"+{c}" for c in one.columns_new)]
            grid.add_row(
                one.table,
                f"{one.rows_before:,} → {one.rows_after:,}",
                f"{one.rows_gone:,}",
                f"{one.rows_new:,}",
                " → ".join("–" if n is None else f"{n:,}" for n in people),
                "–" if one.people_touched is None else f"{one.people_touched:,}",
                " ".join(columns) or "–",
            )
    if len(same) < len(found.changes):
        console.print(grid)
    if same:
        say(f"unchanged: {', '.join(same)}")
    for table, rules in found.stopped_by.items():
        warn(f"a run would stop at {table}: {', '.join(rules)}")


def exposure(found: Scope, deadline: dt.datetime, now: dt.datetime) -> None:
    """Print the scope of an incident."""
    say(
        f"{found.readings} readings by {len(found.actors)} actors, {found.rows:,} rows of "
        f"{found.people:,} people; {found.refused} refused"
    )
    grid = grid_of("What was exposed")
    for name in ("table", "field", "made from", "class", "risk"):
        grid.add_column(name, overflow="fold")
    for one in found.fields:
        classes = ", ".join(one.classes).replace("_", " ")
        grid.add_row(one.table, one.name, ", ".join(one.origin), classes, one.risk)
    console.print(grid)
    figures = [name for name in found.tables if name not in {one.table for one in found.fields}]
    if figures:
        say(f"group figures only: {', '.join(figures)}")
    if found.special:
        warn("this includes special-category data (GDPR Art. 9)")
    hours = (deadline - now).total_seconds() / 3600
    warn(f"notify the authority by {deadline:%Y-%m-%d %H:%M} UTC ({hours:.0f} hours left)")
