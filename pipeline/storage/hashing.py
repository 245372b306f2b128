"""SHA-256 of files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_sha256(files: Iterable[Path]) -> str:
    """One hash over files, in their order, with folders and names."""
    hasher = hashlib.sha256()
    for path in files:
        hasher.update(f"{path.parent.name}/{path.name} {file_sha256(path)}\n".encode())
    return hasher.hexdigest()
