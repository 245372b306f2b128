"""Dagster's own settings, from the environment: where runs are stored, what may run at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from pipeline.settings import settings as environment
from pipeline.settings import variable

DATABASE = variable("database")
MARK = (
    "# Generated from the environment by `milestones`; remove this line to keep your own changes.\n"
)
LONGEST_RUN = 6 * 3600  # seconds
POOL = "store"  # of steps that write to the data folder, one run at a time


def settings() -> dict[str, Any]:
    """dagster.yaml as a mapping.

    Runs, events and schedules are stored in the PostgreSQL of MILESTONES_DATABASE (the file has the
    variable's name, not its secret), otherwise in SQLite below DAGSTER_HOME.
    """
    content: dict[str, Any] = {
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        # What a library prints can hold a value. It goes where the process writes to, and into no
        # file of Dagster's; what people need of a run is in its events.
        "compute_logs": {
            "module": "dagster._core.storage.noop_compute_log_manager",
            "class": "NoOpComputeLogManager",
        },
        # A run waits for the one that writes to the store: nothing is written twice at once.
        "concurrency": {"pools": {"granularity": "run", "default_limit": 1}},
        "run_monitoring": {"enabled": True, "max_runtime_seconds": LONGEST_RUN},
        # A run whose process died starts again; one that failed would fail again.
        "run_retries": {
            "enabled": True,
            "max_retries": 2,
            "retry_on_asset_or_op_failure": False,
        },
        "retention": {
            "schedule": {"purge_after_days": 90},
            "sensor": {
                "purge_after_days": {"skipped": 7, "started": 30, "failure": 30, "success": 30}
            },
        },
    }
    if environment().database is not None:
        content["storage"] = {"postgres": {"postgres_url": {"env": DATABASE}}}
    return content


def write(folder: Path) -> None:
    """Write dagster.yaml into DAGSTER_HOME, unless somebody edited it; call `limit_pool` next."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "dagster.yaml"
    if not path.exists() or path.read_text("utf-8").startswith(MARK):
        path.write_text(MARK + yaml.safe_dump(settings(), sort_keys=False), "utf-8")


def limit_pool(instance: dg.DagsterInstance) -> None:
    """Set the pool's limit before the first run: Dagster learns a default limit only when it first
    looks at the queue, and would start everything that waits in it by then."""
    storage = instance.event_log_storage
    if storage.supports_global_concurrency_limits and POOL not in storage.get_concurrency_keys():
        storage.set_concurrency_slots(POOL, 1)
