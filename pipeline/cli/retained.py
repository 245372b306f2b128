"""Commands of retention, erasure and access: plan, erase, hold, backup, keys, access."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli import exits
from pipeline.cli.people import Yes, confirmed
from pipeline.cli.shared import DEFAULT_HOME, PLAIN, Home, Persons, now, open_context

if TYPE_CHECKING:
    from pipeline.storage.layout import Layout

hold = typer.Typer(
    help="Legal holds: what must be kept although it is past retention.", no_args_is_help=True
)
access = typer.Typer(help="The access log: who read which tables, and why.", no_args_is_help=True)
keys = typer.Typer(help="Pseudonym keys and the storage key.", no_args_is_help=True)
HoldName = Annotated[str, typer.Argument(help="Name of the hold.")]
NewName = Annotated[str, typer.Argument(help="Name of the hold; do not name a person."), PLAIN]
Reason = Annotated[
    str, typer.Option(help="Why the records must be kept; do not name a person."), PLAIN
]
Owner = Annotated[str, typer.Option(help="Who is responsible for the hold.")]
ReviewBy = Annotated[str, typer.Option(help="Date of the next review, YYYY-MM-DD.")]
Courses = Annotated[
    list[str] | None, typer.Option("--course", help="Course code in its scope; repeatable.")
]
Records = Annotated[
    list[str] | None, typer.Option("--record", help="Record type in its scope; repeatable.")
]
Regions = Annotated[
    list[str] | None, typer.Option("--region", help="Region in its scope; repeatable.")
]
Sources = Annotated[
    list[str] | None, typer.Option("--source", help="Source in its scope; repeatable.")
]
AuditorKey = Annotated[
    Path | None, typer.Option("--key", help="The auditor's copy of the log's public key (PEM).")
]

AnchorCopy = Annotated[
    Path | None, typer.Option("--anchor", help="A copy of the anchor that was kept elsewhere.")
]


@access.command()
def verify(home: Home = DEFAULT_HOME, key: AuditorKey = None, anchor: AnchorCopy = None) -> None:
    """Verify the access log: names the first entry that was tampered with, and what is not seen."""
    from pipeline.access import verify as logs
    from pipeline.access.log import AccessLog
    from pipeline.cli import screen
    from pipeline.keys.signing import load_public_key
    from pipeline.retained.housekeeping import expired_before
    from pipeline.retained.implied import implied, of_copy

    with open_context(home, valid=False) as context:
        layout = context.layout
        with exits.given("--key"):
            public = load_public_key(key.read_bytes()) if key else None
        heads = [*implied(layout), *([of_copy(anchor)] if anchor else [])]
        found = logs.verify(AccessLog(layout), expired_before(context, now()), public, heads)
        broken = found.broken or _empty(layout)
        blind = logs.blind_spots(layout, own_key=public is not None, copy=anchor is not None)
    if broken is not None:
        screen.warn(f"the access log was tampered with: {broken}")
        raise typer.Exit(exits.Exit.FAILED)
    screen.say(f"{found.entries} entries verified")
    if found.left_out:
        screen.warn(
            "the last entry is not in the anchor: a crash left it out, or the anchor was cut off"
        )
    for one in blind:
        screen.warn(f"not seen from here: {one}")


def _empty(layout: Layout) -> str | None:
    """How a log without any entry is broken, where one was made with the staff list."""
    from pipeline.access import staff
    from pipeline.access.log import has_entries

    if has_entries(layout) or not staff.everyone(layout):
        return None
    return "it is empty, and the staff list is not"


def plan(home: Home = DEFAULT_HOME) -> None:
    """Show what is past retention: which records, by which rule, and where. Changes nothing."""
    from pipeline.cli import views
    from pipeline.retained.plan import dry_run

    with open_context(home) as context:
        views.plan(dry_run(context, now()))


def erase(home: Home = DEFAULT_HOME) -> None:
    """Erase what is past retention and show the receipt: the Dagster job `retention`."""
    from pipeline.cli import run, views
    from pipeline.retained import receipts

    with open_context(home) as context:
        before = set(receipts.newest_first(context.layout))
        exits.end(run.run_job(home, "retention", None))
        for path in sorted(set(receipts.newest_first(context.layout)) - before):
            views.receipt(receipts.read(context.layout, path.stem))


def receipt(
    name: Annotated[
        str | None, typer.Argument(help="Name of the receipt; default the newest.")
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Show a receipt of erasure, and verify the chain of all receipts."""
    from pipeline.cli import screen, views
    from pipeline.errors import BadInput
    from pipeline.retained import receipts

    with open_context(home) as context:
        names = [path.stem for path in receipts.newest_first(context.layout)]
        if not names or (name is not None and name not in names):
            raise BadInput("there is no such receipt")
        views.receipt(receipts.read(context.layout, name or names[0]))
        broken = receipts.broken(context.layout)
        if broken:
            screen.warn(f"receipts were changed or removed before: {', '.join(broken)}")
            raise typer.Exit(exits.Exit.FAILED)
        screen.say(f"{len(names)} receipts, the chain is complete")


