"""What DuckDB puts on the disk when memory does not do: it can hold raw values."""

from __future__ import annotations

import os
import re
import socket
import time
import uuid
from pathlib import Path

SPILL = "spill"
SPILL_NAME = re.compile(r"(?P<host>.+)-(?P<pid>[0-9]+)-[0-9a-f]{8}")  # that `spill_folder` gives
LONGEST_SPILL = 86_400  # seconds; no run may take as long


def spill_folder(work: Path) -> Path:
    """A name for one connection's spill. DuckDB names its files by the process's number, which two
    containers over one data folder can have alike: one would remove the other's."""
    mine = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    return work / SPILL / mine


def abandoned_spill(work: Path) -> list[Path]:
    """What a killed process left."""
    return [path for path in (work / SPILL).glob("*") if _orphaned(path)]


def _orphaned(spill: Path) -> bool:
    """Is the process gone that a spill folder was made for? Of another machine's, after a day."""
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
        pass  # somebody else's, and at work
    return False
