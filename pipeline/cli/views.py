"""What the command prints."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from assets.resources import store_from_environment
from pipeline.access.authorize import AccessRequest
from pipeline.cli.screen import console, grid_of, page, say, warn
from pipeline.context import Context
from pipeline.demo import people
from pipeline.errors import PolicyError
from pipeline.policy.access import Role
from pipeline.published import gate
from pipeline.published.reports import coaching_page
from pipeline.read import service
from pipeline.retained.past_retention import PlanItem
from pipeline.storage.layout import Layout
from pipeline.subjects.legal_holds import Hold
from pipeline.subjects.request_register import Request


def reconciliation(home: Path, night: str) -> None:
    """Print one night's counts from raw to published."""
    path = Layout(home.absolute()).reconciliation / f"{night}.json"
    grid = grid_of(f"From raw to published, night of {night} (records, all deliveries so far)")
    # Where a narrow screen has no room for both, a table's name gives way and not a figure.
    grid.add_column("table", overflow="ellipsis")
    for name in ("received", "quarantined", "superseded", "suppressed", "published"):
        grid.add_column(name, justify="right", no_wrap=True)
    told = json.loads(path.read_text("utf-8"))
    reasons: dict[str, str] = {}
    for row in told:
        withheld = sum(row["suppressed"].values())
        counts = (
            row["received"], row["quarantined"], row["superseded"], withheld, row["published"]
        )  # fmt: skip
        grid.add_row(row["table"], *(f"{n:,}" for n in counts))
        why = ", ".join(f"{reason} {n:,}" for reason, n in row["suppressed"].items() if n)
        if why:
            reasons[why] = f"{reasons[why]}, {row['table']}" if why in reasons else row["table"]
    console.print(grid)
    for why, tables in reasons.items():
        console.print(f"suppressed in {tables}: {why}", style="dim", highlight=False)
    if all(row["balanced"] for row in told):
        say("received = quarantined + superseded + suppressed + published for every table")


def table(context: Context, ask: AccessRequest, limit: int) -> bool:
    """Print what opens of one published table to the asker."""
    try:
        found = service.read(context, ask, limit)
    except PolicyError as error:
        warn(str(error))
        return False
    page(f"{ask.table} ({found.total:,} rows for {ask.actor}, {ask.purpose})", found)
    return True


def published(context: Context, actor: str, role: Role, purpose: str, limit: int) -> bool:
    """Print every table that a role receives for a purpose."""
    registered = context.governance.purposes.get(purpose)
    if registered is None:
        warn("the purpose is not in the register; see governance.yaml")
        return False
    tables = context.data_map.tables_of(registered.audience)
    return all(table(context, AccessRequest(actor, role, purpose, name), limit) for name in tables)


def demo(context: Context, limit: int) -> bool:
    """Print what the demo's analyst and its manager get to see."""
    for role, purpose in (
        (Role.ANALYST, "team_coaching"),
        (Role.MANAGER, "one_to_one"),
        (Role.ANALYST, "training_quality"),
    ):
        if not published(context, people.name(role), role, purpose, limit):
            return False
    say("hr_legal_detail: closed; it opens for named people, to a purpose with a note, and for "
        "raw records to a sign-off")  # fmt: skip
    say(f"the coaching figures as a page: {context.layout.current / coaching_page.PAGE}")
    return True


def status(home: Path) -> bool:
    """Print what is published now."""
    try:
        told = gate.manifest(Layout(home.absolute()))
    except PolicyError as error:
        warn(str(error))
        return False
    say(f"published: night of {told['partition']}, at {told['released_at']}, "
        f"run {told['run_id']}")  # fmt: skip
    reconciliation(home, str(told["partition"]))
    return True


