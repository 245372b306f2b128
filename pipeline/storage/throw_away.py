"""A data folder that is thrown away: below the work folder of another one, under a storage key that
is in the memory of this process only, and removed at the end, or at the next start after a kill.
"""

from __future__ import annotations

import secrets
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.settings import changed
from pipeline.storage.layout import Layout

PREFIX = "throw-away-"
KEY_BYTES = 32
# Of the settings that would take a throw-away folder's data, or its keys, elsewhere.
ELSEWHERE = ("cluster", "exchange", "keyring", "storage_key_file", "storage_key_vault")


@contextmanager
def throw_away(layout: Layout) -> Iterator[Path]:
    """The path of an empty data folder; gone after the block, with what was made for it."""
    root = layout.work / f"{PREFIX}{uuid.uuid4().hex[:8]}"
    made = [path for path in (layout.root, layout.work) if not path.exists()]
    layout.work.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with _in_use(root), _settings_of_its_own():
            root.mkdir(mode=0o700)
            try:
                yield root
            finally:
                shutil.rmtree(root, ignore_errors=True)
    finally:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir()


def remove_left(layout: Layout) -> None:
    """Remove what killed processes left; whatever is in use stays."""
    for root in layout.work.glob(f"{PREFIX}????????"):
        with suppress(Timeout), _in_use(root):
            shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _in_use(root: Path) -> Iterator[None]:
    """Nobody removes the folder during the block.

    Raises:
        Timeout: another process uses it.
    """
    lock = FileLock(root.with_name(f"{root.name}.lock"), mode=0o600)
    with lock.acquire(blocking=False):
        try:
            yield
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)


@contextmanager
def _settings_of_its_own() -> Iterator[None]:
    """A new storage key that is stored nowhere, and no place outside the folder."""
    with changed({**dict.fromkeys(ELSEWHERE), "storage_key": secrets.token_hex(KEY_BYTES)}):
        yield
