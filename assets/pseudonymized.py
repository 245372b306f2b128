"""Pseudonymized: one table per purpose, with that purpose's key, columns and rows only."""

import dagster as dg

from assets.common import DATA_MAP, NIGHTS, OWNERS
from expectations.boundaries import inner_columns
from pipeline import lineage
from pipeline.engine import count, engine
from pipeline.governed.lawful import require_flows_of
from pipeline.layout import built_beside
from pipeline.policy.data_map import Purpose
from pipeline.policy.windows import due_sql
from pipeline.resources import Store
from pipeline.subjects.withheld import make_withheld
from pipeline.transforms import basis, stored
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
        due = due_sql(store.retention, store.data_map, basis.read(layout).as_of, purpose)
        refs = layout.references(purpose)
        with layout.locked(), engine(layout.work) as connection:
            require_flows_of(connection, store.ground, purpose)
            make_withheld(connection, store.ground)
            with built_beside(refs, layout.work) as beside:
                write_references(connection, stored.classified(layout), key, beside)
            refs.chmod(0o600)
            with built_beside(layout.pseudonymized_for(purpose), layout.work) as beside:
                write_pseudonymized(connection, layout, purpose, due, beside)
            rows = count(
                connection, f"SELECT count(*) FROM {stored.pseudonymized(layout, purpose)}"
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
