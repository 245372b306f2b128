"""What a worker serves; see pipeline/operations/workers.py.

celery -A pipeline.production.celery_app worker -Q dagster --concurrency 1
"""

from __future__ import annotations

from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task

from pipeline.operations.workers import SETTINGS
from pipeline.settings import settings

given = settings()
assert given.broker is not None, "MILESTONES_BROKER is not set"
app = make_app(
    {
        "broker": given.broker.get_secret_value(),
        "backend": given.broker_results.get_secret_value() if given.broker_results else "rpc://",
        "config_source": SETTINGS,
    }
)  # type: ignore[no-untyped-call]
create_task(app)  # type: ignore[no-untyped-call]
