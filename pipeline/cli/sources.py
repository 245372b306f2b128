"""Commands for sources: presets, and drafts of entries for exports that have none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
                found += suggestions(path, Path(work))
            except MalformedFile as error:
                refused = True
                screen.warn(str(error))
            except OSError as error:
                refused = True
                screen.warn(f"{path.name}: {(error.strerror or 'cannot be read').lower()}")
    if found:
        typer.echo(render.document(one_each(found)))
    if refused:
        raise typer.Exit(exits.Exit.BAD_INPUT)
