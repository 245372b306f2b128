"""Commands for courses: which are ordinary, which sensitive."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.exits import given
from pipeline.cli.shared import DEFAULT_HOME, PLAIN, Home, Key, now, open_context

courses = typer.Typer(
    help="Which courses are ordinary and which sensitive; one that nobody has reviewed is shown to "
    "HR and legal only.",
    no_args_is_help=True,
)
Scope = Annotated[
    str,
    typer.Argument(
        help="Code of a course, or a pattern of codes such as 'SEC-*'; '*' means all courses that "
        "wait now and of which nothing is suggested."
    ),
]
Verdict = Annotated[str, typer.Argument(help="ordinary or sensitive.")]
Category = Annotated[
    str | None, typer.Option(help="What a sensitive course is about; default what is suggested.")
]
Reason = Annotated[
    str, typer.Option("--because", help="Reason, which is recorded; do not name a person."), PLAIN
]


@courses.command("review")
def courses_review(home: Home = DEFAULT_HOME) -> None:
    """Show the courses that wait for a decision: titles, people, and what their words suggest."""
    from pipeline.cli import views
    from pipeline.governance import courses as register

    with open_context(home) as context:
        views.courses(register.waiting(register.courses(context)), "Courses to review")


@courses.command("list")
def courses_list(home: Home = DEFAULT_HOME) -> None:
    """Show all courses, and the decisions that are in force."""
    from pipeline.access import courses as decisions
    from pipeline.cli import views
    from pipeline.governance import courses as register

    with open_context(home) as context:
        views.courses(register.courses(context), "Courses")
        views.decisions(decisions.valid(context.layout, context.access))


@courses.command("decide")
def courses_decide(
    scope: Scope,
    verdict: Verdict,
    key: Key,
    because: Reason,
    category: Category = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Decide that courses are ordinary, from the next run on, or sensitive, at once."""
    from pipeline.access import account, audit
    from pipeline.access import courses as decisions
    from pipeline.cli import screen
    from pipeline.governance import courses as register
    from pipeline.keys import signing

    if verdict not in ("ordinary", "sensitive"):
        raise typer.BadParameter("ordinary or sensitive")
    with open_context(home) as context:
        with given("--key"):
            private = signing.load_private_key(key.read_bytes())
        found = register.courses(context)
        codes, patterns = register.scope(found, scope)
        chosen = None
        if verdict == "sensitive":
            suggested = [name for names in codes.values() for name in names]
            chosen = category or next(iter(suggested), None)
            if chosen is None or (scope == decisions.ANY and scope not in codes):
                raise typer.BadParameter("say with --category what the course is about")
        made = decisions.decide(
            context,
            account.actor(context.layout),
            private,
            now(),
            because=because,
            category=chosen,
            codes=codes,
            patterns=patterns,
        )
        audit.note_change(context, f"courses, decision {made.number}: {chosen or 'ordinary'}")
        if chosen is not None:
            register.take_effect(context, made, now())
        covered = register.covered(found, made)
        left = [one for one in covered if one.suggested and one.code not in codes and not chosen]
        screen.say(f"decision {made.number}: {chosen or 'ordinary'}, {len(covered):,} courses now")
        if left:
            screen.warn(
                f"of these, {len(left):,} need a decision of their own, since their words suggest "
                "a category; `milestones courses review` shows them"
            )


@courses.command("confirm")
def courses_confirm(key: Key, home: Home = DEFAULT_HOME) -> None:
    """Sign what others have decided once more, before they are removed from the staff list."""
    from pipeline.access import account, audit
    from pipeline.access import courses as decisions
    from pipeline.cli import screen
    from pipeline.keys import signing

    with open_context(home) as context:
        with given("--key"):
            private = signing.load_private_key(key.read_bytes())
        made = decisions.confirm(context, account.actor(context.layout), private, now())
        audit.note_change(context, f"courses, {len(made)} decisions confirmed")
        screen.say(f"{len(made):,} decisions confirmed")
