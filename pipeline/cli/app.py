"""The console command. Every command runs a Dagster job, reads through the read service, or calls
one function of the pipeline."""

from __future__ import annotations

import datetime as dt
import os
from importlib.metadata import version
from typing import Annotated

import typer

from pipeline.cli import (
    courses,
    deliveries,
    governance,
    guard,
    history,
    incidents,
    operations,
    people,
    reading,
    rehearsal,
    requests,
    retained,
    shared,
    sources,
    start,
)
from pipeline.cli.exits import EPILOG, end
from pipeline.cli.shared import DEFAULT_HOME, Home

app = typer.Typer(
    cls=shared.ByUse,
    epilog=EPILOG,
    no_args_is_help=True,
    # A traceback with local variables would print values.
    pretty_exceptions_enable=False,
)
Day = Annotated[str | None, typer.Option("--date", help="Run date, YYYY-MM-DD; default today.")]
Seed = Annotated[int, typer.Option(help="The same seed makes the same data.")]
People = Annotated[int, typer.Option(help="People in the demo company.")]
MaxAge = Annotated[
    float | None,
    typer.Option(metavar="HOURS", help="Exit with 4 if a job has not succeeded for so long."),
]
Records = Annotated[int, typer.Option(help="Records in the first delivery.")]


def _day(text: str | None) -> dt.date:
    return shared.date(text) if text else dt.date.today()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"milestones {version('lms-milestones')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Privacy pipeline for learning records: run it, read what it publishes, answer data
    subjects, and erase what is past retention.
    """


@app.command(rich_help_panel=shared.RUN)
def demo(
    home: Home = DEFAULT_HOME,
    date: Day = None,
    people: People = 600,
    records: Records = 20_000,
    seed: Seed = 7,
) -> None:
    """Generate demo data, run the pipeline for two days and retention once, and show the tables."""
    from pipeline.cli import run, screen, views
    from pipeline.demo import people as staff
    from pipeline.demo.generate import Size, generate

    size = Size(people, records)
    with shared.open_context(home, valid=False) as context:
        staff.require_demo(context.layout)
        days = generate(context.layout, _day(date), size, seed, screen.say)
        if staff.create_staff(context, shared.now()):
            screen.say("staff: one person in every role; legal and HR have signed the policy")
        staff.go_live(context, shared.now())
        for day in days:
            end(run.run(home, day))
            staff.assign_manager(context)
        # Once, so that a plan and a receipt are there to see.
        end(run.run_job(home, "retention", None))
        screen.say("what is past retention was erased; `milestones receipt` shows the receipt")
        end(views.demo(context, 6))


@app.command(rich_help_panel=shared.RUN)
def generate(
    home: Home = DEFAULT_HOME,
    date: Day = None,
    people: People = 600,
    records: Records = 20_000,
    seed: Seed = 7,
) -> None:
    """Write two demo deliveries into the landing folder."""
    from pipeline.cli import screen
    from pipeline.demo.generate import Size
    from pipeline.demo.generate import generate as make
    from pipeline.demo.people import require_demo
    from pipeline.settings import settings
    from pipeline.storage.layout import Layout

    layout = Layout(home.absolute(), settings().landing)
    with shared.open_context(home, valid=False):
        require_demo(layout)
    days = make(layout, _day(date), Size(people, records), seed, screen.say)
    screen.say("deliveries written: " + ", ".join(map(str, days)))


@app.command(rich_help_panel=shared.RUN)
def check(home: Home = DEFAULT_HOME, date: Day = None) -> None:
    """Check whether a delivery would be accepted. Reads headers only and writes nothing."""
    from pipeline.cli import views

    end(views.admission(home, _day(date)))


app.command(rich_help_panel=shared.RUN)(rehearsal.rehearse)


@app.command(rich_help_panel=shared.RUN)
def run(home: Home = DEFAULT_HOME, date: Day = None) -> None:
    """Run the pipeline for one delivery: the Dagster job `nightly`."""
    from pipeline.cli import run

    end(run.run(home, _day(date)))


@app.command(rich_help_panel=shared.RUN)
def status(home: Home = DEFAULT_HOME, max_age: MaxAge = None) -> None:
    """Show what is published, when each job last succeeded, and what waits for somebody."""
    from pipeline.cli import attention, views

    code = views.status(home, max_age)
    attention.show(home)
    end(code)


@app.command(rich_help_panel=shared.RUN)
def risk(home: Home = DEFAULT_HOME) -> None:
    """Show the re-identification risk of the published tables, and how much is suppressed."""
    from pipeline.cli import views

    end(views.risk(home))


app.command(rich_help_panel=shared.RUN)(start.init)
app.add_typer(sources.sources, name="sources", rich_help_panel=shared.RUN)
app.add_typer(deliveries.delivery, name="delivery", rich_help_panel=shared.OPERATIONS)
app.command(rich_help_panel=shared.OPERATIONS)(deliveries.quarantine)
app.command(rich_help_panel=shared.OPERATIONS)(deliveries.pull)
app.command(rich_help_panel=shared.READ)(reading.show)
app.command(rich_help_panel=shared.READ)(reading.receive)
app.command(rich_help_panel=shared.READ)(reading.sheet)
app.command(rich_help_panel=shared.READ)(reading.sign_off)
app.add_typer(people.people, name="people", rich_help_panel=shared.REQUESTS)
app.add_typer(requests.request, name="request", rich_help_panel=shared.REQUESTS)
app.command(rich_help_panel=shared.RETENTION)(retained.plan)
app.command(rich_help_panel=shared.RETENTION)(retained.erase)
app.command(rich_help_panel=shared.RETENTION)(retained.receipt)
app.add_typer(retained.hold, name="hold", rich_help_panel=shared.RETENTION)
app.command(rich_help_panel=shared.GOVERNANCE)(governance.documents)
app.command(rich_help_panel=shared.GOVERNANCE)(governance.may_share)
app.add_typer(governance.policy, name="policy", rich_help_panel=shared.GOVERNANCE)
app.command(rich_help_panel=shared.GOVERNANCE)(governance.go_live)
app.add_typer(courses.courses, name="courses", rich_help_panel=shared.GOVERNANCE)
app.add_typer(history.history, name="history", rich_help_panel=shared.GOVERNANCE)
app.add_typer(governance.staff, name="staff", rich_help_panel=shared.GOVERNANCE)
app.add_typer(retained.access, name="access", rich_help_panel=shared.GOVERNANCE)
app.add_typer(incidents.incident, name="incident", rich_help_panel=shared.GOVERNANCE)
app.command(rich_help_panel=shared.OPERATIONS)(operations.configure)
app.command(rich_help_panel=shared.OPERATIONS)(operations.backfill)
app.command(rich_help_panel=shared.OPERATIONS)(operations.metrics)
app.command(rich_help_panel=shared.OPERATIONS)(retained.backup)
app.command(rich_help_panel=shared.OPERATIONS)(retained.restore)
app.command(rich_help_panel=shared.OPERATIONS)(retained.recover)
app.add_typer(retained.keys, name="keys", rich_help_panel=shared.OPERATIONS)
guard.guard(app)


def main() -> None:
    """Entry point of the console command `milestones`."""
    # Everything below the data folder is personal data: nobody else on the machine may read it.
    os.umask(0o077)
    app()


if __name__ == "__main__":
    main()
