"""Asset keys, and column lineage for the Dagster UI, from the data map and the SQL that runs."""

from __future__ import annotations

import dagster as dg

from pipeline.classified import models
from pipeline.policy.data_map import DataMap
from pipeline.policy.disclosure import DisclosureRules
from pipeline.policy.fields import Audience
from pipeline.pseudonymized.models import columns as audience_columns
from pipeline.published import models as published_models
from pipeline.storage import schema
from pipeline.storage.column_lineage import Columns

CANONICAL = dg.AssetKey(["raw", "milestones"])
CLASSIFIED = dg.AssetKey(["classified", "milestones"])
REFERENCE_VALUES = dg.AssetKey(["classified", "reference_values"])
RELEASE = dg.AssetKey(["published", "release"])
PLAN = dg.AssetKey(["retained", "deletion_plan"])
ERASURE = dg.AssetKey(["retained", "erasure"])
ROSTER_READER = "roster"  # the reader whose sources are rosters


def source_key(source: str) -> dg.AssetKey:
    return dg.AssetKey(["landing", source])


def pseudonymized_key(audience: Audience) -> dg.AssetKey:
    return dg.AssetKey(["pseudonymized", audience.value])


def published_key(table: str) -> dg.AssetKey:
    return dg.AssetKey(["published", table])


# The canonical store also has each delivery's roster, as a relation of its own; the columns of both
# in the asset's schema.
ROSTER = "roster."
CANONICAL_COLUMNS = {
    **schema.CANONICAL,
    **{f"{ROSTER}{n}": kind for n, kind in schema.ROSTER.items() if n != "delivery_date"},
}
# Relations that the models read: the asset that has them, and what stands before their columns.
UPSTREAM = {
    "canonical": (CANONICAL, ""),
    "roster": (CANONICAL, ROSTER),
    "roster_history": (CANONICAL, ROSTER),
    "classified": (CLASSIFIED, ""),
    **{f"pseudonymized_{one.value}": (pseudonymized_key(one), "") for one in Audience},
}


def canonical_lineage(data_map: DataMap) -> dg.TableColumnLineage:
    """Canonical and roster column to the delivered columns that feed it, over all sources."""
    return dg.TableColumnLineage(
        {column: _delivered(data_map, column) for column in CANONICAL_COLUMNS}
    )


def _delivered(data_map: DataMap, column: str) -> list[dg.TableColumnDep]:
    """The delivered columns that the readers make a canonical or a roster column of."""
    bare = column.removeprefix(ROSTER)
    names = schema.READ_FROM.get(bare, (bare,))
    return [
        dg.TableColumnDep(source_key(source), delivered)
        for source, spec in data_map.sources.items()
        if (spec.reader == ROSTER_READER) is (bare != column)
        for delivered, field in spec.fields.items()
        if field.name in names
    ]


def model_lineage(columns: Columns) -> dg.TableColumnLineage:
    """What the columns of a model are made of, in terms of assets.

    Args:
        columns: of pipeline/storage/column_lineage.py, made of relations of UPSTREAM.
    """
    return dg.TableColumnLineage(
        {
            # The latest roster rows and those of all rosters are columns of the same asset.
            name: list(
                dict.fromkeys(
                    dg.TableColumnDep(key, f"{before}{origin.column}")
                    for origin in sorted(column.made_from)
                    for key, before in [UPSTREAM[origin.relation]]
                )
            )
            for name, column in columns.items()
        }
    )


def classified_lineage(data_map: DataMap) -> dg.TableColumnLineage:
    """Classified column to canonical and roster columns."""
    return model_lineage(models.columns_from_sources(data_map))


def pseudonymized_lineage(audience: Audience) -> dg.TableColumnLineage:
    """An audience's column to classified columns."""
    return model_lineage(audience_columns(audience))


def published_lineage(
    data_map: DataMap, rules: DisclosureRules, table: str
) -> dg.TableColumnLineage:
    """A published table's column to its audience's pseudonymized columns."""
    return model_lineage(published_models.columns(data_map, rules, table))
