"""Commands for requests of data subjects: from receipt to answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.people import Chosen, Who, Yes, confirmed
from pipeline.cli.shared import DEFAULT_HOME, PLAIN, Home, dagster_home, now, open_context

if TYPE_CHECKING:
    from pipeline.context import Context
    from pipeline.retained.run_storage import RunStorage

request = typer.Typer(help="Requests of data subjects (GDPR Art. 15 to 21).", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Name of the request, as `request list` shows it.")]
Reason = Annotated[
    str,
    typer.Option(
        "--because", help="Reason, which is recorded and sent to the person; without any name."
    ),
    PLAIN,
]
Purposes = Annotated[
    list[str] | None,
    typer.Option(help="For an objection: purpose or audience that it concerns; repeatable."),
]
Corrections = Annotated[
    list[str] | None,
    typer.Option("--set", help="For a rectification: field=value; must include course_code."),
]
Withdraw = Annotated[bool, typer.Option(help="Record a withdrawal instead.")]


@request.command("receive")
def request_receive(
    kind: Annotated[
        str, typer.Argument(help="access, rectification, erasure, restriction or objection.")
    ],
    who: Who,
    person: Chosen = None,
    yes: Yes = False,
    set_: Corrections = None,
    purpose: Purposes = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Register a new request: shows who was found, and wants that confirmed."""
    from pipeline.access.account import actor
    from pipeline.cli import screen
    from pipeline.subjects import request_register

    with open_context(home) as context:
        try:
            wanted = request_register.Kind(kind)
        except ValueError:
            raise typer.BadParameter(f"one of {', '.join(request_register.Kind)}") from None
        details = _details(context, set_, purpose)
        first, *also = confirmed(context, who, person, yes)
        made = request_register.receive(
            context.layout, wanted, first, now().date(), details, tuple(also), actor(context.layout)
        )
        screen.say(f"{made.name}: answer due by {made.deadline}; next: milestones request verify")


def _details(
    context: Context, corrections: list[str] | None, purposes: list[str] | None
) -> dict[str, Any]:
    """The details of a request.

    Raises:
        BadInput: a correction without a value, or a purpose that is not registered.
    """
    from pipeline.errors import BadInput
    from pipeline.requests.fulfil import audience_of

    if not all("=" in one for one in corrections or ()):
        raise BadInput("--set takes field=value")
    details: dict[str, Any] = dict(one.split("=", 1) for one in corrections or ())
    for one in purposes or ():
        audience_of(context, one)
    return details | ({"purposes": purposes} if purposes else {})


@request.command("amend")
def request_amend(
    name: Name,
    who: Annotated[
        str | None, typer.Argument(help="Whom the request is about, if that was wrong.")
    ] = None,
    person: Chosen = None,
    yes: Yes = False,
    set_: Corrections = None,
    purpose: Purposes = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Mend a request that is not answered yet: whom it is about, or its details."""
    from pipeline.access.account import actor
    from pipeline.cli import screen
    from pipeline.requests import fulfil
    from pipeline.subjects import request_register

    with open_context(home) as context:
        details = _details(context, set_, purpose)
        people = confirmed(context, who, person, yes) if who else ()
        by = actor(context.layout)
        made = request_register.amend(context.layout, name, people, details, by)
        fulfil.close(context, made)
        screen.say(f"{made.name}: {made.state}; {made.history[-1].note}")


@request.command("withdraw")
def request_withdraw(name: Name, home: Home = DEFAULT_HOME) -> None:
    """Close a request that its sender has withdrawn."""
    from pipeline.requests import fulfil
    from pipeline.subjects import request_register

    with open_context(home) as context:
        fulfil.close(context, request_register.withdraw(context.layout, name))


@request.command("verify")
def request_verify(
    name: Name,
    home: Home = DEFAULT_HOME,
) -> None:
    """Record that you, who did not receive the request, have verified the sender's identity."""
    from pipeline.access.account import actor
    from pipeline.subjects import request_register

    with open_context(home) as context:
        request_register.verify_identity(context.layout, name, actor(context.layout))


@request.command("extend")
def request_extend(name: Name, reason: Reason, home: Home = DEFAULT_HOME) -> None:
    """Extend the deadline by two months (Art. 12(3))."""
    from pipeline.cli import screen
    from pipeline.subjects import request_register

    with open_context(home) as context:
        made = request_register.extend(context.layout, name, reason, now().date())
        screen.say(f"answer due by {made.deadline}")


@request.command("refuse")
def request_refuse(name: Name, reason: Reason, home: Home = DEFAULT_HOME) -> None:
    """Refuse a request."""
    from pipeline.requests import fulfil
    from pipeline.subjects import request_register

    with open_context(home) as context:
        fulfil.close(context, request_register.refuse(context.layout, name, reason))


@contextmanager
def _run_storage(home: Path) -> Iterator[RunStorage | None]:
    """Dagster's run storage; None, without loading Dagster, where there is no instance."""
    folder = dagster_home(home)
    if not folder.is_dir() or not any(folder.iterdir()):
        yield None
        return
    from pipeline.cli import run
    from pipeline.retained.dagster_storage import DagsterStorage

    with run.instance(home) as instance:
        yield DagsterStorage(instance)


@request.command("run")
def request_run(name: Name, home: Home = DEFAULT_HOME) -> None:
    """Fulfil a verified request, or resume one that was interrupted."""
    from pipeline.cli import screen
    from pipeline.requests import fulfil

    with open_context(home) as context, _run_storage(home) as runs:
        done = fulfil.fulfil(context, name, now(), runs)
        screen.say(f"{done.name}: {done.state}, {done.history[-1].note}")


@request.command("package")
def request_package(
    name: Name,
    folder: Annotated[Path, typer.Argument(help="Folder for the package.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Decrypt the answer to an access request, to hand it to the person."""
    from pipeline.cli import screen
    from pipeline.requests import access_package

    with open_context(home) as context:
        for path in access_package.take_out(context.layout, name, folder):
            screen.say(f"written: {path}")


@request.command("lift")
def request_lift(
    kind: Annotated[str, typer.Argument(help="restricted or objected.")],
    who: Who,
    person: Chosen = None,
    yes: Yes = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Lift a person's restriction or objection."""
    from pipeline.requests import fulfil

    with open_context(home) as context:
        for one in confirmed(context, who, person, yes):
            fulfil.lift(context, one, kind, now())


@request.command("consent")
def request_consent(
    who: Who,
    purpose: Annotated[str, typer.Argument(help="Purpose, as registered in governance.yaml.")],
    withdraw: Withdraw = False,
    person: Chosen = None,
    yes: Yes = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Record consent to a purpose that is based on consent (Art. 7), or its withdrawal."""
    from pipeline.requests import fulfil

    with open_context(home) as context:
        for one in confirmed(context, who, person, yes):
            fulfil.consent(context, one, purpose, now(), given=not withdraw)


@request.command("list")
def request_list(home: Home = DEFAULT_HOME) -> None:
    """List all requests with state and deadline, and corrections that a source contradicts."""
    from pipeline.cli import screen, views
    from pipeline.requests import fulfil
    from pipeline.subjects import request_register

    with open_context(home) as context:
        views.requests(request_register.every(context.layout), now().date())
        for name in fulfil.conflicts(context):
            screen.warn(f"{name}: the source has since sent another value, which is current again")
