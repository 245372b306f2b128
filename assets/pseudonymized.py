"""Pseudonymized: one table per purpose, with that purpose's key, columns and rows only."""

import dagster as dg

from assets import lineage
from assets.common import DATA_MAP, NIGHTS, OWNERS, POOL
from assets.resources import Store
from expectations.boundaries import inner_columns
from pipeline.policy.fields import Purpose
from pipeline.pseudonymized import steps
from pipeline.pseudonymized.pseudonymize import TABLES
from pipeline.storage import relations
from pipeline.storage.engine import count, engine


def _pseudonymized(purpose: Purpose) -> dg.AssetsDefinition:
    @dg.asset(
        key=lineage.pseudonymized_key(purpose),
        description=f"Milestones for the purpose `{purpose.value}`: {', '.join(TABLES[purpose])}. "
        "The raw identifier behind a reference is in the vault, apart from here.",
        group_name="pseudonymized",
        deps=[lineage.CLASSIFIED, lineage.KNOWN],
        partitions_def=NIGHTS,
        owners=OWNERS,
        kinds={"duckdb", "parquet"},
        tags={"personal_data": "pseudonymized", "purpose": purpose.value},
        pool=POOL,
        metadata={
            "dagster/column_schema": lineage.typed_schema(
                {name: kind for name, (_, kind) in inner_columns(DATA_MAP, purpose).items()},
                lineage.pseudonymized_lineage(purpose),
            ),
            "dagster/column_lineage": lineage.pseudonymized_lineage(purpose),
        },
    )
    def pseudonymized(store: Store) -> dg.MaterializeResult[None]:
        store.key_ring.create()
        key = steps.pseudonymize(store.ground, purpose)
        with engine(store.layout.work) as connection:
            rows = count(
                connection, f"SELECT count(*) FROM {relations.pseudonymized(store.layout, purpose)}"
            )
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": rows,
                "key_epoch": key.epoch,
                "dagster/column_lineage": lineage.pseudonymized_lineage(purpose),
            }
        )

    return pseudonymized


pseudonymized_milestones = [_pseudonymized(purpose) for purpose in Purpose]
