"""Commands for reading published tables: show, receive, sheet, sign-off."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pipeline.cli.exits import end, given
from pipeline.cli.shared import (
    DEFAULT_HOME,
    As,
    Fields,
    Home,
    Key,
    Persons,
    Purpose,
    now,
    open_context,
)

if TYPE_CHECKING:
    from pipeline.context import Context
    from pipeline.policy.access import Role

Table = Annotated[
    str | None, typer.Argument(help="Published table; default all tables of the purpose.")
]
Note = Annotated[
    str, typer.Option(help="Why you read this; refer to a case and do not name a person.")
]
SignOff = Annotated[
    Path | None, typer.Option(help="File with a sign-off; required for raw records.")
]
Limit = Annotated[int, typer.Option(help="Rows per table.")]
For = Annotated[
    str | None,
    typer.Option("--for", metavar="ACTOR", help="On this actor's behalf, where policy allows it."),
]
Days = Annotated[
    int | None,
    typer.Option(help="Days until the sign-off expires; default as long as the policy allows."),
]


class Reader(NamedTuple):
    """Who reads, in which role, and who hands it over on their behalf (--for)."""

    actor: str
    role: Role
    by: str | None = None


def acting(context: Context, role: str | None, other: str | None = None) -> Reader:
    """Who runs the command, or on whose behalf it is run, and in which role.

    Raises:
        PolicyError: the actor has no role.
        BadInput: the actor has several and did not choose one.
    """
    from pipeline.access import account, audit
    from pipeline.classified import managers
    from pipeline.errors import BadInput, PolicyError

    mine = account.actor(context.layout)
    actor, by = (mine, None) if other is None else (other, mine)
    if role is not None:
        return Reader(actor, audit.role_named(role), by)
    member = managers.member(context, actor)
    if member is None:
        raise PolicyError("you have no role; see `milestones staff put`")
    if len(member.roles) != 1:
        raise BadInput(f"choose a --role: {', '.join(member.roles)}")
    return Reader(actor, member.roles[0], by)


def references(context: Context, table: str, persons: list[str] | None) -> tuple[str, ...]:
    """Pseudonyms of some people in a table's audience.

    Raises:
        PolicyError: one of them has none there.
    """
    from pipeline.errors import PolicyError
    from pipeline.read import service

    spec = context.data_map.published.get(table)
    audience = spec.audience if spec else None
    found = [service.reference(context, one, audience) for one in persons or ()]
    if None in found:
        raise PolicyError(f"{table} does not contain all of these people")
    return tuple(ref for ref in found if ref is not None)


def show(
    table: Table = None,
    *,
    purpose: Purpose,
    role: As = None,
    person: Persons = None,
    field: Fields = None,
    note: Note = "",
    sign_off: SignOff = None,
    limit: Limit = 10,
    for_: For = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Show published tables that your role may read for a purpose. Every reading is logged.

    Whoever may do that for others (--for) is shown what that person may read; the log names both.
    """
    from pipeline.access.authorize import AccessRequest
    from pipeline.access.sign_off import read as read_sign_off
    from pipeline.cli import views

    with open_context(home) as context:
        reader = acting(context, role, for_)
        if table is None:
            shown = views.published(context, reader, purpose, limit)
        else:
            asked = AccessRequest(
                reader.actor,
                reader.role,
                purpose,
                table,
                people=references(context, table, person),
                fields=tuple(field or ()),
                note=note,
                sign_off=read_sign_off(sign_off) if sign_off else None,
                by=reader.by,
            )
            shown = views.table(context, asked, limit)
    end(shown)