def risk(home: Path) -> bool:
    """Print the risk report of what is published, and where its page is."""
    from pipeline.published import risk_report
    from pipeline.published.reports import plots

    layout = Layout(home.absolute())
    try:
        told = gate.manifest(layout)
    except PolicyError as error:
        warn(str(error))
        return False
    found = json.loads((layout.current / risk_report.NUMBERS).read_text("utf-8"))
    grid = grid_of(f"Coaching figures, all published periods, run of {told['partition']}")
    grid.add_column("table", no_wrap=True)
    for name in ("figures", "k", "l", "covered", "suppressed"):
        grid.add_column(name, justify="right")
    for row in found["aggregates"]:
        counts = ("–" if row[n] is None else f"{row[n]:,}" for n in ("figures", "k", "l"))
        shares = map(plots.percent, (row["covered"], row["suppressed"]))
        grid.add_row(row["table"], *counts, *shares)
    console.print(grid)
    for row in found["classes"]:
        grid = grid_of(f"{row['table']}: {row['rows']:,} rows in {row['classes']:,} classes")
        grid.add_column("measure", no_wrap=True)
        grid.add_column("value", justify="right")
        for name in ("k", "l"):
            grid.add_row(name, "–" if row[name] is None else str(row[name]))
        for name in ("prosecutor", "journalist", "marketer", "suppressed", "loss"):
            grid.add_row(name, plots.percent(row[name]))
        console.print(grid)
    say(f"the page with plots: {home / 'releases' / 'current' / risk_report.PAGE}")
    return True


def admission(home: Path, day: dt.date) -> bool:
    """Print whether a delivery would be admitted."""
    from pipeline.raw.deliveries import admitted
    from pipeline.raw.readers.base import MalformedFile

    store = store_from_environment().model_copy(update={"home": str(home)})
    layout = store.layout
    try:
        store.require_valid_policy(dt.datetime.now(dt.UTC).date())
        with admitted(layout, store.data_map, day) as files:
            for file in files:
                say(f"{file.path.name}: {file.source}, {file.size} bytes, every column listed")
    except (PolicyError, MalformedFile) as error:
        warn(str(error))
        return False
    return True


def plan(lines: list[PlanItem]) -> None:
    """Print what a deletion would do."""
    if not lines:
        say("nothing is past retention")
        return
    grid = grid_of("Past retention")
    for name in ("what", "rule", "where"):
        grid.add_column(name, overflow="fold")
    for name in ("due", "held"):
        grid.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        grid.add_row(f"{line.place}: {line.what}", line.rule, line.where, f"{line.due:,}",
                     f"{line.held:,}")  # fmt: skip
    console.print(grid)


def receipt(told: dict[str, Any]) -> None:
    """Print one receipt."""
    say(f"receipt {told['receipt']} ({told['kind']}), completed {told['completed_at']}")
    grid = grid_of(f"Rows, {len(told['files'])} files rewritten")
    for name in ("place", "before", "after", "erased"):
        grid.add_column(name, justify="left" if name == "place" else "right")
    for place, rows in told["rows"].items():
        erased = rows["before"] - rows["after"]
        grid.add_row(place, f"{rows['before']:,}", f"{rows['after']:,}", f"{erased:,}")
    console.print(grid)
    for what, n in told["removed_whole"].items():
        say(f"removed whole: {what}: {n:,}")
    left = sum(told["found_afterwards"].values())
    places = len(told["found_afterwards"])
    say(f"verified in {places} places: {f'{left} left' if left else 'nothing left'}")


def holds(found: list[Hold]) -> None:
    """Print holds; people are counted, not named."""
    grid = grid_of("Legal holds in force")
    for name in ("name", "reason", "owner", "review by", "people", "scope"):
        grid.add_column(name)
    for one in found:
        scope = [*one.courses, *one.records, *one.regions, *one.sources]
        grid.add_row(one.name, one.reason, one.owner, str(one.review_by), str(len(one.people)),
                     ", ".join(scope))  # fmt: skip
    console.print(grid)


def requests(found: list[Request], today: dt.date) -> None:
    """Print requests with state and deadline; identifiers are not shown."""
    grid = grid_of("Requests of data subjects")
    for name in ("request", "state", "identity verified", "answer due", ""):
        grid.add_column(name)
    for one in found:
        late = "overdue" if one.overdue(today) else ""
        grid.add_row(one.name, one.state, "yes" if one.verified_by else "no", str(one.deadline),
                     late)  # fmt: skip
    console.print(grid)
