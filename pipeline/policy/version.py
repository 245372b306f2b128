"""The version of the policy: one hash over all its files, and the presets that they switch on."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.errors import BadInput
from pipeline.policy import preset

FILES = (
    "data_map.yaml",
    "retention_rules.yaml",
    "disclosure_rules.yaml",
    "access_rules.yaml",
    "governance.yaml",
)


def contents(folder: Path) -> dict[str, bytes]:
    """The policy files and the presets that they switch on, those that come with the pipeline too:
    path in the folder to its bytes.

    Raises:
        BadInput: a file is missing, or cannot be read.
    """
    found = {name: _content(folder / name) for name in FILES}
    try:
        used = preset.in_use(folder, found[FILES[0]].decode("utf-8"))
    except (OSError, UnicodeDecodeError):
        raise BadInput(f"{FILES[0]}, or a preset of its own, cannot be read as UTF-8") from None
    return found | {f"{preset.FOLDER}/{name}.yaml": text.encode() for name, text in used.items()}


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise BadInput(f"{path.name}: missing") from None


def version(folder: Path) -> str:
    """SHA-256 over the names and bytes of all policy files, hexadecimal.

    Raises:
        BadInput: a file is missing.
    """
    hasher = hashlib.sha256()
    for name, content in contents(folder).items():
        hasher.update(f"{name} {len(content)}\n".encode() + content)
    return hasher.hexdigest()
