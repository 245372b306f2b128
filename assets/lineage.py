"""Asset keys, and column lineage for the Dagster UI, made from the data map."""

from __future__ import annotations

import dagster as dg

from pipeline.policy.data_map import DataMap
from pipeline.policy.disclosure import BANDS
from pipeline.policy.fields import Audience
from pipeline.pseudonymized.pseudonymize import TABLES
from pipeline.storage import schema

CANONICAL = dg.AssetKey(["raw", "milestones"])
CLASSIFIED = dg.AssetKey(["classified", "milestones"])
REFERENCE_VALUES = dg.AssetKey(["classified", "reference_values"])
RELEASE = dg.AssetKey(["published", "release"])
PLAN = dg.AssetKey(["retained", "deletion_plan"])
ERASURE = dg.AssetKey(["retained", "erasure"])
# The canonical record's names of the classified columns that were renamed or derived.
CLASSIFIED_FROM: dict[str, tuple[str, ...]] = {
    "person": ("learner_id",),
    "manager": ("manager_id", "learner_id"),
    "region": ("country", "region"),
    "sensitivity": ("course_code", "course_title"),
    "has_comment": ("has_comment",),
}
# And the other way: which classified column carries a canonical field.
CARRIED_AS = {
    "learner_id": "person",
    "manager_id": "manager",
    "country": "region",
    "score_max": "score",
    "free_text": "has_comment",
}


def source_key(source: str) -> dg.AssetKey:
    return dg.AssetKey(["landing", source])


def pseudonymized_key(audience: Audience) -> dg.AssetKey:
    return dg.AssetKey(["pseudonymized", audience.value])


def published_key(table: str) -> dg.AssetKey:
    return dg.AssetKey(["published", table])


# Canonical columns that the readers make of fields of another name.
READ_FROM: dict[str, tuple[str, ...]] = {
    "record_type": ("record_type", "item_type"),
    "score": ("score", "score_min", "score_max"),
    "event_zone": ("event_at",),
    "occurrence": ("assigned_at",),
    "has_comment": ("free_text",),
}


def canonical_lineage(data_map: DataMap) -> dg.TableColumnLineage:
    """Canonical column to the delivered columns that feed it, over all sources."""
    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(source_key(source), delivered)
                for source, spec in data_map.sources.items()
                for delivered, field in spec.fields.items()
                if field.name in READ_FROM.get(column, (column,))
            ]
            for column in schema.CANONICAL
        }
    )


def classified_lineage(columns: dict[str, str]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(CANONICAL, o) for o in CLASSIFIED_FROM.get(name, (name,))]
            for name in columns
        }
    )


def pseudonymized_lineage(audience: Audience) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            name: [
                dg.TableColumnDep(CLASSIFIED, carried)
                for carried in sorted({CARRIED_AS.get(o, o) for o in column.made_from})
            ]
            for name, column in TABLES[audience].items()
        }
    )


# Measures of the coaching tables: the pseudonymized columns that they count or average.
MEASURES = {
    "learners": ("learner_ref",),
    "records": ("learner_ref",),
    "completion_rate": ("complete",),
    "on_time_rate": ("on_time",),
    "median_days": ("days",),
    **{f"share_{band}": ("score_band",) for band in BANDS},
    "category": ("course_code",),
    # What rows of analysts are told by.
    "event_period": ("event_month",),
    "detail": ("region", "department", "course_code", "event_month"),
}


def published_lineage(data_map: DataMap, table: str) -> dg.TableColumnLineage:
    spec = data_map.published[table]
    key = pseudonymized_key(spec.audience)
    return dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(key, origin) for origin in MEASURES.get(name, (name,))]
            for name in spec.columns
        }
    )
