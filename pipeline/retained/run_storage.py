"""What an erasure needs of the storage of runs, so that it does not have to load Dagster."""

from __future__ import annotations

import datetime as dt
from typing import Protocol


class RunStorage(Protocol):
    """Where the pipeline's runs, events and logs are stored (dagster_storage.py)."""

    def prune(self, before: dt.datetime) -> int: ...
    def forget(self, pattern: str) -> int: ...
    def hits(self, pattern: str) -> int: ...
