"""Commands about people: whom identifiers mean."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.shared import DEFAULT_HOME, As, Home, open_context

if TYPE_CHECKING:
    from pipeline.context import Context
    from pipeline.subjects.lookup import Found

people = typer.Typer(help="Whom identifiers mean, and whom they do not.", no_args_is_help=True)
Limit = Annotated[int, typer.Option(help="Identifiers at most.")]
Who = Annotated[
    str, typer.Argument(help="Employee number, e-mail address, full name, or raw identifier.")
]
Chosen = Annotated[
    list[str] | None,
    typer.Option(
        "--person", help="Which of those found is meant; repeat it for numbers of one person."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Confirm that the one who was found is meant.")]


@people.command("unresolved")
def unresolved(role: As = None, limit: Limit = 50, home: Home = DEFAULT_HOME) -> None:
    """List identifiers of records that no roster resolves, with the reason. Logged."""
    from pipeline.cli import screen
    from pipeline.cli.reading import acting
    from pipeline.read import unresolved as reading

    with open_context(home) as context:
        reader = acting(context, role)
        found = reading.listed(context, reader.actor, reader.role)
        screen.page(f"{found.height:,} people cannot be resolved", found.head(limit))


@people.command("find")
def find(text: Who, role: As = None, home: Home = DEFAULT_HOME) -> None:
    """Show who is meant by a number, an address or a name, and where they have records. Logged."""
    from pipeline.access import audit
    from pipeline.cli import screen
    from pipeline.cli.reading import acting

    what = "who is meant by an identifier or a name"
    with open_context(home) as context:
        reader = acting(context, role)
        found = searched(context, text)
        audit.note_listing(context, reader.actor, reader.role, what, len(found), "granted")
        for one in found:
            screen.say(str(one))


def searched(context: Context, text: str) -> list[Found]:
    """Who may be meant.

    Raises:
        BadInput: nobody.
    """
    from pipeline.errors import BadInput
    from pipeline.retained import delivered
    from pipeline.storage.engine import engine
    from pipeline.subjects import lookup

    with engine(context.layout.work) as connection:
        found = delivered.search(connection, context.layout, text)
    if not found:
        raise BadInput(lookup.NOBODY)
    return found


def confirmed(
    context: Context, text: str, chosen: list[str] | None = None, yes: bool = False
) -> tuple[str, ...]:
    """The person whom the operator means, as identifiers; several for several numbers of one.

    Who was found is shown first. A raw identifier that means one person is its own confirmation.

    Raises:
        BadInput: nobody was found, several were and none was chosen, or it was not confirmed.
    """
    from pipeline.cli import screen
    from pipeline.errors import BadInput
    from pipeline.subjects import lookup

    found = searched(context, text)
    for one in found:
        screen.warn(f"found {one}")
    people = [one.person for one in found]
    if chosen:
        if not set(chosen) <= set(people):
            raise BadInput("--person must be one of those that were found")
        return tuple(dict.fromkeys(chosen))
    if len(people) > 1:
        raise BadInput(f"{len(people)} {lookup.SEVERAL}")
    if not (yes or people == [text]):
        if not sys.stdin.isatty():
            raise BadInput("confirm with --yes that this is who is meant")
        typer.confirm("Is this who is meant?", abort=True, err=True)
    return tuple(people)
