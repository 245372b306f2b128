"""Published: the tables staged per audience, and the release through the gate."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from assets import lineage, schemas
from assets.common import CONTEXT, DATA_MAP, OWNERS, POOL, RUN_DATES, run_date, run_of, transient
from assets.resources import Store
from pipeline.access import go_live
from pipeline.classified import managers, names
from pipeline.policy.data_map import Published
from pipeline.policy.fields import Audience
from pipeline.published import gate, publication_history, risk, risk_report, row_history, team_names
from pipeline.published.reconciliation import (
    published_rows,
    reconcile,
    suppressed_by_reason,
    unbalanced,
    write_reconciliation,
)
from pipeline.published.stage import stage_database
from pipeline.raw import register
from pipeline.retained import receipts
from pipeline.retained.remembered import require_remembered
from pipeline.storage.engine import engine


def _lineage(table: str) -> dg.TableColumnLineage:
    return lineage.published_lineage(DATA_MAP, CONTEXT.disclosure, table)


def _personal_data(listed: Published) -> str:
    if listed.dimension:
        return "none"
    return "aggregated" if listed.k else "pseudonymized"


def _spec(table: str) -> dg.AssetSpec:
    """One staged table as the graph shows it."""
    listed = DATA_MAP.published[table]
    return dg.AssetSpec(
        lineage.published_key(table),
        deps=[
            lineage.pseudonymized_key(listed.audience),
            *([lineage.CLASSIFIED] if listed.dimension == "course" else []),
            *([lineage.CANONICAL] if listed.dimension == "team" else []),
        ],
        description=listed.description,
        group_name="published",
        owners=OWNERS,
        kinds={"duckdb"},
        tags={
            "personal_data": _personal_data(listed),
            "purpose": listed.audience.value,
        },
        metadata={
            "dagster/column_schema": schemas.published(DATA_MAP, CONTEXT.disclosure, table),
            "dagster/column_lineage": _lineage(table),
            **schemas.minimum_group(CONTEXT, table),
            **schemas.governance(CONTEXT, table),
        },
    )


def _staged(audience: Audience) -> dg.AssetsDefinition:
    published_tables = list(DATA_MAP.with_dimensions(audience))

    @dg.multi_asset(
        name=f"staged_for_{audience.value}",
        specs=[_spec(table) for table in published_tables],
        partitions_def=RUN_DATES,
        pool=POOL,
    )
    def staged(
        context: dg.AssetExecutionContext, store: Store
    ) -> Iterator[dg.MaterializeResult[None]]:
        partition = str(run_date(context))
        for table in published_tables:
            gate.break_seal(store.layout, partition, table)
        with store.layout.locked(audience.value), engine(store.layout.work) as connection:
            counts = stage_database(
                connection,
                store.context,
                audience,
                partition,
                publish_new=go_live.is_live(store.layout, store.context.access),
            )
            unnamed = {
                table: team_names.unnamed(connection, store.context, partition, table)
                for table in published_tables
                if DATA_MAP.published[table].dimension == "team"
            }
        erased = receipts.last_erasure(store.layout)
        for table in published_tables:
            yield dg.MaterializeResult(
                asset_key=lineage.published_key(table),
                metadata={
                    "dagster/row_count": counts[table],
                    "dagster/column_lineage": _lineage(table),
                    "last erasure": erased,
                    **({"without a name": unnamed[table]} if table in unnamed else {}),
                },
            )

    return staged


tables = [_staged(audience) for audience in Audience]


def _as_table(counts: pl.DataFrame) -> dg.TableMetadataValue:
    """The reconciliation as the UI shows it, one row per published table."""
    suppressed = pl.col("suppressed").list.eval(pl.element().struct.field("records")).list.sum()
    shown = counts.select(
        *("table", "received", "quarantined", "superseded", suppressed, "published"),
        "unresolved_people",
    )
    return dg.MetadataValue.table([dg.TableRecord(row) for row in shown.to_dicts()])


def _suppressed(counts: pl.DataFrame) -> dg.TableMetadataValue:
    """Why records were suppressed, one row per table and reason."""
    return dg.MetadataValue.table(
        [dg.TableRecord(row) for row in suppressed_by_reason(counts).to_dicts()],
        dg.TableSchema(
            [
                dg.TableColumn("table"),
                dg.TableColumn("reason"),
                dg.TableColumn("records", "int"),
            ]
        ),
    )


def _risk_metadata(found: risk.Risk) -> dict[str, dg.MetadataValue]:
    """The risk report as the UI shows it and plots it over runs; the full page is next to the
    tables."""
    rows = [
        dg.TableRecord({name: "–" if v is None else v for name, v in one.items()})
        for one in found.aggregates.to_dicts()
    ]
    metadata: dict[str, dg.MetadataValue] = {"coaching risk": dg.MetadataValue.table(rows)}
    for one in found.classes.to_dicts():
        for name, value in one.items():
            if isinstance(value, int):
                metadata[f"{one['table']}/{name}"] = dg.MetadataValue.int(value)
            elif isinstance(value, float):
                metadata[f"{one['table']}/{name}"] = dg.MetadataValue.float(value)
    return metadata


def _require_balanced(counts: pl.DataFrame) -> None:
    """Fail the run, without retries, if records are missing between raw and published."""
    if odd := unbalanced(counts):
        raise dg.Failure(
            description=f"records do not reconcile from raw to published: {', '.join(odd)}",
            metadata={"reconciliation": counts.to_dicts()},
            allow_retries=False,
        )


@dg.asset(
    key=lineage.RELEASE,
    group_name="published",
    deps=[lineage.published_key(table) for table in DATA_MAP.published],
    partitions_def=RUN_DATES,
    owners=OWNERS,
    kinds={"duckdb"},
    tags={"gate": "release"},
    pool=POOL,
)
def release(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
    """The gate: reconciles the run's tables, then publishes all of them at once. The deliveries
    that they were made from are accepted with it.

    Only tables whose blocking checks passed, on these very files, are released.
    """
    layout, partition = store.layout, str(run_date(context))
    date = gate.release_date(layout, partition)
    gate.require_seals(layout, store.data_map, partition)
    with engine(layout.work) as connection:
        analysts = row_history.with_staged(connection, store.context, partition)
        counts = reconcile(connection, store.context, partition, analysts)
        found = risk.measure(connection, store.context, partition, counts, analysts)
    write_reconciliation(layout, date, counts)
    risk_report.write(found, store.disclosure, date, layout.staged(partition))
    _require_balanced(counts)
    with transient(context), layout.locked():
        gate.require_seals(layout, store.data_map, partition)
        require_remembered(layout)
        register.require_content(layout)
        with engine(layout.work) as connection:
            publication_history.record(connection, store.context, partition)
            names.refresh(connection, store.context)
        row_history.record(layout, partition)
        managers.adopt(store.context)
        gate.release(store.context, partition, context.run.run_id, published_rows(counts))
        register.settle(layout, run_of(context))
    return dg.MaterializeResult(
        metadata={
            "reconciliation": _as_table(counts),
            "suppressed": _suppressed(counts),
            **_risk_metadata(found),
        }
    )
