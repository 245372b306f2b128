"""Commands for the publication history: what was published when, and correcting it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.exits import given
from pipeline.cli.people import Yes
from pipeline.cli.shared import DEFAULT_HOME, PLAIN, Home, Key, date, now, open_context

if TYPE_CHECKING:
    from pipeline.governance.figures import Effect

history = typer.Typer(
    help="What was published, each period once: coaching figures and analysts' rows.",
    no_args_is_help=True,
)


@history.command("list")
def history_list(home: Home = DEFAULT_HOME) -> None:
    """List the published periods of figures, with their corrections, and those of rows."""
    from pipeline.cli import views
    from pipeline.published import publication_history, row_history

    with open_context(home, valid=False) as context:
        views.history(
            publication_history.periods(context.layout),
            publication_history.corrections(context.layout),
            row_history.periods(context.layout),
        )


@history.command("correct")
def history_correct(
    period: Annotated[str, typer.Argument(help="First day of the period, YYYY-MM-DD.")],
    because: Annotated[str, typer.Option("--because", help="Reason; do not name a person."), PLAIN],
    key: Key,
    yes: Yes = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Withdraw a period's figures and publish them again, once, by a signed correction.

    Published again is what gives nobody away who has both versions: figures of the company,
    departments and teams that at least k people separate from the old ones.
    """
    from pipeline.access import account, audit
    from pipeline.cli import screen
    from pipeline.governance import figures
    from pipeline.keys import signing

    with open_context(home) as context:
        with given("--key"):
            private = signing.load_private_key(key.read_bytes())
        day = date(period)
        planned = figures.preview(context, day, now())
        screen.warn(_said(planned))
        if not yes:
            typer.confirm("Correct these figures, once and for good?", abort=True, err=True)
        actor = account.actor(context.layout)
        done = figures.correct(context, day, because, actor, private, now())
        audit.note_change(context, f"the figures of {period} were corrected")
        screen.say(f"{period} is corrected: {_said(done)}")


def _said(effect: Effect) -> str:
    return (
        f"{effect.replaced:,} figures get new values, {effect.kept:,} stay as they are, "
        f"{effect.withdrawn:,} are withdrawn"
    )
