"""What all commands share: options, groups, and the context with its error messages."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from pipeline.context import Context

# Groups of `milestones --help`, by who uses the commands.
RUN = "Run the pipeline"
READ = "Read published tables"
REQUESTS = "Requests of data subjects"
RETENTION = "Retention and erasure"
GOVERNANCE = "Policy, staff and access log"
OPERATIONS = "Operations"
PANELS = (RUN, READ, REQUESTS, RETENTION, GOVERNANCE, OPERATIONS)

DEFAULT_HOME = Path("data")
Home = Annotated[Path, typer.Option("--home", envvar="MILESTONES_HOME", help="Data folder.")]
Persons = Annotated[
    list[str] | None,
    typer.Option("--person", help="Employee number, address, name or emp:4711; repeatable."),
]
Purpose = Annotated[str, typer.Option(help="Purpose, as registered in governance.yaml.")]
As = Annotated[str | None, typer.Option("--role", help="Required if you have more than one role.")]
Fields = Annotated[list[str] | None, typer.Option("--field", help="Column; repeatable.")]
Key = Annotated[Path, typer.Option(help="File of your private key (PEM).")]


class ByUse(TyperGroup):
    """Commands in the order of their groups."""

    # The type of the context is a private one of typer.
    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        def panel(name: str) -> int:
            return PANELS.index(str(getattr(self.commands[name], "rich_help_panel", RUN)))

        return sorted(super().list_commands(ctx), key=panel)


class PlainText:
    """Marks an argument or option whose text is written into a log or a register: the guard
    refuses one that names somebody (pipeline/cli/guard.py)."""


PLAIN = PlainText()


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def date(text: str) -> dt.date:
    """A date of the command line.

    Raises:
        BadParameter: it is not of the form YYYY-MM-DD.
    """
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("expected YYYY-MM-DD") from None


def moment(text: str) -> dt.datetime:
    """A date or time of the command line, in UTC.

    Raises:
        BadParameter: it is not of ISO 8601.
    """
    try:
        return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
    except ValueError:
        raise typer.BadParameter("expected a date or time in ISO 8601") from None


def dagster_home(home: Path) -> Path:
    """The folder of the Dagster instance: DAGSTER_HOME, or below the data folder."""
    return Path(os.environ.get("DAGSTER_HOME") or home.absolute() / "dagster")


@contextmanager
def errors_explained() -> Iterator[None]:
    """Our own errors become a message and an exit code."""
    from pydantic import ValidationError

    from pipeline.cli import exits, screen
    from pipeline.errors import EngineError, ErasureError, PolicyError
    from pipeline.faults import explained

    try:
        yield
    except (PolicyError, ErasureError, EngineError) as error:
        screen.warn(str(error))
        raise typer.Exit(exits.of(error)) from None
    except ValidationError as error:
        screen.warn(explained(error))
        raise typer.Exit(exits.of(error)) from None


@contextmanager
def open_context(home: Path, *, valid: bool = True) -> Iterator[Context]:
    """The context of a command; our own errors become a message and an exit code.

    Args:
        valid: the policy must be signed and current, as for everything but governance itself.
    """
    from pipeline.context import context_from_settings
    from pipeline.governance.validity import require_valid_policy

    with errors_explained():
        context = context_from_settings(home)
        if valid:
            require_valid_policy(context, now().date())
        yield context
