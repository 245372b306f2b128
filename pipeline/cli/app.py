"""The console command. Everything it does is a normal Dagster job or a read through the door."""

from __future__ import annotations

import datetime as dt
import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import governance, incidents, operations, reading, requests, retained, start
from pipeline.cli.exits import EPILOG, end

app = typer.Typer(
    epilog=EPILOG,
    no_args_is_help=True,
    # A traceback with local variables would print values.
    pretty_exceptions_enable=False,
)
Home = Annotated[Path, typer.Option("--home", envvar="MILESTONES_HOME", help="Data folder.")]
Day = Annotated[str | None, typer.Option("--date", help="Night, YYYY-MM-DD; default today.")]
Seed = Annotated[int, typer.Option(help="Same seed, same demo.")]
DEFAULT_HOME = Path("data")


def _day(text: str | None) -> dt.date:
    try:
        return dt.date.fromisoformat(text) if text else dt.date.today()
    except ValueError:
        raise typer.BadParameter("expected YYYY-MM-DD") from None


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
    """Privacy pipeline for learning-management milestone records."""


@app.command()
def demo(home: Home = DEFAULT_HOME, date: Day = None, people: int = 600, records: int = 20_000,
         seed: Seed = 7) -> None:  # fmt: skip
    """Make two demo deliveries, run both and the retention job, and show what was published."""
    from pipeline.cli import run, screen, views
    from pipeline.demo import people as staff
    from pipeline.demo.generate import Size, generate

    days = generate(home / "landing", _day(date), Size(people, records), seed, screen.say)
    with retained.open_context(home, valid=False) as context:
        if staff.create_staff(context, retained.now()):
            screen.say("staff: somebody for every role; legal and HR have signed the policy")
        for day in days:
            end(run.run(home, day))
            staff.assign_manager(context)
        # Once, so that a plan and a receipt are there to see.
        end(run.run_job(home, "retention", None))
        screen.say("what is past retention is erased; `milestones receipt` shows the receipt")
        end(views.demo(context, 6))


@app.command()
def generate(home: Home = DEFAULT_HOME, date: Day = None, people: int = 600,
             records: int = 20_000, seed: Seed = 7) -> None:  # fmt: skip
    """Write two seeded demo deliveries into the landing folder."""
    from pipeline.cli import screen
    from pipeline.demo.generate import Size
    from pipeline.demo.generate import generate as make

    days = make(home / "landing", _day(date), Size(people, records), seed, screen.say)
    screen.say("landed: " + ", ".join(map(str, days)))


@app.command()
def run(home: Home = DEFAULT_HOME, date: Day = None) -> None:
    """Run one night: the Dagster job `nightly` for the delivery of that date."""
    from pipeline.cli import run

    end(run.run(home, _day(date)))


@app.command()
def check(home: Home = DEFAULT_HOME, date: Day = None) -> None:
    """Would tonight's delivery be admitted? Reads headers against the data map, writes nothing."""
    from pipeline.cli import views

    end(views.admission(home, _day(date)))


@app.command()
def status(home: Home = DEFAULT_HOME) -> None:
    """What is published, and how the records of that night reconcile."""
    from pipeline.cli import views

    end(views.status(home))


@app.command()
def risk(home: Home = DEFAULT_HOME) -> None:
    """How safe the published numbers are, and how much of the detail was taken away."""
    from pipeline.cli import views

    end(views.risk(home))


app.command()(start.init)
for command in (retained.plan, retained.erase, retained.receipt, retained.backup,
                retained.restore):  # fmt: skip
    app.command()(command)
app.command()(operations.configure)
app.command()(operations.metrics)
app.command()(operations.backfill)
app.command()(reading.show)
app.command()(reading.receive)
app.command()(reading.sign_off)
app.command()(governance.documents)
app.command()(governance.may_share)
app.add_typer(incidents.incident, name="incident")
app.add_typer(governance.policy, name="policy")
app.add_typer(governance.staff, name="staff")
app.add_typer(retained.access, name="access")
app.add_typer(retained.hold, name="hold")
app.add_typer(requests.request, name="request")
app.add_typer(retained.keys, name="keys")


def main() -> None:
    """Entry point of the console command `milestones`."""
    # Everything below the data folder is personal data: nobody else on the machine may read it.
    os.umask(0o077)
    app()


if __name__ == "__main__":
    main()
