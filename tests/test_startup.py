"""Commands start fast: which libraries each of them loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.storage.layout import PROJECT
from tests.command import ACCOUNT
from tests.fixtures import Estate

ORCHESTRATION = {"dagster", "great_expectations"}
HEAVY = ORCHESTRATION | {"scipy", "pandas", "polars", "matplotlib", "duckdb", "numpy", "pyarrow"}
# Runs the command, and writes the top-level packages that it loaded, one a line.
CODE = f"""
{ACCOUNT}
import atexit, sys
from pathlib import Path
out = Path(sys.argv.pop(1))
atexit.register(lambda: out.write_text("\\n".join({{name.split(".")[0] for name in sys.modules}})))
from pipeline.cli.app import main
main()
"""


def loaded(tmp_path: Path, *arguments: str, actor: str = "ana") -> set[str]:
    """The top-level packages that a command loads."""
    out = tmp_path / "modules"
    environment = {k: v for k, v in os.environ.items() if k != "DAGSTER_HOME"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(out), *arguments],
        env=environment | {"ACCOUNT": actor},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(out.read_text().split())


@pytest.mark.parametrize(
    "arguments", [("--help",), ("show", "--help"), ("request", "run", "--help"), ("run", "--help")]
)
def test_help_loads_nothing_heavy(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert not HEAVY & loaded(tmp_path, *arguments)


def test_status_loads_nothing_heavy(finished_run: Estate, tmp_path: Path) -> None:
    assert not HEAVY & loaded(tmp_path, "status", "--home", str(finished_run.home))


@pytest.mark.parametrize(
    "arguments",
    [("show", "--purpose", "team_coaching"), ("receive", "FILES", "--purpose", "team_coaching")],
)
def test_reading_loads_no_orchestration(
    published: Estate, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    given = [str(tmp_path / "files") if one == "FILES" else one for one in arguments]
    found = loaded(tmp_path, *given, "--home", str(published.home))
    assert "duckdb" in found
    assert not (ORCHESTRATION | {"matplotlib"}) & found


@pytest.mark.parametrize("command", [("plan",), ("policy", "status"), ("staff", "list")])
def test_looking_loads_no_orchestration(
    published: Estate, tmp_path: Path, command: tuple[str, ...]
) -> None:
    found = loaded(tmp_path, *command, "--home", str(published.home), actor="eddy")
    # A plan opens the encrypted history of rows, and the library that does so loads pandas.
    for_nothing = {"polars", "matplotlib"} | ({"pandas"} if command != ("plan",) else set())
    assert not (ORCHESTRATION | for_nothing) & found


def test_the_definitions_load_nothing_that_few_or_later_steps_need() -> None:
    """Every process of Dagster loads them: daemon, webserver's code server, each run."""
    code = (
        "import sys, pipeline.definitions;"
        "found = {'openlineage.client', 'great_expectations', 'matplotlib'} & set(sys.modules);"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT, timeout=300)
