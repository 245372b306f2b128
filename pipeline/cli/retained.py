"""Commands of retention, erasure and access: plan, erase, hold, backup, keys, access."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import exits

if TYPE_CHECKING:
    from pipeline.context import Context

Home = Annotated[Path, typer.Option("--home", envvar="MILESTONES_HOME", help="Data folder.")]
DEFAULT_HOME = Path("data")
People = Annotated[list[str] | None, typer.Option("--person", help="Raw identifier; repeatable.")]
Many = Annotated[list[str] | None, typer.Option(help="Repeatable.")]
Why = Annotated[str, typer.Option(help="The reason, as it is told and kept.")]

hold = typer.Typer(help="Legal holds: what must be kept although its window is over.",
                   no_args_is_help=True)  # fmt: skip
access = typer.Typer(help="The log of who read single rows.", no_args_is_help=True)
keys = typer.Typer(help="Pseudonym keys and their epochs; the storage key.", no_args_is_help=True)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@contextmanager
def open_context(home: Path, *, valid: bool = True) -> Iterator[Context]:
    """The context of a command; our own errors become a message and an exit code.

    Args:
        valid: the policy must be signed and current, as for everything but governing itself.
    """
    from pydantic import ValidationError

    from pipeline.cli import screen
    from pipeline.context import context_from_settings
    from pipeline.errors import EngineError, ErasureError, PolicyError

    try:
        context = context_from_settings(home)
        if valid:
            from pipeline.governance.validity import require_valid_policy

            require_valid_policy(context, now().date())
        yield context
    except (PolicyError, ErasureError, EngineError) as error:
        screen.warn(str(error))
        raise typer.Exit(exits.of(error)) from None
    except ValidationError as error:
        screen.warn("; ".join(str(one["msg"]) for one in error.errors(include_input=False)))
        raise typer.Exit(exits.of(error)) from None


@access.command()
def verify(
    home: Home = DEFAULT_HOME,
    key: Annotated[Path | None, typer.Option(help="The auditor's copy of the public key.")] = None,
) -> None:
    """Does the access log hold? Names the first entry that was tampered with."""
    from pipeline.access.log import AccessLog
    from pipeline.access.verify import verify as check
    from pipeline.cli import screen
    from pipeline.keys.signing import load_public_key
    from pipeline.retained.housekeeping import expired_before

    with open_context(home, valid=False) as context:
        with exits.given("--key"):
            public = load_public_key(key.read_bytes()) if key else None
        found = check(AccessLog(context.layout), expired_before(context, now()), public)
    if found.broken is not None:
        screen.warn(f"broken: {found.broken}")
        raise typer.Exit(exits.Exit.FAILED)
    screen.say(f"{found.entries} entries hold")


def plan(home: Home = DEFAULT_HOME) -> None:
    """What a deletion would erase now, by which rule, and where it lies. Changes nothing."""
    from pipeline.cli import views
    from pipeline.retained import job

    with open_context(home) as context:
        views.plan(job.dry_run(context, now()))


def erase(home: Home = DEFAULT_HOME) -> None:
    """Erase what is past its window: the Dagster job `retention`, with its receipt."""
    from pipeline.cli import run, views
    from pipeline.retained import receipts

    with open_context(home) as context:
        before = set(receipts.newest_first(context.layout))
        exits.end(run.run_job(home, "retention", None))
        for path in sorted(set(receipts.newest_first(context.layout)) - before):
            views.receipt(receipts.read(context.layout, path.stem))


def receipt(name: Annotated[str | None, typer.Argument()] = None,
            home: Home = DEFAULT_HOME) -> None:  # fmt: skip
    """Show a receipt, by default the last one, and whether the chain of receipts is whole."""
    from pipeline.cli import screen, views
    from pipeline.errors import BadInput
    from pipeline.retained import receipts

    with open_context(home) as context:
        names = [path.stem for path in receipts.newest_first(context.layout)]
        if not names or (name is not None and name not in names):
            raise BadInput("no such receipt")
        views.receipt(receipts.read(context.layout, name or names[0]))
        broken = receipts.broken(context.layout)
        if broken:
            screen.warn(f"receipts were changed or taken out before: {', '.join(broken)}")
            raise typer.Exit(exits.Exit.FAILED)
        screen.say(f"{len(names)} receipts, the chain is whole")


@hold.command("place")
def hold_place(name: str, reason: Why, owner: Why, review_by: Annotated[str, typer.Option()],
               person: People = None, course: Many = None, record: Many = None,
               region: Many = None, source: Many = None,
               home: Home = DEFAULT_HOME) -> None:  # fmt: skip
    """Place a hold; every part of its scope that is given must fit a record."""
    from pipeline.cli import screen
    from pipeline.subjects import legal_holds

    with open_context(home) as context:
        legal_holds.place(context.layout, legal_holds.Hold.model_validate({
            "name": name, "reason": reason, "owner": owner, "placed_on": now().date(),
            "review_by": review_by, "people": tuple(person or ()), "courses": tuple(course or ()),
            "records": tuple(record or ()), "regions": tuple(region or ()),
            "sources": tuple(source or ()),
        }))  # fmt: skip
        screen.say(f"hold {name} is in force until it is lifted; review by {review_by}")


@hold.command("lift")
def hold_lift(name: str, home: Home = DEFAULT_HOME) -> None:
    """Lift a hold; what it kept is due again."""
    from pipeline.subjects import legal_holds

    with open_context(home) as context:
        legal_holds.lift(context.layout, name, now().date())


@hold.command("list")
def hold_list(home: Home = DEFAULT_HOME) -> None:
    """Holds in force; people are counted, not named."""
    from pipeline.cli import views
    from pipeline.subjects import legal_holds

    with open_context(home) as context:
        views.holds(legal_holds.live(context.layout))


def backup(home: Home = DEFAULT_HOME) -> None:
    """Copy what cannot be made again (canonical store, cases) into backups/."""
    from pipeline.cli import screen
    from pipeline.retained import backup as backups

    with open_context(home) as context:
        screen.say(f"backup {backups.make(context, now()).name}")


def restore(source: Path, home: Home = DEFAULT_HOME) -> None:
    """Bring a backup's store back; erased people are taken out before anyone can read it."""
    from pipeline.cli import screen
    from pipeline.retained import backup as backups

    with open_context(home) as context:
        gone = backups.restore(context, source.absolute())
        screen.say(f"restored; {gone} rows of erased people stayed out; run a night to publish")


@keys.command("rotate")
def keys_rotate(home: Home = DEFAULT_HOME) -> None:
    """Start a new key epoch; the next night makes every pseudonym anew."""
    from pipeline.cli import screen

    with open_context(home) as context:
        epoch = context.ring.rotate(now().date())
        screen.say(f"epoch {epoch}; the one before is destroyed after storage.key_epochs")


@keys.command("storage")
def keys_storage(
    new: Annotated[Path, typer.Argument(help="File of the new key, 256 bits in hexadecimal.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Put everything that is encrypted under another storage key."""
    from pipeline.access import audit
    from pipeline.cli import screen
    from pipeline.retained import storage_key
    from pipeline.storage import encryption

    # A store between two keys opens nothing, its policy's signers included.
    with open_context(home, valid=False) as context:
        with exits.given("the new key"):
            key = encryption.StorageKey.in_file(new)
        changed = storage_key.change(context.layout, key)
        audit.note_change(context, "the store is under another storage key")
        screen.say(f"{changed} files are under the new key")
        if encryption.given_elsewhere():
            screen.say("let the environment give the new key from now on; the old opens nothing")
        else:
            screen.say("the data folder keeps it in the place of the old one")
