"""Cases must never be forgotten: holds, restrictions, consents, tombstones, requests. A forgotten
tombstone brings an erased person back; a forgotten hold erases what it keeps.

Each register is an encrypted text in the vault whose first line is the number of its changes. Every
change is announced outside the vault as well, after it is on the disk:

    cases.json   {"holds.json.enc": 7, "requests/<name>.json.enc": 2, ...}

So a register that was lost, or is an older copy, has fewer changes than were announced, and than
the last release and the receipts say.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from filelock import FileLock

from pipeline.errors import PolicyError
from pipeline.storage import encryption
from pipeline.storage.files import fsync, replace_text
from pipeline.storage.layout import Layout

ANNOUNCED = "cases.json"
REQUESTS = "requests/"
Numbers = dict[str, int]
Work = TypeVar("Work", bound=Callable[..., Any])


def read(layout: Layout, path: Path) -> str | None:
    """The text of a register; None if there is none."""
    return _stored(layout, path)[1]


def write(layout: Layout, path: Path, text: str, number: int | None = None) -> None:
    """Replace a register; both its text and that it changed are on the disk when this returns.

    Args:
        number: how often it has changed by now, for a register that is restored.

    Raises:
        PolicyError: the register is an older copy, so the change would cover up the loss.
    """
    name = _name(layout, path)
    with _alone(layout):
        known, stored = announced(layout), _stored(layout, path)[0]
        if number is None and stored < known.get(name, 0):
            raise PolicyError(
                f"vault/{name}: {known[name] - stored} of {known[name]} changes are missing; see "
                "`milestones recover`"
            )
        number = max(number or 0, stored + 1)
        encryption.write_text(layout, path, f"{number}\n{text}")
        _announce(layout, known | {name: number})


def remove(layout: Layout, path: Path) -> None:
    """Remove a register that is past retention; it is not missing then."""
    with _alone(layout):
        known = announced(layout)
        known.pop(_name(layout, path), None)
        _announce(layout, known)
        path.unlink(missing_ok=True)
        fsync(path.parent)


def numbers(layout: Layout) -> Numbers:
    """How often every register that is there has changed.

    Raises:
        PolicyError: as `encryption.read_text`.
    """
    found = {_name(layout, path): _stored(layout, path)[0] for path in registers(layout)}
    return {name: number for name, number in found.items() if number}


def number(layout: Layout, path: Path) -> int:
    """How often a register has changed; 0 if there is none, or it is none of cases."""
    return _stored(layout, path)[0]


def registers(layout: Layout) -> list[Path]:
    """The encrypted texts that can be registers of cases."""
    folders = (layout.vault, layout.vault / REQUESTS)
    return [path for folder in folders for path in sorted(folder.glob(f"*{encryption.TEXT}"))]


def announced(layout: Layout) -> Numbers:
    """How often every register had changed when it last did."""
    path = layout.root / ANNOUNCED
    found: Numbers = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def lasting(known: Numbers) -> Numbers:
    """Those of registers that no retention removes."""
    return {name: number for name, number in known.items() if not name.startswith(REQUESTS)}


def _name(layout: Layout, path: Path) -> str:
    return path.relative_to(layout.vault).as_posix()


def changes(work: Work) -> Work:
    """For a function of the layout that reads a register and writes it: nobody else changes one
    meanwhile, or the change of whoever wrote first would be lost."""

    @wraps(work)
    def by_itself(layout: Layout, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        with _alone(layout):
            return work(layout, *args, **kwargs)

    return cast(Work, by_itself)


def _alone(layout: Layout) -> FileLock:
    layout.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    # One per file and process, so that a change can be part of another.
    return FileLock(layout.root.absolute() / "lock-cases", mode=0o600, is_singleton=True)


def _announce(layout: Layout, known: Numbers) -> None:
    replace_text(layout.root / ANNOUNCED, json.dumps(known, indent=1, sort_keys=True))


def _stored(layout: Layout, path: Path) -> tuple[int, str | None]:
    """How often a register has changed, and its text."""
    whole = encryption.read_text(layout, path)
    if whole is None:
        return 0, None
    first, newline, text = whole.partition("\n")
    return (int(first), text) if newline and first.isdigit() else (0, whole)
