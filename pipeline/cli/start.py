"""Command to begin with: init."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[Path, typer.Argument(help="Folder; created if it does not exist.")],
) -> None:
    """Copy the default policy files and a workspace.yaml into a folder, to start from."""
    from pipeline.cli import screen
    from pipeline.policy.version import FILES
    from pipeline.storage.layout import default_policy

    names = (*FILES, "workspace.yaml")
    contents = {name: (default_policy() / name).read_bytes() for name in names}
    there = [name for name in names if os.path.lexists(folder / name)]
    if there:
        raise typer.BadParameter(f"{folder} already holds {', '.join(there)}; nothing was written")
    try:
        _write(folder, contents)
    except OSError as error:
        raise typer.BadParameter(f"{folder}: {error.strerror}; nothing was written") from None
    for line in _next_steps(folder.absolute()):
        screen.say(line)


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    """Write all of the files or, on an error, none; an existing file is never replaced."""
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        for name, content in contents.items():
            with (folder / name).open("xb") as file:
                written.append(folder / name)
                file.write(content)
    except BaseException:
        for path in written:
            path.unlink()
        if new:
            folder.rmdir()
        raise


def _next_steps(folder: Path) -> list[str]:
    return [
        f"The policy files and workspace.yaml are in {folder}. Next:",
        "1. List the fields of your exports in data_map.yaml and adapt the other rules.",
        f"2. Use these files from now on: export MILESTONES_POLICY={folder}",
        "3. Name somebody for legal and somebody for HR, who then sign the policy:",
        "   milestones staff put NAME --role legal --new-key NAME.pem",
        "   MILESTONES_ACTOR=NAME milestones policy sign --role legal --key NAME.pem",
        "4. Put a delivery into data/landing/YYYY-MM-DD/ and see whether it is admitted:",
        "   milestones check --date YYYY-MM-DD",
        "5. Run it (milestones run --date YYYY-MM-DD), or every day with Dagster:",
        f"   dagster dev -w {folder / 'workspace.yaml'}",
        "6. Review the courses, which nobody sees before, and run once more:",
        "   milestones courses review",
        "   milestones courses decide '*' ordinary --key NAME.pem --because 'read the titles'",
        "To look around first with made-up people: milestones demo",
    ]
