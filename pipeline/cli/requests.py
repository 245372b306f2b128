"""Commands for requests of data subjects: from receipt to answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.retained import DEFAULT_HOME, Home, Many, Why, now, open_context

request = typer.Typer(help="Requests of data subjects (GDPR Art. 15 to 21).",
                      no_args_is_help=True)  # fmt: skip


@request.command("receive")
def request_receive(kind: str, person: str,
                    set_: Annotated[list[str] | None, typer.Option("--set", help="For a "
                    "rectification, field=value; course_code is needed.")] = None,
                    purpose: Many = None, home: Home = DEFAULT_HOME) -> None:  # fmt: skip
    """Take a request in: access, rectification, erasure, restriction or objection."""
    from pipeline.cli import screen
    from pipeline.subjects import request_register

    with open_context(home) as context:
        details: dict[str, Any] = dict(one.split("=", 1) for one in set_ or ())
        if purpose:
            details["purposes"] = purpose
        try:
            wanted = request_register.Kind(kind)
        except ValueError:
            raise typer.BadParameter(f"one of {', '.join(request_register.Kind)}") from None
        made = request_register.receive(context.layout, wanted, person, now().date(), details)
        screen.say(f"{made.name}: answer due by {made.deadline}; next: request verify")


@request.command("verify")
def request_verify(name: str, by: Why, home: Home = DEFAULT_HOME) -> None:
    """Say who verified that the sender is the person."""
    from pipeline.subjects import request_register

    with open_context(home) as context:
        request_register.verify_identity(context.layout, name, by)


@request.command("extend")
def request_extend(name: str, because: Why, home: Home = DEFAULT_HOME) -> None:
    """Extend the deadline by two months (Art. 12(3))."""
    from pipeline.cli import screen
    from pipeline.subjects import request_register

    with open_context(home) as context:
        made = request_register.extend(context.layout, name, because, now().date())
        screen.say(f"answer due by {made.deadline}")


@request.command("refuse")
def request_refuse(name: str, because: Why, home: Home = DEFAULT_HOME) -> None:
    """Refuse a request, with the reason that the person is told."""
    from pipeline.subjects import request_register

    with open_context(home) as context:
        request_register.refuse(context.layout, name, because)


@request.command("run")
def request_run(name: str, home: Home = DEFAULT_HOME) -> None:
    """Carry a verified request out; one that was cut off is carried on."""
    from pipeline.cli import run, screen
    from pipeline.requests import fulfil
    from pipeline.retained.dagster_storage import DagsterStorage

    with open_context(home) as context, run.instance(home) as instance:
        done = fulfil.fulfil(context, name, now(), DagsterStorage(instance))
        screen.say(f"{done.name}: {done.state}, {done.history[-1].note}")


@request.command("package")
def request_package(name: str, folder: Path, home: Home = DEFAULT_HOME) -> None:
    """Take the answer to an access request out of the vault, to be handed to the person."""
    from pipeline.cli import screen
    from pipeline.requests import access_package

    with open_context(home) as context:
        for path in access_package.take_out(context.layout, name, folder):
            screen.say(f"written: {path}")


@request.command("lift")
def request_lift(kind: str, person: str, home: Home = DEFAULT_HOME) -> None:
    """End a person's limit on use: `restricted` or `objected`."""
    from pipeline.requests import fulfil

    with open_context(home) as context:
        fulfil.lift(context, person, kind, now())


@request.command("consent")
def request_consent(person: str, purpose: str,
                    withdraw: Annotated[bool, typer.Option(help="End it.")] = False,
                    home: Home = DEFAULT_HOME) -> None:  # fmt: skip
    """Take a consent down, or its withdrawal; for purposes that rest on consent (Art. 7)."""
    from pipeline.requests import fulfil

    with open_context(home) as context:
        fulfil.consent(context, person, purpose, now(), given=not withdraw)


@request.command("list")
def request_list(home: Home = DEFAULT_HOME) -> None:
    """All requests with state and deadline; identifiers are not shown."""
    from pipeline.cli import views
    from pipeline.subjects import request_register

    with open_context(home) as context:
        views.requests(request_register.every(context.layout), now().date())
