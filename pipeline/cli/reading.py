"""Commands at the door: show, receive, sign-off."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.exits import end, given
from pipeline.cli.retained import DEFAULT_HOME, Home, now, open_context

if TYPE_CHECKING:
    from pipeline.context import Context
    from pipeline.policy.access import Role

Purpose = Annotated[str, typer.Option(help="One of the register in governance.yaml.")]
As = Annotated[str | None, typer.Option("--role", help="Needed by who has several.")]
Persons = Annotated[list[str] | None, typer.Option("--person", help="Raw identifier, emp:4711; "
                                                   "repeatable.")]  # fmt: skip
Fields = Annotated[list[str] | None, typer.Option("--field", help="Repeatable.")]
Key = Annotated[Path, typer.Option(help="The private key that staff knows the actor by.")]


def acting(context: Context, role: str | None) -> tuple[str, Role]:
    """Who is at the keyboard, and in which role.

    Raises:
        PolicyError: the actor has no role; BadInput: several, and none was named.
    """
    from pipeline.access import audit
    from pipeline.access import staff as directory
    from pipeline.errors import BadInput, PolicyError

    actor = audit.actor()
    if role is not None:
        return actor, audit.role_named(role)
    member = directory.find(context.layout, actor)
    if member is None:
        raise PolicyError("the actor has no role here; set MILESTONES_ACTOR, or see `staff put`")
    if len(member.roles) != 1:
        raise BadInput(f"name a --role: {', '.join(member.roles)}")
    return actor, member.roles[0]


def references(context: Context, table: str, persons: list[str] | None) -> tuple[str, ...]:
    """Pseudonyms of some people in a table's audience.

    Raises:
        PolicyError: somebody has none there.
    """
    from pipeline.errors import PolicyError
    from pipeline.read import service

    spec = context.data_map.published.get(table)
    audience = spec.audience if spec else None
    found = [service.reference(context, one, audience) for one in persons or ()]
    if None in found:
        raise PolicyError(f"{table}: not all of these people are in it")
    return tuple(ref for ref in found if ref is not None)


def show(table: Annotated[str | None, typer.Argument(help="One table; default all of the "
                                                     "purpose.")] = None, *,
         purpose: Purpose, role: As = None, person: Persons = None, field: Fields = None,
         note: Annotated[str, typer.Option(help="Why; naming a case, not a person.")] = "",
         sign_off: Annotated[Path | None, typer.Option(help="For raw records.")] = None,
         limit: int = 10, home: Home = DEFAULT_HOME) -> None:  # fmt: skip
    """Read published tables at the door: by role, for a purpose; every reading is logged."""
    from pipeline.access.authorize import AccessRequest
    from pipeline.access.sign_off import read as read_sign_off
    from pipeline.cli import views

    with open_context(home) as context:
        actor, acts_as = acting(context, role)
        if table is None:
            shown = views.published(context, actor, acts_as, purpose, limit)
        else:
            shown = views.table(context, AccessRequest(
                actor, acts_as, purpose, table, references(context, table, person),
                tuple(field or ()), note, read_sign_off(sign_off) if sign_off else None,
            ), limit)  # fmt: skip
    end(shown)


def receive(to: Annotated[Path, typer.Argument(help="Folder for the files.")], *,
            purpose: Purpose, role: As = None, home: Home = DEFAULT_HOME) -> None:  # fmt: skip
    """Get one's role's DuckDB files for a purpose; logged like a reading."""
    from pipeline.access.authorize import AccessRequest
    from pipeline.access.staff import find
    from pipeline.cli import screen
    from pipeline.errors import BadInput
    from pipeline.read import service
    from pipeline.read.receive import receive as hand_over

    with open_context(home) as context:
        actor, acts_as = acting(context, role)
        registered = context.governance.purposes.get(purpose)
        if registered is None:
            raise BadInput("the purpose is not in the register; see governance.yaml")
        table = next(iter(context.data_map.tables_of(registered.audience)))
        member = find(context.layout, actor)
        own = service.reference(context, member.person if member else None, registered.audience)
        for path in hand_over(context, AccessRequest(actor, acts_as, purpose, table), own, to):
            screen.say(str(path))


def sign_off(asker: Annotated[str, typer.Argument(help="Who will read.")], table: str,
             out: Annotated[Path, typer.Argument(help="New file, for the asker.")], *,
             person: Persons, field: Fields, purpose: Purpose, key: Key,
             days: Annotated[int | None, typer.Option(help="How long it holds; default as long "
                             "as policy allows.")] = None,
             home: Home = DEFAULT_HOME) -> None:  # fmt: skip
    """Sign somebody else's reading of raw records: once, for these people, fields and purpose."""
    from pipeline.access import audit, sign_off
    from pipeline.cli import screen
    from pipeline.errors import BadInput
    from pipeline.keys import signing

    with open_context(home) as context:
        with given("--key"):
            private = signing.load_private_key(key.read_bytes())
        spec = context.data_map.published.get(table)
        detail = context.access.detail.get(spec.audience) if spec else None
        if detail is None:
            raise BadInput("no table of that name opens to a sign-off")
        until = now() + dt.timedelta(days=days) if days is not None else None
        made = sign_off.issue(
            private, detail.sign_off, asker=asker,
            signer=audit.actor(), table=table, people=references(context, table, person),
            fields=tuple(field or ()), purpose=purpose, version=context.version, now=now(),
            until=until,
        )  # fmt: skip
        sign_off.write(made, out)
        audit.note_change(context, f"sign-off {made.authorization.name} given to {asker}")
        screen.say(
            f"holds until {made.authorization.expires_at:%Y-%m-%d %H:%M} UTC, for one reading"
        )
