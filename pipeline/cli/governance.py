"""Commands of governance: staff, policy, documents, may-share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.exits import Exit, end, given
from pipeline.cli.shared import (
    DEFAULT_HOME,
    PLAIN,
    Home,
    Key,
    Purpose,
    errors_explained,
    now,
    open_context,
)

policy = typer.Typer(
    help="The policy files: their signatures, and what a change would do.", no_args_is_help=True
)
staff = typer.Typer(help="Who works with the data, and in which roles.", no_args_is_help=True)
Actor = Annotated[str, typer.Argument(help="Name of the actor: their account on the system.")]
Roles = Annotated[list[str], typer.Option("--role", help="Role of the actor; repeatable.")]
Person = Annotated[
    str | None, typer.Option(help="The actor's own raw identifier, such as emp:4711.")
]
PublicKey = Annotated[Path | None, typer.Option(help="File of the actor's public key (PEM).")]
Pilots = Annotated[list[str], typer.Option("--actor", help="Actor in the pilot; repeatable.")]
Signer = Annotated[str, typer.Option(help="legal or hr.")]
Recipient = Annotated[str, typer.Option(help="Recipient, as registered in governance.yaml.")]


@policy.command("status")
def policy_status(home: Home = DEFAULT_HOME) -> None:
    """Show the policy's version, who has signed it, and what has expired."""
    from pipeline.access import approval
    from pipeline.cli import screen
    from pipeline.policy.governance_checks import expired

    with open_context(home, valid=False) as context:
        screen.say(f"policy {context.version[:12]}")
        for one in approval.approvals(context.layout, context.access, context.version):
            screen.say(f"signed by {one.role.value}: {one.actor}, {one.signed_at}")
        missing = approval.missing(context.layout, context.access, context.version)
        late = expired(context.governance, now().date())
        if missing:
            screen.warn(f"not signed by {' and '.join(missing)}; the pipeline will not run")
        if late:
            screen.warn(f"expired: {', '.join(late)}; the pipeline will not run")
    end(Exit.REFUSED if missing or late else Exit.DONE)


