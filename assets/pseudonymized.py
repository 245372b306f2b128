"""Pseudonymized: one table per purpose, with that purpose's key, columns and rows only."""

import dagster as dg

from assets.common import DATA_MAP, NIGHTS, OWNERS
from expectations.boundaries import inner_columns
from pipeline import lineage
from pipeline.engine import engine, literal
from pipeline.layout import built_beside
from pipeline.policy.data_map import Purpose
from pipeline.resources import Store
from pipeline.transforms.pseudonymize import (
    TABLES,
    check_against,
    write_pseudonymized,
    write_references,
)


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
        metadata={
            "dagster/column_schema": lineage.typed_schema(
                {name: kind for name, (_, kind) in inner_columns(DATA_MAP, purpose).items()},
                lineage.pseudonymized_lineage(purpose),
            ),
            "dagster/column_lineage": lineage.pseudonymized_lineage(purpose),
        },
    )
    def pseudonymized(store: Store) -> dg.MaterializeResult[None]:
        layout = store.layout
        check_against(store.data_map, purpose)
        store.key_ring.create()
        key = store.key_ring.key(purpose)
        classified = layout.classified / "current.parquet"
        refs = layout.references(purpose)
        rows = layout.pseudonymized / f"{purpose.value}.parquet"
        with engine(layout.work) as connection:
            with built_beside(refs, layout.work) as beside:
                write_references(connection, classified, key, beside)
            refs.chmod(0o600)
            with built_beside(rows, layout.work) as beside:
                write_pseudonymized(connection, classified, refs, purpose, beside)
            ((count,),) = connection.sql(f"SELECT count(*) FROM {literal(rows)}").fetchall()
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": count,
                "key_epoch": key.epoch,
                "dagster/column_lineage": lineage.pseudonymized_lineage(purpose),
            }
        )

    return pseudonymized


pseudonymized_milestones = [_pseudonymized(purpose) for purpose in Purpose]
