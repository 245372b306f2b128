"""The console command: in this process, or as a process of its own where that is the subject."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

from typer import testing
from typer.testing import CliRunner

from pipeline.cli.app import app

# Typer makes all commands of the program anew for each that is called.
testing._get_command = cache(testing._get_command)

# A process of its own acts under an account as well, that of the variable ACCOUNT: the machine has
# one, and the tests many people.
ACCOUNT = (
    "import os, pwd, types\n"
    "pwd.getpwuid = lambda _: types.SimpleNamespace(\n"
    "    pw_name=os.environ.get('ACCOUNT', 'eddy'), pw_dir='/nowhere')\n"
)
COMMAND = [sys.executable, "-c", f"{ACCOUNT}from pipeline.cli.app import main\nmain()"]


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it said."""

    returncode: int
    stdout: str
    stderr: str


def milestones(home: Path, *arguments: str, dagster: Path | None = None) -> Done:
    """Run a command in this process. Its settings are gone afterwards, as with a process."""
    before = os.umask(0o077)  # as the entry point does
    try:
        with mock.patch.dict(os.environ):
            os.environ.pop("DAGSTER_HOME", None)
            if dagster is not None:
                os.environ["DAGSTER_HOME"] = str(dagster)
            done = CliRunner().invoke(app, [*arguments, "--home", str(home)])
    finally:
        os.umask(before)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


def environment() -> dict[str, str]:
    """Of a command that is a process of its own."""
    return {k: v for k, v in os.environ.items() if k != "DAGSTER_HOME"}
