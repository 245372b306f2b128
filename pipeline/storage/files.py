"""Files that survive a crash: fsync, atomic replacement, exclusive creation."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = re.compile(r"\.[0-9a-f]{8}(\.old)?$")  # names that `atomic_build` gives


def fsync(path: Path) -> None:
    """Write a file's bytes, or a folder's entries, through to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_text(path: Path, text: str) -> None:
    """As `replace_bytes`, for a text."""
    replace_bytes(path, text.encode())


def replace_bytes(path: Path, content: bytes) -> None:
    """Replace a small file, mode 0600, so that a crash leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.beside")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(beside, path)
    fsync(path.parent)


def create_exclusively(path: Path, text: str) -> bool:
    """Create a small file, mode 0600, unless there is one, even if another process is creating it
    at the same moment; true if this call created it."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.beside")
    replace_text(beside, text)
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    finally:
        beside.unlink()
        fsync(path.parent)
    return True


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, mode 0600; it is on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(handle, "a", encoding="utf-8") as stream:
        stream.write(line + "\n")
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def atomic_build(target: Path, work: Path) -> Iterator[Path]:
    """Build a file or folder beside `target` and put it in place only if the block succeeds.

    Yields a path that does not exist yet, on the same file system. On an error it is removed
    and the old target stays as it was.
    """
    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = work / f"{target.name}.{uuid.uuid4().hex[:8]}"
    try:
        yield beside
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if target.is_dir():
            # A folder cannot replace one that is not empty: move the old one away first.
            gone = work / f"{target.name}.{uuid.uuid4().hex[:8]}.old"
            target.rename(gone)
            beside.rename(target)
            shutil.rmtree(gone)
        else:
            beside.replace(target)
    finally:
        if beside.is_dir():
            shutil.rmtree(beside)
        else:
            beside.unlink(missing_ok=True)


def atomic_symlink(link: Path, target: Path) -> None:
    """Point `link` to `target` in one atomic rename."""
    beside = link.with_name(f".{link.name}.{uuid.uuid4().hex[:8]}")
    beside.symlink_to(target.name, target_is_directory=True)
    os.replace(beside, link)
