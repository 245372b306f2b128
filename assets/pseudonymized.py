"""Pseudonymized: one table per audience, with that audience's key, columns and rows only."""

import dagster as dg

from assets import lineage, schemas
from assets.common import DATA_MAP, OWNERS, POOL, RUN_DATES
from assets.resources import Store
from pipeline.policy.fields import Audience
from pipeline.pseudonymized import steps
from pipeline.pseudonymized.models import columns
from pipeline.storage import relations
from pipeline.storage.engine import count, engine


def _pseudonymized(audience: Audience) -> dg.AssetsDefinition:
    links = lineage.pseudonymized_lineage(audience)

    @dg.asset(
        key=lineage.pseudonymized_key(audience),
        description=f"Records for the audience {audience.value}, with pseudonyms of its own and "
        f"only the columns it may see: {', '.join(columns(audience))}. The identifiers behind the "
        "pseudonyms are kept apart, in the vault.",
        group_name="pseudonymized",
        deps=[lineage.CLASSIFIED, lineage.REFERENCE_VALUES],
        partitions_def=RUN_DATES,
        owners=OWNERS,
        kinds={"duckdb", "parquet"},
        tags={"personal_data": "pseudonymized", "purpose": audience.value},
        pool=POOL,
        metadata={
            "dagster/column_schema": schemas.pseudonymized(DATA_MAP, audience),
            "dagster/column_lineage": links,
        },
    )
    def pseudonymized(store: Store) -> dg.MaterializeResult[None]:
        store.key_ring.create()
        key = steps.pseudonymize(store.context, audience)
        with engine(store.layout.work) as connection:
            rows = count(
                connection,
                f"SELECT count(*) FROM {relations.pseudonymized(store.layout, audience)}",
            )
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": rows,
                "key_epoch": key.epoch,
                "dagster/column_lineage": links,
            }
        )

    return pseudonymized


tables = [_pseudonymized(audience) for audience in Audience]
