"""Commands of governance: staff, policy, documents, may-share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.exits import Exit, end, given
from pipeline.cli.reading import Key, Purpose
from pipeline.cli.retained import DEFAULT_HOME, Home, now, open_context

policy = typer.Typer(help="The policy files: are they signed, what would a change do.",
                     no_args_is_help=True)  # fmt: skip
staff = typer.Typer(help="Who works with the data, in which roles.", no_args_is_help=True)
Roles = Annotated[list[str], typer.Option("--role", help="Repeatable.")]


@policy.command("status")
def policy_status(home: Home = DEFAULT_HOME) -> None:
    """The policy's version, who signed it, and what of it has expired."""
    from pipeline.access import approval
    from pipeline.cli import screen
    from pipeline.policy.governance_checks import expired

    with open_context(home, valid=False) as context:
        screen.say(f"policy {context.version[:12]}")
        for one in approval.approvals(context.layout, context.access, context.version):
            screen.say(f"signed by {one.role.value}: {one.actor}, {one.signed_at}")
        left = approval.missing(context.layout, context.access, context.version)
        late = expired(context.governance, now().date())
        if left:
            screen.warn(f"not signed by {' and '.join(left)}: no night will run")
        if late:
            screen.warn(f"expired: {', '.join(late)}: no night will run")
    end(Exit.REFUSED if left or late else Exit.DONE)


@policy.command("diff")
def policy_diff(folder: Annotated[Path, typer.Argument(help="Folder of the changed policy files.")],
                home: Home = DEFAULT_HOME) -> None:  # fmt: skip
    """What changed policy files would change, in keys, rows, columns and people."""
    from pipeline.cli import oversight
    from pipeline.context import context_from_settings
    from pipeline.governance import preview

    with open_context(home, valid=False) as context:
        changed = context_from_settings(home, folder)
        found = preview.preview(context, context.policy_folder, changed, folder, now())
        oversight.preview(found)
    end(Exit.REFUSED if found.stopped_by else Exit.DONE)


@policy.command("pilot")
def policy_pilot(folder: Annotated[Path, typer.Argument(help="Folder of the signed, changed policy "
                                                        "files.")],
                 actor: Annotated[list[str], typer.Option(help="Repeatable.")],
                 home: Home = DEFAULT_HOME) -> None:  # fmt: skip
    """Give a pilot group its files under a changed policy; nobody else's change."""
    from pipeline.cli import screen
    from pipeline.context import context_from_settings
    from pipeline.governance import pilot
    from pipeline.governance.validity import require_lawful_use

    with open_context(home):
        changed = context_from_settings(home, folder)
        require_lawful_use(changed, now().date())
        screen.say(f"pilot in {pilot.start(changed, tuple(actor), now())}")


@policy.command("sign")
def policy_sign(role: Annotated[str, typer.Option()], key: Key,
                home: Home = DEFAULT_HOME) -> None:  # fmt: skip
    """Sign the policy files as they are, as legal or as HR."""
    from pipeline.access import approval, audit
    from pipeline.cli import screen
    from pipeline.keys import signing

    with open_context(home, valid=False) as context:
        with given("--key"):
            private = signing.load_private_key(key.read_bytes())
        hash_ = approval.sign(
            context.layout, context.policy_folder, context.access,
            audit.actor(), audit.role_named(role), private,
            now(),
        )  # fmt: skip
        audit.note_change(context, f"policy {hash_[:12]} signed as {role}")
        screen.say(f"policy {hash_[:12]} is signed by {role}")


@staff.command("put")
def staff_put(actor: str, role: Roles,
              person: Annotated[str | None, typer.Option(help="The actor's own raw identifier, "
              "emp:4711.")] = None,
              key: Annotated[Path | None, typer.Option(help="Public key (PEM).")] = None,
              new_key: Annotated[Path | None, typer.Option(help="Make a key pair: the private key "
              "goes to this new file.")] = None,
              home: Home = DEFAULT_HOME) -> None:  # fmt: skip
    """Give an actor roles; replaces what was known of the actor."""
    from pipeline.access import audit
    from pipeline.access import staff as directory
    from pipeline.cli import screen

    with open_context(home, valid=False) as context:
        with given("--new-key" if new_key else "--key"):
            pem = (
                audit.new_key_pair(new_key) if new_key else key.read_text("utf-8") if key else None
            )
        member = directory.Member(
            actor=actor, roles=tuple(map(audit.role_named, role)), person=person, key=pem
        )
        directory.put(context.layout, member)
        audit.note_change(context, f"{actor} may act as {', '.join(role)}")
        screen.say(f"{actor}: {', '.join(role)}")


@staff.command("remove")
def staff_remove(actor: str, home: Home = DEFAULT_HOME) -> None:
    """Take all of an actor's roles away."""
    from pipeline.access import audit
    from pipeline.access import staff as directory
    from pipeline.published import exports
    from pipeline.read import service

    with open_context(home, valid=False) as context:
        member = directory.find(context.layout, actor)
        directory.remove(context.layout, actor)
        person = member.person if member else None
        for audience in context.access.own_reports:
            exports.withdraw(context, service.reference(context, person, audience))
        audit.note_change(context, f"{actor} may act no more")


@staff.command("list")
def staff_list(home: Home = DEFAULT_HOME) -> None:
    """Actors and their roles."""
    from pipeline.access import staff as directory
    from pipeline.cli import oversight

    with open_context(home, valid=False) as context:
        oversight.staff(directory.everyone(context.layout).values())


def documents(home: Home = DEFAULT_HOME) -> None:
    """Where the documents are that were made with the release: record of processing, notices."""
    from pipeline.cli import screen
    from pipeline.published import documents as made
    from pipeline.published import gate

    with open_context(home, valid=False) as context:
        gate.manifest(context.layout)
        for path in sorted((context.layout.current / made.FOLDER).glob("*.html")):
            screen.say(str(path))


def may_share(table: str, *, purpose: Purpose, role: Annotated[str, typer.Option()],
              recipient: Annotated[str, typer.Option(help="As governance.yaml names it.")],
              home: Home = DEFAULT_HOME) -> None:  # fmt: skip
    """May this table be handed on? Says yes or no, question by question."""
    from pipeline.access.audit import role_named
    from pipeline.cli import oversight
    from pipeline.governance import share

    with open_context(home, valid=False) as context:
        answers = share.checklist(context, table, role_named(role), purpose, recipient, now())
        oversight.answers(answers)
    end(Exit.DONE if all(one.yes for one in answers) else Exit.REFUSED)
