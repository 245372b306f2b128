"""What a worker serves; see pipeline/operations/workers.py.

celery -A pipeline.production.celery_app worker -Q dagster --concurrency 1
"""

from __future__ import annotations

import os

from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task

from pipeline.operations.workers import BROKER, RESULTS, SETTINGS

app = make_app(
    {
        "broker": os.environ[BROKER],
        "backend": os.environ.get(RESULTS, "rpc://"),
        "config_source": SETTINGS,
    }
)  # type: ignore[no-untyped-call]
create_task(app)  # type: ignore[no-untyped-call]
