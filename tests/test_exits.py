"""Every exit code, by the real command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from pipeline.cli import exits
from pipeline.cli.exits import MEANING, Exit
from pipeline.errors import ErasureError, PolicyError
from pipeline.storage.layout import PROJECT
from tests.command import milestones
from tests.estate import sign_policy
from tests.fixtures import Estate


def test_done(published: Estate) -> None:
    assert milestones(published.home, "status").returncode == Exit.DONE == 0


def test_failed(published: Estate) -> None:
    for path in published.layout.reconciliation.iterdir():
        path.write_text("not what was written")
    assert milestones(published.home, "status").returncode == Exit.FAILED == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("run", "--date", "tomorrow"),
        ("check", "--date", "2026-11-05"),  # nothing was delivered
        ("policy", "sign", "--role", "legal", "--key", "nowhere.pem"),
        ("policy", "sign", "--role", "king", "--key", "README.md"),
        ("receipt", "none"),
        ("show", "--purpose", "none", "--role", "analyst"),
        ("backfill", "--from", "2020-01-01", "--to", "2020-02-01"),
    ],
)
def test_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    sign_policy(tmp_path)
    who = {"policy": "lea", "show": "ana"}.get(arguments[0], "eddy")
    monkeypatch.setenv("MILESTONES_ACTOR", who)
    done = milestones(tmp_path, *arguments)
    assert done.returncode == Exit.BAD_INPUT == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_policy_that_does_not_parse_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in PROJECT.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    monkeypatch.setenv("MILESTONES_POLICY", str(tmp_path))
    (tmp_path / "governance.yaml").write_text("purposes: [")
    assert milestones(tmp_path / "home", "plan").returncode == Exit.BAD_INPUT
    (tmp_path / "governance.yaml").unlink()
    assert milestones(tmp_path / "home", "plan").returncode == Exit.BAD_INPUT


def test_refused(published: Estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unsigned = milestones(tmp_path / "new", "plan")
    assert unsigned.returncode == Exit.REFUSED == 3, unsigned.stderr
    monkeypatch.setenv("MILESTONES_ACTOR", "stranger")
    denied = milestones(published.home, "show", "--purpose", "team_coaching")
    assert denied.returncode == Exit.REFUSED, denied.stderr


def test_incomplete(published: Estate, tmp_path: Path) -> None:
    sign_policy(tmp_path / "new")
    assert milestones(tmp_path / "new", "status").returncode == Exit.INCOMPLETE == 4
    # A job has not succeeded for longer than it may take.
    done = milestones(published.home, "status", "--max-age", "0")
    assert done.returncode == Exit.INCOMPLETE, done.stderr


def test_a_failed_run_ends_as_its_only_error_would() -> None:
    assert exits.of(ErasureError("something is left")) is Exit.INCOMPLETE
    assert exits.of(PolicyError("no")) is Exit.REFUSED
    assert exits.of(OSError("disk")) is Exit.FAILED
    assert exits.of_run(["ErasureError"]) is Exit.INCOMPLETE
    assert exits.of_run(["MalformedFile", "PolicyError"]) is Exit.REFUSED
    assert exits.of_run(["PolicyError", "OSError"]) is Exit.FAILED
    assert exits.of_run([""]) is Exit.FAILED


def test_help_and_docs_list_the_codes() -> None:
    command = [sys.executable, "-m", "pipeline.cli.app"]
    shows = subprocess.run(
        [*command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
        env=os.environ | {"COLUMNS": "160", "TERM": "dumb"},
    ).stdout
    table = (PROJECT / "docs" / "production.md").read_text()
    for code, text in MEANING.items():
        assert re.search(rf"{code.value} +{re.escape(text)}", shows)
        assert f"| {code.value} | {text} |" in table
    assert "--install-completion" in shows
    shown = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"milestones {version('lms-milestones')}\n"
