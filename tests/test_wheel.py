"""What is built installs and runs outside the checkout, with its policy files."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipeline.storage.layout import PROJECT, default_policy

POLICY = (
    "access_rules.yaml",
    "data_map.yaml",
    "disclosure_rules.yaml",
    "governance.yaml",
    "retention_rules.yaml",
    "workspace.yaml",
)
PACKAGES = ("assets", "expectations", "pipeline")
OURS = ("DAGSTER_", "MILESTONES_", "PYTHON")


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints, without this process's settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scripts of a new environment that has the wheel, and this environment's libraries only."""
    base = tmp_path_factory.mktemp("wheel")
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", base)
    run(sys.executable, *build, PROJECT, cwd=base)
    (wheel,) = base.glob("*.whl")
    venv.create(base / "venv", symlinks=True)
    python = base / "venv" / "bin" / "python"
    pip = ("-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps")
    run(sys.executable, *pip, wheel, cwd=base)
    # A folder that is added by a .pth has its own .pth files left alone: the checkout that is
    # installed here does not shine through.
    (site,) = (base / "venv" / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def test_the_installed_package_is_whole_and_its_own(installed: Path, tmp_path: Path) -> None:
    print_paths = "import assets, expectations, pipeline;"
    print_paths += "print(assets.__file__, expectations.__file__, pipeline.__file__)"
    found = [
        Path(one) for one in run(installed / "python", "-c", print_paths, cwd=tmp_path).split()
    ]
    site = found[0].parent.parent
    assert site.is_relative_to(installed.parent)
    assert all(one.is_relative_to(site) for one in found)
    for package in PACKAGES:
        ours = {
            one.relative_to(PROJECT)
            for one in (PROJECT / package).rglob("*")
            if one.is_file() and "__pycache__" not in one.parts
        }
        theirs = {
            one.relative_to(site)
            for one in (site / package).rglob("*")
            if one.is_file() and "__pycache__" not in one.parts
        }
        extra = (
            {Path("pipeline/defaults", one) for one in POLICY} if package == "pipeline" else set()
        )
        assert theirs == ours | extra
    assert not (site / "tests").exists()
    assert not (site / "benchmarks").exists()
    for name in POLICY:
        assert (site / "pipeline/defaults" / name).read_bytes() == (PROJECT / name).read_bytes()


def test_init_copies_the_policy_to_start_from(installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "company"
    says = run(installed / "milestones", "init", folder, cwd=tmp_path)
    assert f"MILESTONES_POLICY={folder}" in says.replace("\n", "")
    assert {one.name for one in folder.iterdir()} == set(POLICY)
    for name in POLICY:
        assert (folder / name).read_bytes() == (PROJECT / name).read_bytes()
    (location,) = yaml.safe_load((folder / "workspace.yaml").read_text())["load_from"]
    code = f"import {location['python_module']['module_name']} as m; print(m.defs)"
    assert "Definitions" in run(installed / "python", "-c", code, cwd=tmp_path)


def test_init_writes_all_files_or_none(tmp_path: Path) -> None:
    folder = tmp_path / "company"
    folder.mkdir()
    for name in ("governance.yaml", "notes.txt"):
        (folder / name).write_text("mine")
    (folder / "data_map.yaml").symlink_to(tmp_path / "nowhere")
    command = [sys.executable, "-m", "pipeline.cli.app", "init", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == 2
    assert "data_map.yaml" in done.stderr
    assert "governance.yaml" in done.stderr
    assert {one.name for one in folder.iterdir()} == {
        "data_map.yaml",
        "governance.yaml",
        "notes.txt",
    }
    assert not (tmp_path / "nowhere").exists()


def test_a_failed_init_leaves_nothing(tmp_path: Path) -> None:
    from pipeline.cli import start

    class Full(dict[str, bytes]):
        def items(self) -> Iterator[tuple[str, bytes]]:  # type: ignore[override]
            yield "a.yaml", b"1"
            raise OSError(28, "No space left on device")

    (tmp_path / "notes.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "new"):
        with pytest.raises(OSError, match="No space"):
            start._write(folder, Full())
    assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]


def test_a_checkout_uses_its_own_files() -> None:
    assert default_policy() == PROJECT


@pytest.mark.soak
def test_the_installed_demo_runs(installed: Path, tmp_path: Path) -> None:
    demo = ("demo", "--people", "60", "--records", "2000")
    says = run(installed / "milestones", *demo, cwd=tmp_path)
    assert "received = quarantined + superseded + suppressed + published, for every table" in says
    assert (tmp_path / "data" / "releases" / "current" / "coaching.html").exists()
