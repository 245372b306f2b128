"""What an erasure asks of the place where runs lie, so that it need not load Dagster."""

from __future__ import annotations

import datetime as dt
from typing import Protocol


class RunStorage(Protocol):
    """Where runs, events and logs of the pipeline lie (pipeline/retained/dagster_storage.py)."""

    def prune(self, before: dt.datetime) -> int: ...
    def forget(self, pattern: str) -> int: ...
    def hits(self, pattern: str) -> int: ...
