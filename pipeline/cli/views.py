"""What the commands print."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli.exits import Exit, of
from pipeline.cli.screen import console, grid_of, page, say, warn
from pipeline.errors import PolicyError
from pipeline.operations.freshness import last_successes
from pipeline.settings import settings
from pipeline.storage.layout import Layout
from pipeline.storage.manifest import manifest

if TYPE_CHECKING:
    from pipeline.access.authorize import AccessRequest
    from pipeline.access.courses import Decision
    from pipeline.cli.reading import Reader
    from pipeline.context import Context
    from pipeline.governance.courses import Course
    from pipeline.raw.register import Step
    from pipeline.retained.past_retention import PlanItem
    from pipeline.subjects.legal_holds import Hold
    from pipeline.subjects.request_register import Request

COUNTS = ("received", "quarantined", "superseded", "suppressed", "published")


def reconciliation(home: Path, run_date: str) -> None:
    """Print one run's record counts from raw to published."""
    path = Layout(home.absolute()).reconciliation / f"{run_date}.json"
    grid = grid_of(f"From raw to published, run date {run_date} (records of all deliveries so far)")
    # Where a narrow screen has no room for both, a table's name is shortened and not a number.
    grid.add_column("table", overflow="ellipsis")
    for name in COUNTS:
        grid.add_column(name, justify="right", no_wrap=True)
    tables: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    for row in tables:
        counts = row | {"suppressed": sum(row["suppressed"].values())}
        grid.add_row(row["table"], *(f"{counts[name]:,}" for name in COUNTS))
    console.print(grid)
    for reasons, names in _suppressed(tables).items():
        console.print(f"suppressed in {', '.join(names)}: {reasons}", style="dim", highlight=False)
    if unresolved := max(row.get("unresolved_people", 0) for row in tables):
        say(f"{unresolved:,} people cannot be resolved; `milestones people unresolved` lists them")
    if all(row["balanced"] for row in tables):
        say("received = quarantined + superseded + suppressed + published, for every table")


