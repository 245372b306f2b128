"""Who takes the steps of a run: its own process, or Celery's workers by MILESTONES_BROKER.

The executor is Dagster's own (dagster-celery). Workers see the same data folder, on a shared file
system, and have the same environment as the daemon. Any broker of Celery's does, the PostgreSQL
that Dagster has its storage in as well (`sqla+postgresql://`). Steps travel by their names, and
their events come back: no row of anybody's goes through the broker.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from pipeline.settings import settings, variable

BROKER = variable("broker")
RESULTS = variable("broker_results")  # where what became of a step is left for the run to find
SETTINGS = {
    # One step at a time is taken, and given back if the worker's process dies with it.
    "worker_prefetch_multiplier": 1,
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "result_expires": 86_400,  # seconds
}


def executor() -> dg.ExecutorDefinition:
    """Of the night: Celery's workers, or else one step after the other in the run's own process,
    since DuckDB uses all cores by itself and memory is then one step's."""
    if settings().broker is None:
        return dg.in_process_executor
    # Only who has workers needs the library.
    from dagster_celery import celery_executor

    # A run's configuration keeps the variables' names, and not what secrets stand in them.
    told: dict[str, Any] = {"broker": {"env": BROKER}, "config_source": SETTINGS}
    if settings().broker_results is not None:
        told["backend"] = {"env": RESULTS}
    return celery_executor.configured(told, name="celery")
