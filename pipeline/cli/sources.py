"""Commands for sources: the presets that one line of data_map.yaml switches on."""

from __future__ import annotations

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
