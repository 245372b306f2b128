"""Raw: the sources as delivered, and the canonical records read from one delivery."""

import datetime as dt
from collections import Counter

import dagster as dg

from assets import lineage, schemas
from assets.common import DATA_MAP, OWNERS, POOL, RUN_DATES, run_date, run_of, transient
from assets.resources import Store
from expectations import suite
from pipeline.raw import landing, register
from pipeline.raw.deliveries import ingest
from pipeline.retained import clock
from pipeline.retained.remembered import require_remembered
from pipeline.storage.engine import engine
from pipeline.storage.relations import left_out as left_out_records
from pipeline.storage.relations import records, roster_history

sources = [
    dg.AssetSpec(
        lineage.source_key(name),
        group_name="landing",
        description=f"{source.description}. Files `{source.files}` in a delivery.",
        owners=OWNERS,
        kinds={"file"},
        partitions_def=RUN_DATES,
        metadata={"dagster/column_schema": schemas.source(DATA_MAP, name)},
    )
    for name, source in DATA_MAP.sources.items()
]


@dg.asset(
    key=lineage.CANONICAL,
    group_name="raw",
    deps=[spec.key for spec in sources],
    partitions_def=RUN_DATES,
    owners=OWNERS,
    kinds={"duckdb", "parquet"},
    tags={"personal_data": "raw"},
    pool=POOL,
    metadata={
        "dagster/column_schema": schemas.canonical(DATA_MAP),
        "dagster/column_lineage": lineage.canonical_lineage(DATA_MAP),
    },
)
def milestones(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
    """One delivery in the canonical schema. Rows that break a rule go into quarantine, with the
    name of the rule; a date that no record needs is left out where it breaks one, and counted.

    Of free text only the fact that there was some is stored. A file or column that is not in the
    data map stops the run before anything is written.
    """
    store.require_loaded_policy()
    now = dt.datetime.now(dt.UTC)
    clock.require_sane(store.layout, now)
    store.require_lawful_use(now.date())
    require_remembered(store.layout)
    # The checks of the next steps need it.
    suite.preload()
    delivery = run_date(context)
    with transient(context), store.layout.locked():
        store.layout.clear_unfinished()
        register.settle(store.layout, run_of(context))
        files = ingest(store.layout, store.data_map, delivery, store.key_ring, run=run_of(context))
    with engine(store.layout.work) as connection:
        rows = records(store.layout, delivery)
        rules = connection.execute(
            f"SELECT problem, count(*) FROM {rows} WHERE problem IS NOT NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()
        discarded = connection.execute(
            "SELECT rule, count(*) FROM (SELECT unnest(discarded) AS rule FROM ("
            f"SELECT discarded FROM {rows} WHERE problem IS NULL UNION ALL "
            f"SELECT discarded FROM {roster_history(store.layout, delivery)})) "
            "GROUP BY 1 ORDER BY 1"
        ).fetchall()
        left_out = connection.execute(
            "SELECT reason, name, sum(records)::BIGINT FROM "
            f"{left_out_records(store.layout, delivery)} GROUP BY ALL ORDER BY 3 DESC, 1, 2"
        ).fetchall()
        regions = connection.execute(
            f"SELECT coalesce(region, 'ALL'), count(*) FROM {rows} GROUP BY 1 ORDER BY 1"
        ).fetchall()
    counted: Counter[str] = Counter()
    for reason, name, n in left_out:
        counted[reason] += n
        if name:
            context.log.warning(f"{n} records are only counted: {reason} {name}")
    return dg.MaterializeResult(
        metadata={
            "dagster/partition_row_count": sum(count for _, count in regions),
            "records_by_region": dict(regions),
            "quarantined_by_rule": dict(rules),
            "discarded_dates_by_rule": dict(discarded),
            "counted_only_by_reason": dict(counted),
            "to_be_decided_in_the_data_map": {name: n for _, name, n in left_out if name},
            "files": files,
            "left_alone_in_the_landing_folder": landing.no_deliveries(store.layout),
            "left_alone_in_the_delivery": landing.left_alone(
                store.layout, delivery, store.data_map.deliveries
            ),
            "dagster/column_lineage": lineage.canonical_lineage(DATA_MAP),
        }
    )