@hold.command("place")
def hold_place(
    name: NewName,
    reason: Reason,
    owner: Owner,
    review_by: ReviewBy,
    person: Persons = None,
    course: Courses = None,
    record: Records = None,
    region: Regions = None,
    source: Sources = None,
    yes: Yes = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Place a hold on the records that match every part of its scope."""
    from pipeline.cli import screen
    from pipeline.subjects import legal_holds

    given: dict[str, Any] = {
        "name": name,
        "reason": reason,
        "owner": owner,
        "placed_on": now().date(),
        "review_by": review_by,
        "people": (),
        "courses": tuple(course or ()),
        "records": tuple(record or ()),
        "regions": tuple(region or ()),
        "sources": tuple(source or ()),
    }
    with open_context(home) as context:
        meant = (confirmed(context, one, yes=yes) for one in person or ())
        given["people"] = tuple(dict.fromkeys(one for found in meant for one in found))
        legal_holds.place(context.layout, legal_holds.Hold.model_validate(given))
        screen.say(f"hold {name} is in force until it is lifted; review it by {review_by}")


@hold.command("lift")
def hold_lift(name: HoldName, home: Home = DEFAULT_HOME) -> None:
    """Lift a hold; retention applies again to what it kept."""
    from pipeline.subjects import legal_holds

    with open_context(home) as context:
        legal_holds.lift(context.layout, name, now().date())


@hold.command("list")
def hold_list(home: Home = DEFAULT_HOME) -> None:
    """List the holds in force; people are counted, not named."""
    from pipeline.cli import views
    from pipeline.subjects import legal_holds

    with open_context(home) as context:
        views.holds(legal_holds.live(context.layout))


def backup(home: Home = DEFAULT_HOME) -> None:
    """Back up what cannot be rebuilt (records, cases, publication history) into backups/."""
    from pipeline.cli import screen
    from pipeline.retained import backup as backups

    with open_context(home) as context:
        screen.say(f"backup written: {backups.make(context, now()).name}")


def restore(
    source: Annotated[Path, typer.Argument(help="Folder of the backup.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Restore a backup's records, and add its cases and publication history to what is there.

    People who were erased since are removed before anyone can read it. Deliveries that came after
    the backup are named.
    """
    from pipeline.cli import screen
    from pipeline.retained import backup as backups

    # A new data folder has no signed policy yet: the backup has.
    with open_context(home, valid=False) as context:
        done = backups.restore(context, source.absolute())
        screen.say(
            f"restored without {done.removed} rows of erased people; run the pipeline to publish"
        )
        if done.missing:
            days = ", ".join(map(str, done.missing))
            screen.warn(
                f"not in this backup: the deliveries of {days}. Ingest them again: "
                f"`milestones backfill --from {done.missing[0]} --to {done.missing[-1]}`"
            )
            raise typer.Exit(exits.Exit.INCOMPLETE)


def recover(
    accept: Annotated[
        str | None,
        typer.Option("--accept-loss", metavar="REASON", help="Accept what cannot be recovered."),
        PLAIN,
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Recover what must not be forgotten from the current release and the backups.

    That is the publication history, holds, restrictions and tombstones. What is still missing is
    shown.
    """
    from pipeline.cli import screen
    from pipeline.retained import recover as recovery

    with open_context(home, valid=False) as context:
        if accept is not None:
            for one in recovery.accept(context, accept):
                screen.say(f"accepted as lost, and noted in the access log: {one}")
            return
        lost = recovery.recover(context)
        for one in lost:
            screen.warn(f"missing: {one}")
        if lost:
            raise typer.Exit(exits.Exit.INCOMPLETE)
        screen.say("nothing is missing")


@keys.command("rotate")
def keys_rotate(home: Home = DEFAULT_HOME) -> None:
    """Start a new epoch of pseudonym keys; the next run changes every pseudonym."""
    from pipeline.cli import screen

    with open_context(home) as context:
        epoch = context.ring.rotate(now().date())
        screen.say(f"epoch {epoch}; the previous one is destroyed after storage.key_epochs")
        screen.warn(
            "A new key ends links by pseudonym only: whoever has tables of before and of after can "
            "still match rows that say the same."
        )


@keys.command("storage")
def keys_storage(
    new: Annotated[Path, typer.Argument(help="File of the new key, 256 bits in hexadecimal.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Encrypt everything that is encrypted at rest under a new storage key."""
    from pipeline.access import audit
    from pipeline.cli import screen
    from pipeline.retained import storage_key
    from pipeline.storage import encryption

    # A store between two keys opens nothing, its policy's signers included.
    with open_context(home, valid=False) as context:
        with exits.given("the new key"):
            key = encryption.StorageKey.in_file(new)
        changed = storage_key.change(context.layout, key)
        audit.note_change(context, "the storage key was replaced")
        screen.say(f"{changed} files are encrypted under the new key")
        if encryption.given_elsewhere():
            screen.say("set the new key in the environment now; the old key opens nothing any more")
        else:
            screen.say("the new key has replaced the old one in the data folder")
