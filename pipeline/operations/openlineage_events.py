"""The assets of a run as OpenLineage events with schema, column lineage and row counts.

Any OpenLineage backend accepts them (Marquez, DataHub, OpenMetadata, ...).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

import dagster as dg
from openlineage.client import event_v2 as ol
from openlineage.client.facet_v2 import (
    DatasetFacet,
    OutputDatasetFacet,
    column_lineage_dataset,
    documentation_dataset,
    output_statistics_output_dataset,
    parent_run,
    schema_dataset,
)

OutputStatistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet
NAMESPACE = "milestones"
PRODUCER = "https://pypi.org/project/lms-milestones"


def _name(key: dg.AssetKey) -> str:
    return ".".join(key.path)


def _facets(node: dg.AssetNode, made: dg.AssetMaterialization) -> dict[str, DatasetFacet]:
    """Facets of the dataset, from its declaration and this materialization."""
    facets: dict[str, DatasetFacet] = {}
    if node.description:
        facets["documentation"] = documentation_dataset.DocumentationDatasetFacet(node.description)
    schema = node.metadata.get("dagster/column_schema")
    if isinstance(schema, dg.TableSchema):
        facets["schema"] = schema_dataset.SchemaDatasetFacet(
            [
                schema_dataset.SchemaDatasetFacetFields(
                    name=one.name, type=one.type, description=one.description
                )
                for one in schema.columns
            ]
        )
    found = made.metadata.get("dagster/column_lineage")
    if isinstance(found, dg.TableColumnLineageMetadataValue):
        facets["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(
            {
                column: column_lineage_dataset.Fields(
                    [
                        column_lineage_dataset.InputField(
                            NAMESPACE, _name(dep.asset_key), dep.column_name
                        )
                        for dep in deps
                    ]
                )
                for column, deps in found.value.deps_by_column.items()
            }
        )
    return facets


def _rows(made: dg.AssetMaterialization) -> dict[str, OutputDatasetFacet]:
    for name in ("dagster/row_count", "dagster/partition_row_count"):
        number = made.metadata.get(name)
        if isinstance(number, dg.IntMetadataValue):
            return {"outputStatistics": OutputStatistics(rowCount=number.value)}
    return {}


def events(
    run: dg.DagsterRun, entries: Iterable[dg.EventLogEntry], assets: dg.AssetGraph
) -> Iterator[ol.RunEvent]:
    """One event for every asset that the run materialized, in order.

    Args:
        entries: the run's ASSET_MATERIALIZATION events.
    """
    parent = parent_run.ParentRunFacet(
        parent_run.Run(run.run_id), parent_run.Job(NAMESPACE, run.job_name)
    )
    for entry in entries:
        made = entry.asset_materialization
        if made is None or not assets.has(made.asset_key):
            continue
        node = assets.get(made.asset_key)
        yield ol.RunEvent(
            eventType=ol.RunState.COMPLETE,
            eventTime=dt.datetime.fromtimestamp(entry.timestamp, dt.UTC).isoformat(),
            run=ol.Run(run.run_id, {"parent": parent}),
            job=ol.Job(NAMESPACE, _name(made.asset_key)),
            inputs=[ol.InputDataset(NAMESPACE, _name(key)) for key in sorted(node.parent_keys)],
            outputs=[
                ol.OutputDataset(
                    NAMESPACE, _name(made.asset_key), _rows(made), facets=_facets(node, made)
                )
            ],
            producer=PRODUCER,
        )
