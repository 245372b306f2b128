"""The two jobs: one brings a delivery from raw to published, one erases what is past retention.

Their runs carry the version of the policy that they were defined by. Their first steps stop if
the policy files are another version by then (assets/resources.py).
"""

from __future__ import annotations

from typing import TypeAlias

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.resources import POLICY
from pipeline.operations.instance import LONGEST_RUN

Job: TypeAlias = UnresolvedAssetJobDefinition  # no public name


def tags(policy: str) -> dict[str, str]:
    """What every run carries; `policy` as for `nightly`."""
    return {"dagster/max_runtime": str(LONGEST_RUN), POLICY: policy}


def nightly(policy: str) -> Job:
    """The job of one delivery.

    Args:
        policy: version of the policy that the assets were made from.
    """
    return dg.define_asset_job(
        "nightly",
        selection=dg.AssetSelection.groups("raw", "classified", "pseudonymized", "published"),
        # One step after the other: DuckDB uses all cores by itself, and memory is then one step's.
        executor_def=dg.in_process_executor,
        tags=tags(policy),
        description="One delivery from raw to published: ingest, classify, pseudonymize, check, "
        "release.",
    )


def retention(policy: str) -> Job:
    """The job of deletion; `policy` as for `nightly`."""
    return dg.define_asset_job(
        "retention",
        selection=dg.AssetSelection.groups("retained"),
        executor_def=dg.in_process_executor,
        tags=tags(policy),
        description="Erase what is past retention: plan, erase, verify, write the receipt.",
    )
