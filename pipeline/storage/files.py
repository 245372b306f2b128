"""Files that survive a crash: fsync, atomic replacement, exclusive creation."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from urllib.parse import quote, unquote

# Names that `atomic_build` gives, and those of what DuckDB writes beside a file, such as its log.
UNFINISHED = re.compile(r"\.[0-9a-f]{8}(\..+)?$")
REPLACED = ".replaced"  # ends the name of a folder that is out of its place for two renames
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
# An older kernel, a file system that cannot, or a sandbox that forbids it.
NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}


def fsync(path: Path) -> None:
    """Write a file's bytes, or a folder's entries, through to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(path: Path) -> None:
    """As `fsync`, for a file, or a folder with everything in it."""
    for folder, _, names in os.walk(path):
        for name in names:
            fsync(Path(folder, name))
        fsync(Path(folder))
    if not path.is_dir():
        fsync(path)


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
def atomic_build(target: Path, work: Path, *, durable: bool = False) -> Iterator[Path]:
    """Build a file or folder beside `target` and put it in place only if the block succeeds.

    Yields a path that does not exist yet, on the same file system. On an error it is removed
    and the old target stays as it was. A crash leaves the old target or the new one; where the file
    system cannot exchange two folders, `put_back` sees to that.

    Args:
        work: the folder `work` of the data folder.
        durable: for what no run can make again: it is on the disk before it is put in place.
    """
    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = work / f"{target.name}.{uuid.uuid4().hex[:8]}"
    try:
        yield beside
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if durable:
            fsync_tree(beside)
        _put_in_place(beside, target, work)
        if durable:
            fsync(target.parent)
    finally:
        for path in work.glob(f"{escape(beside.name)}*"):
            _remove(path)


def _put_in_place(fresh: Path, target: Path, work: Path) -> None:
    """Replace a file or folder; the old folder is where the new one was, or removed."""
    if not target.is_dir():
        fresh.replace(target)
    elif not exchange(fresh, target):
        # A folder cannot replace one that is not empty: the old one is moved away first.
        away = _away(target, work)
        _remove(away)
        target.rename(away)
        fresh.rename(target)
        _remove(away)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names on one file system in one step (renameat2 of Linux); false where that
    cannot be done.

    Raises:
        OSError: it can, and failed.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    # What Python itself says of every rename, for whoever audits them.
    sys.audit("os.rename", str(one), str(other), -1, -1)
    if rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(other))


def _away(target: Path, work: Path) -> Path:
    """Where a folder of the data folder is while it is replaced; the name says where it belongs."""
    return work / f"{quote(str(target.relative_to(work.parent)), safe='')}{REPLACED}"


def away(work: Path) -> list[Path]:
    """Folders out of their place: a replacement is under way, or was killed."""
    return sorted(work.glob(f"*{REPLACED}"))


def put_back(work: Path) -> None:
    """After a kill between two renames: put the old folder back, or remove it if the new one is in
    place. Nobody else may be replacing anything."""
    for old in away(work):
        target = work.parent / unquote(old.name.removesuffix(REPLACED))
        if target.exists():
            _remove(old)
        else:
            old.rename(target)
            fsync(target.parent)


def _remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def atomic_symlink(link: Path, target: Path) -> None:
    """Point `link` to `target` in one atomic rename."""
    beside = link.with_name(f".{link.name}.{uuid.uuid4().hex[:8]}")
    beside.symlink_to(target.name, target_is_directory=True)
    os.replace(beside, link)
