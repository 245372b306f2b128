"""Command: rehearse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.exits import Exit, end
from pipeline.cli.shared import DEFAULT_HOME, Home, date, now, open_context

if TYPE_CHECKING:
    from pipeline.context import Context
    from pipeline.governance.rehearsal import Rehearsal

Files = Annotated[
    list[Path] | None,
    typer.Argument(help="Files of one delivery; without any, what is in the landing folder."),
]
Day = Annotated[
    str | None,
    typer.Option("--date", help="Day of the delivery, YYYY-MM-DD; default all, or today."),
]


def rehearse(files: Files = None, day: Day = None, home: Home = DEFAULT_HOME) -> None:
    """Run everything on a throw-away store, under an unsigned policy, and publish nothing.

    Says what would be set aside, suppressed and published, and why.
    """
    from pipeline.governance import rehearsal, validity

    with open_context(home, valid=False) as context:
        validity.require_runnable_policy(context)
        given = date(day) if day else None
        found = rehearsal.rehearse(context, files or [], given, now())
        obstacles = validity.obstacles(context, now().date())
    _show(context, found, obstacles)
    end(Exit.REFUSED if found.refused else Exit.DONE)


def _show(context: Context, found: Rehearsal, obstacles: list[str]) -> None:
    from pipeline.cli.screen import say, warn

    for source, size in found.read:
        say(f"read: {source}, {size:,} bytes")
    _counts(context, found)
    _audiences(context)
    if found.waiting:
        warn(f"{found.waiting:,} courses wait for a decision, and are shown to nobody until then")
    for why in found.refused:
        warn(f"a run would refuse this: {why}")
    for obstacle in obstacles:
        warn(f"before a run: {obstacle}")
    say("nothing was published, and what was read for this is removed")


def _counts(context: Context, found: Rehearsal) -> None:
    """What becomes of the records, by table, without any number that is under k."""
    from pipeline.cli.screen import console, grid_of, say
    from pipeline.governance import small_counts

    k, parts = context.data_map.least_people, found.parts()
    hidden = small_counts.hidden(parts.values(), k, found.few)
    for counts, tables in _by_counts(parts):
        total = small_counts.total(counts, hidden, k)
        grid = grid_of(
            f"{', '.join(tables)}: {'–' if total is None else f'{total:,}'} records received"
        )
        grid.add_column("what becomes of them", overflow="fold")
        grid.add_column("records", justify="right", no_wrap=True)
        for name, n in counts.items():
            grid.add_row(name, "–" if name in hidden else f"{n:,}")
        console.print(grid)
    if hidden:
        say(f"–: under {k}, or hidden so that no number under {k} can be worked out")
    if found.unresolved:
        shown = f"{found.unresolved:,}" if found.unresolved >= k else f"fewer than {k}"
        say(f"{shown} people cannot be resolved")


def _by_counts(parts: dict[str, dict[str, int]]) -> list[tuple[dict[str, int], list[str]]]:
    """What becomes of the records, each once, with the tables that it is true of."""
    found: list[tuple[dict[str, int], list[str]]] = []
    for table, counts in parts.items():
        there = {name: n for name, n in counts.items() if n}
        same = next((tables for other, tables in found if other == there), None)
        if same is None:
            found.append((there, [table]))
        else:
            same.append(table)
    return found


def _audiences(context: Context) -> None:
    """Every published table with its columns, and the roles that may read it."""
    from pipeline.cli.screen import console, grid_of

    grid = grid_of("Who may read what, once it is published")
    for name in ("table", "roles", "columns"):
        grid.add_column(name, overflow="fold")
    for table, spec in context.data_map.published.items():
        roles = [
            role.value
            for role, rule in context.access.roles.items()
            if spec.audience in (*rule.receives, *rule.queries)
        ]
        grid.add_row(table, ", ".join(roles) or "nobody", ", ".join(spec.columns))
    console.print(grid)