def receive(
    to: Annotated[Path, typer.Argument(help="Folder for the files.")],
    *,
    purpose: Purpose,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the files of an earlier release.")
    ] = False,
    role: As = None,
    for_: For = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Get your role's DuckDB and Parquet files for a purpose. Logged like a reading.

    Whoever may hand files over (--for) gets what that person would get; the log names both.
    """
    from pipeline.access.authorize import AccessRequest
    from pipeline.classified import managers
    from pipeline.cli import screen
    from pipeline.errors import BadInput
    from pipeline.read import service
    from pipeline.read.receive import receive as hand_over

    with open_context(home) as context:
        reader = acting(context, role, for_)
        registered = context.governance.purposes.get(purpose)
        if registered is None:
            raise BadInput("this purpose is not registered in governance.yaml")
        table = next(iter(context.data_map.tables_of(registered.audience)))
        member = managers.member(context, reader.actor)
        own = service.reference(context, member.person if member else None, registered.audience)
        request = AccessRequest(reader.actor, reader.role, purpose, table, by=reader.by)
        for path in hand_over(context, request, own, to, replace=replace):
            screen.say(str(path))


def sheet(
    to: Annotated[Path, typer.Argument(help="Folder for the sheet, outside the data folder.")],
    *,
    note: Annotated[
        str, typer.Option(help="Why you use it in this 1:1 or review; do not name a person.")
    ],
    person: Persons = None,
    form: Annotated[
        str, typer.Option("--format", help="html, or xlsx where policy allows it.")
    ] = "html",
    spoken: Annotated[
        str | None,
        typer.Option("--language", help="One of the policy's; default the first of them."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an earlier sheet in the folder.")
    ] = False,
    role: As = None,
    for_: For = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Get the 1:1 sheet: the trainings of your own reports by name. Logged like a reading.

    Whoever may hand sheets over (--for) gets what that person would get; the log names both.
    """
    from pipeline.cli import screen
    from pipeline.read.sheet import file
    from pipeline.read.sheet.handover import rule_of

    with open_context(home) as context:
        reader = acting(context, role, for_)
        target = file.path(context, to, form, spoken, replace=replace)
        people = references(context, rule_of(context)[1], person)
        made = file.write(context, target, reader.actor, reader.role, note, people, by=reader.by)
        screen.say(str(target))
        if not made.reports:
            who = "you" if reader.by is None else reader.actor
            screen.say(f"nobody is on it: nobody reports to {who} today, or nothing may be shown")


def sign_off(
    asker: Annotated[str, typer.Argument(help="Who will read the records.")],
    table: Annotated[str, typer.Argument(help="Published table.")],
    out: Annotated[Path, typer.Argument(help="New file for the sign-off; hand it to the asker.")],
    *,
    person: Persons,
    field: Fields,
    purpose: Purpose,
    key: Key,
    days: Days = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Authorize a colleague to read raw records once, for these people, fields and purpose."""
    from pipeline.access import account, audit, sign_off
    from pipeline.classified import managers
    from pipeline.cli import screen
    from pipeline.errors import BadInput
    from pipeline.keys import signing

    with open_context(home) as context:
        with given("--key"):
            private = signing.load_private_key(key.read_bytes())
        spec = context.data_map.published.get(table)
        detail = context.access.detail.get(spec.audience) if spec else None
        if spec is None or detail is None:
            raise BadInput("there is no table of that name that a sign-off applies to")
        # They are written down: the asker at once, the fields when it is used.
        if managers.member(context, asker) is None:
            raise BadInput("the asker is nobody who may read; see `milestones staff list`")
        if not set(field or ()) <= set(spec.columns):
            raise BadInput(f"{table} does not have all of these fields")
        made = sign_off.issue(
            private,
            detail.sign_off,
            asker=asker,
            signer=account.actor(context.layout),
            table=table,
            people=references(context, table, person),
            fields=tuple(field or ()),
            purpose=purpose,
            version=context.version,
            now=now(),
            until=now() + dt.timedelta(days=days) if days is not None else None,
        )
        sign_off.write(made, out)
        audit.note_change(context, f"sign-off {made.authorization.name} given to {asker}")
        expires = made.authorization.expires_at
        screen.say(f"valid for one reading until {expires:%Y-%m-%d %H:%M} UTC")
