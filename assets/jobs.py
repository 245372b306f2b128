"""The two jobs: one brings a delivery from raw to published, one erases what is past retention."""

from __future__ import annotations

import dagster as dg

from pipeline.operations import workers
from pipeline.operations.instance import LONGEST_RUN

LIMITS = {"dagster/max_runtime": str(LONGEST_RUN)}

nightly = dg.define_asset_job(
    "nightly",
    selection=dg.AssetSelection.groups("raw", "classified", "pseudonymized", "published"),
    executor_def=workers.executor(),
    tags=LIMITS,
    description="One delivery from raw to published: ingest, classify, pseudonymize, check, "
    "release.",
)
retention = dg.define_asset_job(
    "retention",
    selection=dg.AssetSelection.groups("retained"),
    executor_def=dg.in_process_executor,
    tags=LIMITS,
    description="Erase what is past retention: plan, erase, verify, write the receipt.",
)
