"""Column schemas and column lineage for the Dagster UI, made from the data map."""

from __future__ import annotations

import dagster as dg

from pipeline.context import Context
from pipeline.policy.data_map import DataMap
from pipeline.policy.disclosure import BANDS
from pipeline.policy.fields import Audience, SourceField
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


def _described(field: SourceField) -> str:
    seen = ", ".join(field.audiences) or "nobody"
    return (
        f"{field.field_class.value.replace('_', ' ')}, {field.risk.value} risk; "
        f"{field.treatment.value}; seen by {seen}"
    )


def source_schema(data_map: DataMap, source: str) -> dg.TableSchema:
    """A source's columns with class, risk, treatment and purposes, as description and tags."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                "string",
                description=_described(field),
                tags={
                    "class": field.field_class.value,
                    "risk": field.risk.value,
                    "treatment": field.treatment.value,
                },
            )
            for name, field in data_map.sources[source].fields.items()
        ]
    )


def typed_schema(
    columns: dict[str, str],
    links: dg.TableColumnLineage,
    tags: dict[str, dict[str, str]] | None = None,
) -> dg.TableSchema:
    """A schema in which every column names the upstream columns that it is made of.

    The open-source UI draws no column graph, so the way back stands in the descriptions: from any
    published column, step by step, to the delivered ones.
    """
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                kind,
                description="from " + ", ".join(
                    f"{dep.asset_key.to_user_string()}.{dep.column_name}"
                    for dep in links.deps_by_column.get(name, [])
                )
                if links.deps_by_column.get(name)
                else "made by the reader",
                tags=(tags or {}).get(name, {}),
            )
            for name, kind in columns.items()
        ]
    )  # fmt: skip


def published_schema(data_map: DataMap, table: str) -> dg.TableSchema:
    """A published table's columns with their type, origin, class, risk, domain and the audience they
    serve."""
    spec = data_map.published[table]
    tags = {}
    for name in spec.columns:
        classes, risk = data_map.tells(name)
        tags[name] = {
            "purpose": spec.audience.value, "domain": data_map.columns[name].rule,
            "class": "-".join(classes) or "derived", "risk": risk.value,
        }  # fmt: skip
    return typed_schema(
        {name: data_map.columns[name].type for name in spec.columns},
        published_lineage(data_map, table), tags,
    )  # fmt: skip


def governance_facts(context: Context, table: str) -> dict[str, dg.MetadataValue]:
    """Why a published table may be there and for how long: purposes with their lawful basis (GDPR
    Art. 6), who may read it, and its retention rule."""
    audience = context.data_map.published[table].audience
    registered = context.governance.purposes
    kept = context.rules.tables[table]
    readers = [
        role.value for role, rule in context.access.roles.items()
        if audience in (*rule.receives, *rule.opens)
    ]  # fmt: skip
    return {
        "lawful basis": dg.MetadataValue.table([
            dg.TableRecord({"purpose": name, "basis": one.basis.value, "source": one.source,
                            "owner": one.owner, "review by": str(one.review_by)})
            for name, one in registered.items() if one.audience is audience
        ]),
        "retention": dg.MetadataValue.text(f"{kept.window}: {kept.basis} ({kept.source})"),
        "read by": dg.MetadataValue.text(", ".join(readers)),
    }  # fmt: skip


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