@policy.command("diff")
def policy_diff(
    folder: Annotated[Path, typer.Argument(help="Folder of the changed policy files.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Show what changed policy files would change in keys, rows, columns and people."""
    from pipeline.cli import oversight
    from pipeline.context import context_from_settings
    from pipeline.governance import preview

    with open_context(home, valid=False) as context:
        changed = context_from_settings(home, folder)
        found = preview.preview(context, context.policy_folder, changed, folder, now())
        oversight.preview(found)
    end(Exit.REFUSED if found.stopped_by else Exit.DONE)


@policy.command("pilot")
def policy_pilot(
    folder: Annotated[Path, typer.Argument(help="Folder of the changed, signed policy files.")],
    actor: Pilots,
    home: Home = DEFAULT_HOME,
) -> None:
    """Make a pilot group's files under a changed policy; nobody else's files change."""
    from pipeline.cli import screen
    from pipeline.context import context_from_settings
    from pipeline.governance import pilot
    from pipeline.governance.validity import require_lawful_use

    with open_context(home):
        changed = context_from_settings(home, folder)
        require_lawful_use(changed, now().date())
        screen.say(f"pilot files written: {pilot.start(changed, tuple(actor), now())}")


@policy.command("sign")
def policy_sign(role: Signer, key: Key, home: Home = DEFAULT_HOME) -> None:
    """Sign the current policy files, as legal or as HR."""
    from pipeline.access import account, approval, audit
    from pipeline.cli import screen
    from pipeline.keys import signing

    with open_context(home, valid=False) as context:
        with given("--key"):
            private = signing.load_private_key(key.read_bytes())
        version = approval.sign(
            context.layout,
            context.policy_folder,
            context.access,
            account.actor(context.layout),
            audit.role_named(role),
            private,
            now(),
        )
        audit.note_change(context, f"policy {version[:12]} signed as {role}")
        screen.say(f"policy {version[:12]} signed as {role}")


def go_live(
    role: Annotated[
        str | None, typer.Option(help="legal or hr; without it, show who signed.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="File of your private key (PEM).")] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Be live no longer.")] = False,
    because: Annotated[
        str, typer.Option(help="Reason for a withdrawal; do not name a person."), PLAIN
    ] = "",
    home: Home = DEFAULT_HOME,
) -> None:
    """Sign, as legal or HR, that from now on audiences may read and figures are published."""
    from pipeline.access import account, audit
    from pipeline.access import go_live as live
    from pipeline.cli import screen
    from pipeline.errors import BadInput
    from pipeline.keys import signing
    from pipeline.published import exports, gate

    with open_context(home, valid=False) as context:
        layout, rules = context.layout, context.access
        if role is not None:
            with given("--key"):
                if key is None:
                    raise BadInput("--key: the file of your private key is missing")
                private = signing.load_private_key(key.read_bytes())
            arguments = (
                layout,
                rules,
                account.actor(context.layout),
                audit.role_named(role),
                private,
                now(),
            )
            if live.sign(*arguments, live=not withdraw, because=because):
                done = f"withdrawn: {because}" if withdraw else "signed"
                audit.note_change(context, f"go-live {done} as {role}")
            if withdraw:
                with layout.locked():
                    gate.discard_staged(layout)
                    exports.remove(layout.current.resolve())
        for one in live.approvals(layout, rules):
            screen.say(f"signed by {one.role.value}: {one.actor}, {one.signed_at[:19]}")
        missing = live.missing(layout, rules)
        if missing:
            screen.warn(
                f"not live, so nobody can read anything: not signed by {' and '.join(missing)}"
            )
        else:
            screen.say("live: the next run publishes what audiences read")
    end(Exit.REFUSED if missing and role is None else Exit.DONE)


@staff.command("put")
def staff_put(
    actor: Actor,
    roles: Roles,
    person: Person = None,
    key: PublicKey = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Add an actor with their roles, or replace them; where that takes two, somebody confirms it.

    The actor's own key stays. Whoever signs makes one with `milestones staff key`.
    """
    from pipeline.access import appointments, audit
    from pipeline.access import staff as directory
    from pipeline.cli import guard, screen

    with open_context(home, valid=False) as context:
        with given("--key"):
            pem = key.read_text("utf-8") if key else None
        member = directory.Member(
            actor=actor, roles=tuple(map(audit.role_named, roles)), person=person, key=pem
        )
        done = appointments.put(context, guard.actor(context), member, now())
        named = f"{actor}: {', '.join(roles)}"
        audit.note_change(context, named if done else f"{named}, once somebody else confirms it")
        screen.say(named)
        if not done:
            screen.warn(f"waits for somebody else: milestones staff confirm {actor}")


@staff.command("new-key")
def staff_new_key(
    file: Annotated[
        Path, typer.Argument(help="New file for your private key; the public half is FILE.pub.")
    ],
) -> None:
    """Make a key pair, on your own machine and without any data folder."""
    from pipeline.access import audit
    from pipeline.cli import screen
    from pipeline.errors import BadInput
    from pipeline.keys import signing

    half = file.with_name(f"{file.name}.pub")
    with errors_explained(), given("the file of your key"):
        if half.exists():
            raise BadInput("the file for the public key already exists")
        public = audit.new_key_pair(file)
        half.write_text(public, "utf-8")
    screen.say(f"fingerprint {signing.fingerprint(public)}")
    screen.say(f"hand in the public half: milestones staff key {half}; keep {file} to yourself")


@staff.command("key")
def staff_key(
    file: Annotated[Path, typer.Argument(help="File of your public key (PEM).")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Hand in the public half of your own key, as somebody on the staff list who has none."""
    from pipeline.access import account, appointments, audit
    from pipeline.cli import screen
    from pipeline.keys import signing

    with open_context(home, valid=False) as context:
        actor = account.actor(context.layout)
        with given("the file of your public key"):
            public = signing.public_bytes(signing.load_public_key(file.read_bytes())).decode()
        counts_from = appointments.hand_in(context, actor, public, now())
        audit.note_change(context, f"{actor} has handed in a key")
        screen.say(f"{actor}: fingerprint {signing.fingerprint(public)}")
        screen.say(
            "it counts once somebody else confirms it (milestones staff confirm)"
            + (f", or from {counts_from:%Y-%m-%d %H:%M} UTC on" if counts_from else "")
        )


@staff.command("confirm")
def staff_confirm(
    actor: Actor,
    key: Annotated[
        Path | None, typer.Option(help="File of your private key (PEM), to confirm their key.")
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Confirm an actor whom somebody else appointed, or their key by its fingerprint (--key)."""
    from pipeline.access import account, appointments, audit
    from pipeline.access import staff as directory
    from pipeline.cli import guard, screen
    from pipeline.errors import BadInput
    from pipeline.keys import signing

    with open_context(home, valid=False) as context:
        by, layout = account.actor(context.layout), context.layout
        done = appointments.confirm(context, actor, guard.actor(context))
        if done is not None:
            audit.note_change(context, f"{actor} is confirmed by {by}: {', '.join(done.roles)}")
            screen.say(f"confirmed: {actor}, {', '.join(done.roles)}")
        elif key is None:
            raise BadInput(f"nothing waits for {actor}; to confirm their key, add yours (--key)")
        if key is not None:
            with given("--key"):
                private = signing.load_private_key(key.read_bytes())
            public = directory.confirm(layout, actor, by, private)
            audit.note_change(context, f"the key of {actor} is confirmed by {by}")
            screen.say(f"confirmed: {actor}, fingerprint {signing.fingerprint(public)}")


@staff.command("managers")
def staff_managers(
    key: Annotated[Path | None, typer.Option(help="Private key (PEM): confirm, as HR.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Show whether a roster waits that gives managers their role, or confirm it as HR."""
    from pipeline.access import account, audit
    from pipeline.classified import managers
    from pipeline.cli import screen
    from pipeline.keys import signing

    with open_context(home, valid=False) as context:
        if key is not None:
            with given("--key"):
                private = signing.load_private_key(key.read_bytes())
            done = managers.confirm(context, account.actor(context.layout), private)
            audit.note_change(context, f"managers by the roster of {done.delivery} confirmed")
        day, waiting = managers.in_use(context), managers.proposal(context)
        if context.access.managers is None:
            screen.say("no roster gives anybody a role: access_rules.yaml has no `managers`")
        screen.say(f"in use: the roster of {day}" if day else "no roster is in use")
        if waiting is not None and waiting.waits:
            screen.warn(
                f"the roster of {waiting.delivery} waits for HR: {waiting.changed:.0%} of its "
                "reporting lines are new or gone. HR confirms it with --key"
            )


@staff.command("remove")
def staff_remove(actor: Actor, home: Home = DEFAULT_HOME) -> None:
    """Remove an actor with all roles."""
    from pipeline.access import appointments, audit
    from pipeline.access import staff as directory
    from pipeline.published import exports
    from pipeline.read import service

    with open_context(home, valid=False) as context:
        member = directory.find(context.layout, actor)
        directory.remove(context.layout, actor)
        appointments.set_aside(context, actor)
        person = member.person if member else None
        for audience in context.access.own_reports:
            exports.withdraw(context, service.reference(context, person, audience))
        audit.note_change(context, f"{actor} removed from the staff list")


@staff.command("list")
def staff_list(home: Home = DEFAULT_HOME) -> None:
    """List actors and their roles."""
    from pipeline.access import staff as directory
    from pipeline.cli import oversight

    with open_context(home, valid=False) as context:
        oversight.staff(directory.everyone(context.layout).values())


def documents(home: Home = DEFAULT_HOME) -> None:
    """List the documents generated with the release: record of processing, notices."""
    from pipeline.cli import screen
    from pipeline.published import documents as made
    from pipeline.storage.manifest import manifest

    with open_context(home, valid=False) as context:
        manifest(context.layout)
        for path in sorted((context.layout.current / made.FOLDER).glob("*.html")):
            screen.say(str(path))


def may_share(
    table: Annotated[str, typer.Argument(help="Published table.")],
    *,
    purpose: Purpose,
    role: Annotated[str, typer.Option(help="Role that would share it.")],
    recipient: Recipient,
    home: Home = DEFAULT_HOME,
) -> None:
    """Check whether a table may be shared: yes or no, question by question."""
    from pipeline.access.audit import role_named
    from pipeline.cli import oversight
    from pipeline.governance import share

    with open_context(home, valid=False) as context:
        answers = share.checklist(context, table, role_named(role), purpose, recipient, now())
        oversight.answers(answers)
    end(Exit.DONE if all(one.yes for one in answers) else Exit.REFUSED)
