"""The version of the policy: one hash over all its files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.errors import BadInput

FILES = (
    "data_map.yaml",
    "retention_rules.yaml",
    "disclosure_rules.yaml",
    "access_rules.yaml",
    "governance.yaml",
)


def version(folder: Path) -> str:
    """SHA-256 over the names and bytes of all policy files, hexadecimal.

    Raises:
        BadInput: a file is missing.
    """
    hasher = hashlib.sha256()
    for name in FILES:
        try:
            content = (folder / name).read_bytes()
        except OSError:
            raise BadInput(f"{name}: missing") from None
        hasher.update(f"{name} {len(content)}\n".encode() + content)
    return hasher.hexdigest()
