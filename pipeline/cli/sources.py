"""Commands for sources: presets, and drafts of entries for exports that have none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.exits import given
from pipeline.cli.shared import DEFAULT_HOME, Home, open_context

sources = typer.Typer(
    help="Exports of learning systems: presets, and drafts for what has none.",
    no_args_is_help=True,
)


@sources.command("list")
def sources_list() -> None:
    """List the presets that come with the pipeline, and the documents that they were read from."""
    from pipeline.cli import screen
    from pipeline.policy import preset

    for name, text in preset.shipped().items():
        found = preset.parsed(name, text)
        dated = f"of {found.dated}, " if found.dated else ""
        screen.say(f"{name}: {found.source['description']}")
        screen.say(f"  files {found.source['files']}, {len(found.source['fields'])} columns")
        screen.say(f"  from {found.read_from.strip()}; {dated}read on {found.read_on}")
        if found.notes:
            screen.say(f"  {found.notes.strip()}")
    screen.say("Switch one on under `sources` in data_map.yaml:  NAME: {preset: " + name + "}")


@sources.command("suggest")
def sources_suggest(
    files: Annotated[list[Path], typer.Argument(help="Exports to draft entries for.")],
) -> None:
    """Draft entries of data_map.yaml from headers and values; prints no value, writes nothing."""
    from tempfile import TemporaryDirectory

    from pipeline.cli import exits, screen
    from pipeline.raw.readers.base import MalformedFile
    from pipeline.suggest import render
    from pipeline.suggest.suggest import one_each, suggestions

    found, refused = [], False
    # Spill files can hold values, so they are nobody else's and gone at the end.
    with TemporaryDirectory(prefix="milestones-") as work:
        for path in files:
            try:
                for one in suggestions(path, Path(work)):
                    if isinstance(one, MalformedFile):
                        refused = True
                        screen.warn(str(one))
                    else:
                        found.append(one)
            except OSError as error:
                refused = True
                screen.warn(f"{path.name}: {(error.strerror or 'cannot be read').lower()}")
    if found:
        typer.echo(render.document(one_each(found)))
    if refused:
        raise typer.Exit(exits.Exit.BAD_INPUT)


@sources.command("add")
def sources_add(
    drafts: Annotated[Path, typer.Argument(help="File with drafts, as `suggest` prints them.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Add drafted sources to the data_map.yaml in MILESTONES_POLICY, if it is consistent then."""
    import shutil
    import tempfile

    from pipeline.cli import screen
    from pipeline.context import load_context
    from pipeline.errors import BadInput
    from pipeline.governance.validity import require_runnable_policy
    from pipeline.policy.founding import with_drafts
    from pipeline.settings import settings
    from pipeline.storage.files import replace_text

    with open_context(home, valid=False) as context:
        if settings().policy is None:
            raise BadInput("MILESTONES_POLICY does not name a folder; `milestones init` makes one")
        path = context.policy_folder / "data_map.yaml"
        with given("the file of drafts"):
            drafted = drafts.read_text("utf-8")
        made = with_drafts(path.read_text("utf-8"), drafted)
        with tempfile.TemporaryDirectory() as beside:
            trial = shutil.copytree(context.policy_folder, Path(beside) / "policy")
            (trial / path.name).write_text(made, "utf-8")
            changed = load_context(home, None, trial)
            require_runnable_policy(changed)
        replace_text(path, made)
        new = sorted(set(changed.data_map.sources) - set(context.data_map.sources))
        screen.say(f"added to {path}: {', '.join(new)}")
        if left := made.count("decide:"):
            screen.warn(f"{left} places of the file wait for somebody who decides (decide: …)")