def _suppressed(tables: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Reasons of suppression with their counts, and the tables that have them."""
    found: dict[str, list[str]] = {}
    for row in tables:
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in row["suppressed"].items() if n)
        if reasons:
            found.setdefault(reasons, []).append(row["table"])
    return found


def table(context: Context, asked: AccessRequest, limit: int) -> Exit:
    """Print what the actor may read of one published table."""
    from pipeline.read import service

    try:
        found = service.read(context, asked, limit)
    except PolicyError as error:
        warn(str(error))
        return of(error)
    page(f"{asked.table} ({found.total:,} rows for {asked.actor}, {asked.purpose})", found.frame)
    return Exit.DONE


def published(context: Context, reader: Reader, purpose: str, limit: int) -> Exit:
    """Print every table that a role receives for a purpose."""
    from pipeline.access.authorize import AccessRequest

    registered = context.governance.purposes.get(purpose)
    if registered is None:
        warn("this purpose is not registered in governance.yaml")
        return Exit.BAD_INPUT
    tables = context.data_map.with_dimensions(registered.audience)
    actor, role, by = reader
    shown = (
        table(context, AccessRequest(actor, role, purpose, name, by=by), limit) for name in tables
    )
    return next((code for code in shown if code is not Exit.DONE), Exit.DONE)


def demo(context: Context, limit: int) -> Exit:
    """Print what the demo's analyst and manager may read."""
    from pipeline.cli.reading import Reader
    from pipeline.demo import people
    from pipeline.policy.access import Role
    from pipeline.published.reports import coaching_page

    for role, purpose in (
        (Role.ANALYST, "team_coaching"),
        (Role.MANAGER, "one_to_one"),
        (Role.ANALYST, "training_quality"),
    ):
        code = published(context, Reader(people.name(role), role), purpose, limit)
        if code is not Exit.DONE:
            return code
    say(
        "hr_legal_detail is not shown: reading it requires named people, a purpose and a note, "
        "and raw records require a sign-off"
    )
    say(f"coaching report: {context.layout.current / coaching_page.PAGE}")
    say(
        f"1:1 sheet: MILESTONES_ACTOR={people.name(Role.MANAGER)} milestones sheet FOLDER --note "
        f"'monthly 1:1, open trainings' --home {context.layout.root}"
    )
    return Exit.DONE


def status(home: Path, longest: float | None) -> Exit:
    """Print what is published now, and when each job last succeeded.

    Args:
        longest: hours; a job that has not succeeded for longer is an error.
    """
    layout, now = Layout(home.absolute(), settings().landing), dt.datetime.now(dt.UTC)
    code = _release(home, layout)
    for job in last_successes(layout):
        late = longest is not None and job.hours(now) > longest
        (warn if late else say)(job.sentence(now))
        code = Exit.INCOMPLETE if late and code is Exit.DONE else code
    return code


def _release(home: Path, layout: Layout) -> Exit:
    """Print what is published now."""
    try:
        found = manifest(layout)
    except PolicyError as error:
        warn(str(error))
        return of(error)
    say(
        f"published: run date {found['partition']}, released at {found['released_at']}, "
        f"run {found['run_id']}"
    )
    try:
        reconciliation(home, str(found["partition"]))
    except (OSError, ValueError):
        warn(f"the record counts of run date {found['partition']} cannot be read")
        return Exit.FAILED
    return Exit.DONE


# Measures of the risk report, and their headings.
AGGREGATES = {
    "figures": "figures",
    "k": "k",
    "l": "l",
    "covered": "covered",
    "suppressed": "suppressed",
}
RISKS = {
    "prosecutor": "prosecutor",
    "journalist": "journalist",
    "marketer": "marketer",
    "known_events": "known events",
    "manager": "own team taken away",
    "both_files": "joined by content",
    "suppressed": "suppressed",
    "loss": "loss",
}


def risk(home: Path) -> Exit:
    """Print the risk report of what is published, and where its page is."""
    from pipeline.published import risk_report

    layout = Layout(home.absolute())
    try:
        released = manifest(layout)
    except PolicyError as error:
        warn(str(error))
        return of(error)
    found = json.loads((layout.current / risk_report.NUMBERS).read_text("utf-8"))
    _aggregates(found["aggregates"], str(released["partition"]))
    for row in found["classes"]:
        _classes(row)
    say(f"risk report with plots: {home / 'releases' / 'current' / risk_report.PAGE}")
    return Exit.DONE


def _aggregates(rows: list[dict[str, Any]], run_date: str) -> None:
    """Print the risk of the coaching tables."""
    from pipeline.published.reports import plots

    grid = grid_of(f"Coaching figures of all published periods, run date {run_date}")
    grid.add_column("table", no_wrap=True)
    for heading in ("figures", "k", "l", "published", "suppressed"):
        grid.add_column(heading, justify="right")
    for row in rows:
        counts = ("–" if row[n] is None else f"{row[n]:,}" for n in ("figures", "k", "l"))
        shares = map(plots.ENGLISH.share, (row["covered"], row["suppressed"]))
        grid.add_row(row["table"], *counts, *shares)
    console.print(grid)


def _classes(row: dict[str, Any]) -> None:
    """Print the risk of a table's equivalence classes."""
    from pipeline.published.reports import plots

    grid = grid_of(f"{row['table']}: {row['rows']:,} rows in {row['classes']:,} classes")
    grid.add_column("measure", no_wrap=True)
    grid.add_column("value", justify="right")
    for name in ("k", "l"):
        grid.add_row(name, "–" if row[name] is None else str(row[name]))
    for name, heading in RISKS.items():
        grid.add_row(heading, plots.ENGLISH.share(row[name]))
    console.print(grid)


def admission(home: Path, day: dt.date) -> Exit:
    """Print whether a delivery would be admitted, and for what else a run would be refused."""
    from pipeline.context import context_from_settings
    from pipeline.governance import validity
    from pipeline.raw.deliveries import admitted
    from pipeline.raw.readers.base import MalformedFile

    try:
        context = context_from_settings(home)
        validity.require_runnable_policy(context)
        with admitted(context.layout, context.data_map, day) as files:
            for file in files:
                written = f", {file.file.written}" if file.file.written else ""
                what = f"{file.source}, {file.size:,} bytes{written}"
                say(f"{file.file.name}: {what}, all columns known")
        for obstacle in validity.obstacles(context, dt.datetime.now(dt.UTC).date()):
            warn(f"a run would be refused: {obstacle}")
    except (PolicyError, MalformedFile) as error:
        warn(str(error))
        return of(error)
    return Exit.DONE


def plan(items: list[PlanItem]) -> None:
    """Print what an erasure would do."""
    if not items:
        say("nothing is past retention")
        return
    grid = grid_of("Past retention")
    for name in ("what", "rule", "where"):
        grid.add_column(name, overflow="fold")
    for name in ("to erase", "on hold"):
        grid.add_column(name, justify="right", no_wrap=True)
    for item in items:
        what = f"{item.place}: {item.what}"
        grid.add_row(what, item.rule, item.where, f"{item.due:,}", f"{item.held:,}")
    console.print(grid)


def receipt(found: dict[str, Any]) -> None:
    """Print one receipt."""
    say(f"receipt {found['receipt']} ({found['kind']}), completed {found['completed_at']}")
    grid = grid_of(f"Rows, {len(found['files'])} files rewritten")
    for name in ("place", "before", "after", "erased"):
        grid.add_column(name, justify="left" if name == "place" else "right")
    for place, rows in found["rows"].items():
        erased = rows["before"] - rows["after"]
        grid.add_row(place, f"{rows['before']:,}", f"{rows['after']:,}", f"{erased:,}")
    console.print(grid)
    for what, n in found["removed_whole"].items():
        say(f"removed as a whole: {what}: {n:,}")
    left = sum(found["found_afterwards"].values())
    places = len(found["found_afterwards"])
    say(f"verified in {places} places: {f'{left:,} rows' if left else 'nothing'} left")


def history(
    periods: dict[str, str], corrections: dict[str, dict[str, Any]], rows: dict[str, str]
) -> None:
    """Print the published periods of figures, each with its correction if it was corrected, and
    those of analysts' rows."""
    grid = grid_of("Published periods of coaching figures")
    for name in ("period", "published by the run of", "corrected", "by", "because"):
        grid.add_column(name)
    for period, run in sorted(periods.items()):
        one = corrections.get(period, {}).get("correction", {})
        corrected = one.get("at", "yes")[:10] if period in corrections else ""
        grid.add_row(period, run, corrected, one.get("by", ""), one.get("because", ""))
    console.print(grid)
    grid = grid_of("Published periods of analysts' rows")
    for name in ("period", "published by the run of"):
        grid.add_column(name)
    for period, run in sorted(rows.items()):
        grid.add_row(period, run)
    console.print(grid)


def holds(found: list[Hold]) -> None:
    """Print holds; people are counted, not named."""
    grid = grid_of("Legal holds in force")
    for name in ("name", "reason", "owner", "review by", "people", "scope"):
        grid.add_column(name)
    for one in found:
        scope = ", ".join([*one.courses, *one.records, *one.regions, *one.sources])
        people = str(len(one.people))
        grid.add_row(one.name, one.reason, one.owner, str(one.review_by), people, scope)
    console.print(grid)


def requests(found: list[Request], today: dt.date) -> None:
    """Print requests with state and deadline; identifiers are not shown."""
    grid = grid_of("Requests of data subjects")
    for name in ("request", "state", "identity verified", "answer due", ""):
        grid.add_column(name)
    for one in found:
        late = "overdue" if one.overdue(today) else ""
        verified = "yes" if one.verified_by else "no"
        grid.add_row(one.name, one.state, verified, str(one.deadline), late)
    console.print(grid)


def deliveries(layout: Layout) -> None:
    """Print every delivery with its state; and what in the landing folder is none."""
    from pipeline.raw import landing, register

    grid = grid_of("Deliveries")
    for name in ("delivery", "state", "since", "reason"):
        grid.add_column(name, overflow="fold")
    for day in sorted({*register.known(layout), *landing.deliveries(layout)}):
        found = register.steps(layout, day)
        last = register.latest(found)
        if last is None:
            grid.add_row(str(day), "not received", "–", "no run has read it")
            continue
        used = register.accepted(found)
        state = str(last.state)
        if used is not None and used != last:
            state += "; in use as accepted before"
        elif used is not None and not register.is_ingested(layout, day):
            state += "; missing in the store"
        grid.add_row(str(day), state, last.at[:16], last.reason)
    console.print(grid)
    if others := landing.no_deliveries(layout):
        warn(f"no deliveries, left alone in the landing folder: {', '.join(others)}")


def delivery(day: str, found: list[Step]) -> None:
    """Print all that happened to a delivery."""
    grid = grid_of(f"Delivery of {day}")
    for name in ("at", "state", "content", "by", "reason"):
        grid.add_column(name, overflow="fold")
    for one in found:
        grid.add_row(
            one.at[:19], one.state, (one.sha256 or "–")[:12], one.by or "–", one.reason or "–"
        )
    console.print(grid)


def quarantined(day: str, found: list[tuple[str, str, int, str]]) -> None:
    """Print what is set aside of a delivery, by rule and file."""
    grid = grid_of(f"Set aside of the delivery of {day}")
    for name in ("rule", "file", "rows", "lines of a few"):
        grid.add_column(name, overflow="fold")
    for rule, file, rows, lines in found:
        grid.add_row(rule, file, f"{rows:,}", lines or "–")
    console.print(grid)


def courses(found: list[Course], title: str) -> None:
    """Print courses; people are counted, not named."""
    grid = grid_of(f"{title}: {len(found):,}")
    for name in ("course", "titles", "suggested", "decided"):
        grid.add_column(name, overflow="fold")
    grid.add_column("people", justify="right", no_wrap=True)
    for one in found:
        titles = ", ".join(f"{text} ({tag})" if tag else text for tag, text in one.titles)
        state = (one.sensitivity or "ordinary") if one.reviewed else "–"
        grid.add_row(
            one.code, titles or "–", ", ".join(one.suggested) or "–", state, f"{one.people:,}"
        )
    console.print(grid)


def decisions(found: list[Decision]) -> None:
    """Print decisions about courses."""
    grid = grid_of("Decisions in force")
    for name in ("number", "courses", "decided", "by", "on", "because"):
        grid.add_column(name, overflow="fold")
    for one in found:
        named = ", ".join([*one.codes, *one.patterns])
        decided = one.category or "ordinary"
        grid.add_row(str(one.number), named, decided, one.by, str(one.at.date()), one.because)
    console.print(grid)
