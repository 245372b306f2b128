"""Every environment variable of the pipeline is a setting, read in one place."""

from __future__ import annotations

import ast
import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.settings import PREFIX, Settings, settings, use_home, variable
from pipeline.storage.layout import PROJECT

SECRETS = ("storage_key", "log", "database", "alert_webhook", "alert_smtp")


def modules() -> list[Path]:
    return [
        path
        for folder in ("pipeline", "assets", "expectations")
        for path in sorted((PROJECT / folder).rglob("*.py"))
        if path != PROJECT / "pipeline" / "settings.py"
    ]


def environment_reads(source: str) -> list[str]:
    """What the source code reads from the environment, as written."""
    found = []
    for node in ast.walk(ast.parse(source)):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        item = isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ"
        if item or called.startswith("os.environ.") or called == "os.getenv":
            found.append(ast.unparse(node))
    return found


def test_no_other_module_reads_the_variables() -> None:
    assert environment_reads("os.environ.get('MILESTONES_HOME'); os.environ['X']; os.getenv('Y')")
    allowed = {"DAGSTER_HOME", "GX_ANALYTICS_ENABLED"}
    for path in modules():
        for read in environment_reads(path.read_text("utf-8")):
            of_a_library = any(name in read for name in allowed)
            # OpenLineage's client reads its own variables, which are listed by name.
            assert of_a_library or path.name == "openlineage.py", f"{path}: {read}"


def test_every_setting_is_described_and_has_its_variable() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert variable(name) == PREFIX + name.upper()


def test_the_environment_is_read_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILESTONES_THREADS", raising=False)
    assert settings().threads is None
    monkeypatch.setenv("MILESTONES_THREADS", "3")
    assert settings().threads == 3
    monkeypatch.setenv("MILESTONES_THREADS", "")
    assert settings().threads is None
    monkeypatch.setenv("MILESTONES_CLOCK_IS_RIGHT", "2026-11-28")
    assert settings().clock_is_right == dt.date(2026, 11, 28)
    monkeypatch.setenv("MILESTONES_HOME", "before")
    use_home(Path("elsewhere"))
    assert settings().home == Path("elsewhere")


def test_a_wrong_value_names_the_variable_and_not_the_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MILESTONES_THREADS", "s3cret")
    monkeypatch.setenv("MILESTONES_CLOCK_IS_RIGHT", "s3cret")
    with pytest.raises(SettingsError) as failed:
        settings()
    text = str(failed.value)
    assert "MILESTONES_THREADS: must be a whole number" in text
    assert "MILESTONES_CLOCK_IS_RIGHT" in text
    assert "s3cret" not in text
    assert failed.value.__cause__ is None
    assert failed.value.__context__ is None


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_does_not_print_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable(name), "s3cret")
    assert "s3cret" not in repr(settings()) + str(settings())
    assert getattr(settings(), name).get_secret_value() == "s3cret"


def test_the_command_says_which_variable_is_wrong(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.app", "plan", "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={"MILESTONES_THREADS": "many"},
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("MILESTONES_THREADS: ")
    assert "many" not in done.stderr
