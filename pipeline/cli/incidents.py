"""Commands for those who look after the log: its review, and incidents."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.exits import given
from pipeline.cli.reading import As, acting
from pipeline.cli.retained import DEFAULT_HOME, Home, access, now, open_context

incident = typer.Typer(help="When something has gone wrong: how far, stop it, go on.",
                       no_args_is_help=True)  # fmt: skip


def _require_log(home: Path, role: str | None) -> str:
    """The actor, if the role may read the access log."""
    from pipeline.errors import PolicyError

    with open_context(home, valid=False) as context:
        actor, acts_as = acting(context, role)
        if not context.access.roles[acts_as].log:
            raise PolicyError(f"{acts_as.value} does not read the access log")
        return actor


@access.command("review")
def access_review(since: Annotated[str | None, typer.Option(help="YYYY-MM-DD; default where the "
                                                            "last review ended.")] = None,
                  finding: Annotated[str | None, typer.Option(help="Record that you have read it, "
                                                              "and what you found.")] = None,
                  role: As = None, home: Home = DEFAULT_HOME) -> None:  # fmt: skip
    """What a reviewer should look at in the access log; with a finding, that it was reviewed."""
    from pipeline.access import review as reviews
    from pipeline.cli import oversight, screen

    actor = _require_log(home, role)
    with open_context(home, valid=False) as context:
        start = reviews.last_reviewed(context) or dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
        if since is not None:
            with given("--since"):
                start = dt.datetime.fromisoformat(since).replace(tzinfo=dt.UTC)
        found = reviews.review(context, start, now())
        oversight.review(found)
        if finding is not None:
            reviews.record(context, found, actor, finding, now())
            screen.say("recorded")
        elif reviews.overdue(context, now()):
            screen.warn("overdue: nobody has recorded a review in time")


@incident.command("scope")
def incident_scope(since: Annotated[str, typer.Option(help="ISO 8601, UTC.")], *,
                   until: Annotated[str | None, typer.Option(help="Default now.")] = None,
                   known: Annotated[str | None, typer.Option(help="When it became known; default "
                                                             "now.")] = None,
                   actor: Annotated[str | None, typer.Option(help="One actor only.")] = None,
                   table: Annotated[str | None, typer.Option(help="One table only.")] = None,
                   whole: Annotated[bool, typer.Option(help="The table's file got out.")] = False,
                   nature: str = "", measures: str = "",
                   drafts: Annotated[Path | None, typer.Option(help="Folder for drafts of the "
                                                               "notices.")] = None,
                   role: As = None, home: Home = DEFAULT_HOME) -> None:  # fmt: skip
    """Who and which fields were exposed, and until when the authority must know."""
    from pipeline.cli import oversight, screen
    from pipeline.governance import incident as incidents

    def moment(text: str | None) -> dt.datetime:
        if text is None:
            return now()
        try:
            return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
        except ValueError:
            raise typer.BadParameter("expected a date or a moment of ISO 8601") from None

    _require_log(home, role)
    with open_context(home, valid=False) as context:
        found = incidents.scope(context, moment(since), moment(until), actor=actor, table=table,
                                whole=whole)  # fmt: skip
        oversight.exposure(found, incidents.deadline(moment(known)), now())
        if drafts is not None:
            told = incidents.notices(context, found, moment(known), nature, measures)
            incidents.write_notices(told, drafts)
            screen.say(f"drafts in {drafts}")


@incident.command("freeze")
def incident_freeze(because: Annotated[str, typer.Option()], home: Home = DEFAULT_HOME) -> None:
    """Stop all reading and publishing, and take every role's files away."""
    from pipeline.access.audit import actor, note_change
    from pipeline.governance import suspension

    with open_context(home, valid=False) as context:
        suspension.suspend(context, because, actor(), now())
        note_change(context, "frozen")


@incident.command("thaw")
def incident_thaw(home: Home = DEFAULT_HOME) -> None:
    """Let reading and publishing go on; the next night makes the roles' files again."""
    from pipeline.access.audit import note_change
    from pipeline.governance import suspension

    with open_context(home, valid=False) as context:
        suspension.resume(context)
        note_change(context, "thawed")
