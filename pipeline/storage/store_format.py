"""The format of a data folder: a number in a small file, so that no version misreads another's.

format.json, `{"format": 3}`, is made with the first write to a new data folder and copied into
every backup.
"""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.errors import PolicyError
from pipeline.storage.files import create_exclusively

FORMAT = 3
FILE = "format.json"


def create(folder: Path) -> None:
    """Give a data folder its number, unless it has one or held data before there were numbers."""
    if not (folder / FILE).exists() and not (folder / "store").exists():
        create_exclusively(folder / FILE, json.dumps({"format": FORMAT}))


def require(folder: Path) -> None:
    """Stop on a data folder that another version wrote; a new one has no format yet.

    Raises:
        PolicyError: naming both formats and what to do.
    """
    if not (folder / FILE).exists():
        if (folder / "store").exists():
            raise PolicyError(
                "This data folder was written by a version before formats; start a new data folder."
            )
        return
    if (found := _number(folder)) != FORMAT:
        raise PolicyError(
            f"This data folder has format {found}; this version reads format {FORMAT}. Install the "
            "version that wrote it, or start a new data folder."
        )


def require_backup(folder: Path) -> None:
    """Stop on a backup that another version made.

    Raises:
        PolicyError: naming both formats and what to do.
    """
    if not (folder / FILE).exists():
        raise PolicyError(
            "This backup was made by a version before formats; it cannot be restored. Start from "
            "the deliveries, or from a newer backup."
        )
    if (found := _number(folder)) != FORMAT:
        raise PolicyError(
            f"This backup has format {found}; this version reads format {FORMAT}. Install the "
            "version that made it, or restore another backup."
        )


def _number(folder: Path) -> int:
    try:
        return int(json.loads((folder / FILE).read_text("utf-8"))["format"])
    except (OSError, ValueError, KeyError, TypeError):
        raise PolicyError(f"{FILE} cannot be read; put back the one that was there.") from None
