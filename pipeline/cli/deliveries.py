"""Commands for deliveries: their states, and what is set aside of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.shared import DEFAULT_HOME, PLAIN, As, Home, date, now, open_context

delivery = typer.Typer(
    help="What became of every delivery; withdrawing one, or allowing one.", no_args_is_help=True
)
Day = Annotated[str, typer.Argument(help="Date of the delivery, YYYY-MM-DD.")]
Because = Annotated[str, typer.Option("--because", help="Reason; do not name a person."), PLAIN]
Export = Annotated[
    Path | None,
    typer.Option("--export", help="New file (CSV) for the rows and lines as delivered; logged."),
]


@delivery.command("list")
def delivery_list(home: Home = DEFAULT_HOME) -> None:
    """List every delivery with its state, and what in the landing folder is none."""
    from pipeline.cli import views

    with open_context(home, valid=False) as context:
        views.deliveries(context.layout)


@delivery.command("show")
def delivery_show(day: Day, home: Home = DEFAULT_HOME) -> None:
    """Show all that happened to a delivery, with times and reasons."""
    from pipeline.cli import views
    from pipeline.errors import BadInput
    from pipeline.raw import register

    with open_context(home, valid=False) as context:
        found = register.steps(context.layout, date(day))
        if not found:
            raise BadInput(f"no delivery of {day} was ever received")
        views.delivery(day, found)


@delivery.command("withdraw")
def delivery_withdraw(
    day: Day, because: Because, role: As = None, home: Home = DEFAULT_HOME
) -> None:
    """Use an accepted delivery no longer; the tables are published without it at once."""
    from pipeline.access import account, audit
    from pipeline.cli import screen
    from pipeline.raw import register
    from pipeline.retained import index

    with open_context(home) as context:
        actor = account.actor(context.layout)
        with context.layout.locked():
            register.settle(context.layout)
            register.withdraw(context.layout, date(day), because, actor)
        audit.note_change(context, f"the delivery of {day} was withdrawn")
        index.publish(context, now())
        screen.say(f"the delivery of {day} is withdrawn; its rows are in no table any more")


@delivery.command("allow")
def delivery_allow(day: Day, because: Because, role: As = None, home: Home = DEFAULT_HOME) -> None:
    """Allow the next run to take this content, refused for its size or withdrawn, all the same."""
    from pipeline.access import account, audit
    from pipeline.cli import screen
    from pipeline.errors import PolicyError
    from pipeline.raw import register
    from pipeline.raw.register import State

    with open_context(home) as context:
        actor = account.actor(context.layout)
        sha256 = register.turned_down(register.steps(context.layout, date(day)))
        if sha256 is None:
            raise PolicyError(f"the delivery of {day} was not refused for its size, or withdrawn")
        with context.layout.locked():
            register.note(
                context.layout, date(day), State.ALLOWED, because, sha256=sha256, by=actor
            )
        audit.note_change(context, f"the delivery of {day} was allowed")
        screen.say(f"next: milestones run --date {day}")


def quarantine(
    day: Annotated[str, typer.Option("--date", help="Date of the delivery, YYYY-MM-DD.")],
    export: Export = None,
    role: As = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Show what is set aside of a delivery: rules, files, lines and counts, no value."""
    from pipeline.access import account, audit
    from pipeline.access.suspension import require_not_suspended
    from pipeline.cli import screen, views
    from pipeline.raw import quarantine

    with open_context(home, valid=export is not None) as context:
        if export is None:
            views.quarantined(day, quarantine.counts(context.layout, context.data_map, date(day)))
            return
        actor, delivered = account.actor(context.layout), date(day)
        require_not_suspended(context.layout)
        audit.note_change(context, f"quarantined rows of {delivered} are exported by {actor}")
        rows = quarantine.export(context.layout, delivered, export)
        screen.say(f"{rows:,} rows written to {export}; erase the file when you are done")


def pull(home: Home = DEFAULT_HOME) -> None:
    """Pull new statements from the record stores that the data map names into today's delivery."""
    import datetime as dt

    from pipeline.cli import screen
    from pipeline.cli.exits import of
    from pipeline.errors import BadInput
    from pipeline.operations.timetable import ZONE
    from pipeline.raw import pull

    worst = 0
    with open_context(home) as context:
        sources = context.data_map.sources
        if not any(one.pull for one in sources.values()):
            raise BadInput("no source has `pull` in the data map (docs/sources.md shows one)")
        today = dt.datetime.now(ZONE).date()
        for name, found in pull.every(context.layout, sources, today):
            if isinstance(found, pull.Pulled):
                screen.say(f"{name}: {found.sentence()}")
            else:
                screen.warn(f"{name}: {found}")
                worst = max(worst, of(found))
    if worst:
        raise typer.Exit(worst)
