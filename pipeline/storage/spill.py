"""DuckDB's temporary files when memory is not enough: they can hold raw values."""

from __future__ import annotations

import os
import re
import socket
import time
import uuid
from pathlib import Path

SPILL = "spill"
SPILL_NAME = re.compile(
    r"(?P<host>.+)-(?P<pid>[0-9]+)-[0-9a-f]{8}"
)  # names that `spill_folder` gives
LONGEST_SPILL = 86_400  # seconds; longer than any run


def spill_folder(work: Path) -> Path:
    """A folder name for one connection's spill. DuckDB names its files by process number, which can
    be the same in two containers over one data folder; one would remove the other's files."""
    mine = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    return work / SPILL / mine


def abandoned_spill(work: Path) -> list[Path]:
    """Folders that killed processes left behind."""
    return [path for path in (work / SPILL).glob("*") if _orphaned(path)]


def _orphaned(spill: Path) -> bool:
    """Has the process of a spill folder ended? On another machine that is assumed after a day."""
    named = SPILL_NAME.fullmatch(spill.name)
    if named is None:
        return True
    if named["host"] != socket.gethostname():
        return time.time() - spill.stat().st_mtime > LONGEST_SPILL
    try:
        os.kill(int(named["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # a process of another user, which is still running
    return False
