"""Raw: the sources as delivered, and the canonical records read from one night's delivery."""

import datetime as dt

import dagster as dg

from assets import lineage
from assets.common import DATA_MAP, OWNERS, POOL, RUN_DATES, run_date, transient
from assets.resources import Store
from pipeline.raw.deliveries import ingest
from pipeline.retained import clock
from pipeline.storage.engine import engine
from pipeline.storage.relations import records

landing_sources = [
    dg.AssetSpec(
        lineage.source_key(name),
        group_name="landing",
        description=f"{source.description}. Files `{source.files}` in a delivery.",
        owners=OWNERS,
        kinds={"file"},
        partitions_def=RUN_DATES,
        metadata={"dagster/column_schema": lineage.source_schema(DATA_MAP, name)},
    )
    for name, source in DATA_MAP.sources.items()
]


@dg.asset(
    key=lineage.CANONICAL,
    group_name="raw",
    deps=[spec.key for spec in landing_sources],
    partitions_def=RUN_DATES,
    owners=OWNERS,
    kinds={"duckdb", "parquet"},
    tags={"personal_data": "raw"},
    pool=POOL,
    metadata={
        "dagster/column_schema": lineage.typed_schema(
            lineage.CANONICAL_COLUMNS, lineage.canonical_lineage(DATA_MAP)
        ),
        "dagster/column_lineage": lineage.canonical_lineage(DATA_MAP),
    },
)
def canonical_milestones(
    context: dg.AssetExecutionContext, store: Store
) -> dg.MaterializeResult[None]:
    """One night's delivery in the canonical schema, bad rows set aside with the rule they break.

    Free text stays outside, only the fact that there was some comes along. An unlisted file or
    column stops the run before anything is written.
    """
    now = dt.datetime.now(dt.UTC)
    clock.require_sane(store.layout, now)
    store.require_lawful_use(now.date())
    delivery = run_date(context)
    with transient(context), store.layout.locked():
        store.layout.clear_unfinished()
        files = ingest(store.layout, store.data_map, delivery, store.key_ring)
    with engine(store.layout.work) as connection:
        rows = records(store.layout, delivery)
        rules = connection.sql(
            f"SELECT problem, count(*) FROM {rows} WHERE problem IS NOT NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()
        regions = connection.sql(
            f"SELECT coalesce(region, 'ALL'), count(*) FROM {rows} GROUP BY 1 ORDER BY 1"
        ).fetchall()
    return dg.MaterializeResult(
        metadata={
            "dagster/partition_row_count": sum(count for _, count in regions),
            "records_by_region": dict(regions),
            "quarantined_by_rule": dict(rules),
            "files": files,
            "dagster/column_lineage": lineage.canonical_lineage(DATA_MAP),
        }
    )
