"""Commands for incidents, and for reviewers of the access log."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.retained import access
from pipeline.cli.shared import DEFAULT_HOME, PLAIN, As, Home, moment, now, open_context

incident = typer.Typer(
    help="Incidents: their scope, and suspending all use of the data.", no_args_is_help=True
)
ReviewStart = Annotated[
    str | None,
    typer.Option(help="Start of the review, YYYY-MM-DD; default the end of the last review."),
]
Finding = Annotated[
    str | None,
    typer.Option(
        help="Record that you have reviewed the log, with your finding; do not name a person."
    ),
    PLAIN,
]
Since = Annotated[str, typer.Option(help="Start of the incident, ISO 8601 in UTC.")]
Until = Annotated[str | None, typer.Option(help="End of the incident; default now.")]
Known = Annotated[
    str | None, typer.Option(help="When you became aware of it, ISO 8601 in UTC; default now.")
]
OneActor = Annotated[str | None, typer.Option(help="Only this actor's readings.")]
OneTable = Annotated[str | None, typer.Option(help="Only this table.")]
Whole = Annotated[bool, typer.Option("--whole", help="The table's file was disclosed as a whole.")]
Nature = Annotated[str, typer.Option(help="Nature of the incident, for the notices.")]
Measures = Annotated[str, typer.Option(help="Measures taken, for the notices.")]
Drafts = Annotated[
    Path | None, typer.Option(help="Folder for drafts of the notices to authority and people.")
]
Reason = Annotated[
    str,
    typer.Option(
        "--because", help="Reason, which is recorded and shown to everybody; do not name a person."
    ),
    PLAIN,
]


@access.command("review")
def access_review(
    since: ReviewStart = None,
    finding: Finding = None,
    role: As = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Show what a reviewer of the access log should look at, or record a review."""
    from pipeline.access import account
    from pipeline.access import review as reviews
    from pipeline.cli import oversight, screen

    with open_context(home, valid=False) as context:
        start = reviews.last_reviewed(context) or dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
        if since is not None:
            start = moment(since)
        found = reviews.review(context, start, now())
        oversight.review(found)
        if finding is not None:
            reviews.record(context, found, account.actor(context.layout), finding, now())
            screen.say("review recorded")
        elif reviews.overdue(context, now()):
            screen.warn("the review of the access log is overdue")


@incident.command("scope")
def incident_scope(
    since: Since,
    *,
    until: Until = None,
    known: Known = None,
    actor: OneActor = None,
    table: OneTable = None,
    whole: Whole = False,
    nature: Nature = "",
    measures: Measures = "",
    drafts: Drafts = None,
    role: As = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Show which people and fields were exposed, and the deadline for notifying the authority."""
    from pipeline.cli import oversight, screen
    from pipeline.governance import incident as incidents

    start, end = moment(since), moment(until) if until else now()
    aware = moment(known) if known else now()
    with open_context(home, valid=False) as context:
        found = incidents.scope(context, start, end, actor=actor, table=table, whole=whole)
        oversight.exposure(found, incidents.deadline(aware), now())
        if drafts is not None:
            notices = incidents.notices(context, found, aware, nature, measures)
            incidents.write_notices(notices, drafts)
            screen.say(f"drafts written: {drafts}")


@incident.command("suspend")
def incident_suspend(reason: Reason, home: Home = DEFAULT_HOME) -> None:
    """Suspend all reading and publishing, and withdraw every role's files."""
    from pipeline.access.account import actor
    from pipeline.access.audit import note_change
    from pipeline.governance import suspension

    with open_context(home, valid=False) as context:
        suspension.suspend(context, reason, actor(context.layout), now())
        note_change(context, "suspended")


@incident.command("resume")
def incident_resume(home: Home = DEFAULT_HOME) -> None:
    """Resume reading and publishing; the next run makes the roles' files again."""
    from pipeline.access.audit import note_change
    from pipeline.governance import suspension

    with open_context(home, valid=False) as context:
        suspension.resume(context)
        note_change(context, "resumed")
