"""Dagster's own settings, made from the environment: where runs are kept, what may run at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from pipeline.settings import settings as environment
from pipeline.settings import variable

DATABASE = variable("database")
MARK = (
    "# Made from the environment by `milestones`; take this line out to keep the file as it is.\n"
)
LONGEST_RUN = 6 * 3600  # seconds
POOL = "store"  # whoever writes to the data folder, one at a time


def settings() -> dict[str, Any]:
    """dagster.yaml as a mapping.

    Runs, events and schedules lie in PostgreSQL where MILESTONES_DATABASE names one (the file keeps
    the variable's name, not its secret), else in SQLite below DAGSTER_HOME.
    """
    told: dict[str, Any] = {
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        # A run waits until whoever writes to the store has ended: no partition is written twice.
        "concurrency": {"pools": {"granularity": "run", "default_limit": 1}},
        "run_monitoring": {"enabled": True, "max_runtime_seconds": LONGEST_RUN},
        # A run whose process died starts again; one that failed by itself would fail again.
        "run_retries": {
            "enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False,
        },
        "retention": {
            "schedule": {"purge_after_days": 90},
            "sensor": {"purge_after_days": {"skipped": 7, "started": 30, "failure": 30,
                                            "success": 30}},
        },
    }  # fmt: skip
    if environment().database is not None:
        told["storage"] = {"postgres": {"postgres_url": {"env": DATABASE}}}
    return told


def write(folder: Path) -> None:
    """Write dagster.yaml into DAGSTER_HOME, unless somebody made it their own; `limit_pool` comes
    next."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "dagster.yaml"
    if not path.exists() or path.read_text("utf-8").startswith(MARK):
        path.write_text(MARK + yaml.safe_dump(settings(), sort_keys=False), "utf-8")


def limit_pool(instance: dg.DagsterInstance) -> None:
    """Have the pool's limit known before the first run: Dagster learns a default limit from the
    first look at the queue, and lets everything through that waits in it by then."""
    storage = instance.event_log_storage
    if storage.supports_global_concurrency_limits and POOL not in storage.get_concurrency_keys():
        storage.set_concurrency_slots(POOL, 1)
