"""Column schemas and column lineage for the Dagster UI, from the data map and the SQL that runs."""

from __future__ import annotations

import dagster as dg

from pipeline.classified import models
from pipeline.context import Context
from pipeline.policy.data_map import DataMap
from pipeline.policy.disclosure import BANDS
from pipeline.policy.fields import Audience, SourceField
from pipeline.pseudonymized.models import columns as audience_columns
from pipeline.storage import schema
from pipeline.storage.column_lineage import Columns

CANONICAL = dg.AssetKey(["raw", "canonical_milestones"])
CLASSIFIED = dg.AssetKey(["classified", "classified_milestones"])
REFERENCE_VALUES = dg.AssetKey(["classified", "known_values"])
ROSTER_READER = "roster"  # the reader whose sources are rosters


def source_key(source: str) -> dg.AssetKey:
    return dg.AssetKey(["landing", source])


def pseudonymized_key(audience: Audience) -> dg.AssetKey:
    return dg.AssetKey(["pseudonymized", f"milestones_for_{audience.value}"])


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
    """A published table's columns with type, origin, class, risk, domain and the audience that they
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
            name: [
                dg.TableColumnDep(key, f"{before}{origin.column}")
                for origin in sorted(column.made_from)
                for key, before in [UPSTREAM[origin.relation]]
            ]
            for name, column in columns.items()
        }
    )


def classified_lineage(data_map: DataMap) -> dg.TableColumnLineage:
    """Classified column to canonical and roster columns."""
    return model_lineage(models.columns_from_sources(data_map))


def pseudonymized_lineage(audience: Audience) -> dg.TableColumnLineage:
    """An audience's column to classified columns."""
    return model_lineage(audience_columns(audience))


# Measures of the coaching tables: the pseudonymized columns that they count or average.
MEASURES = {
    "learners": ("learner_ref",),
    "records": ("learner_ref",),
    "completion_rate": ("complete",),
    "on_time_rate": ("on_time",),
    "median_days": ("days",),
    **{f"share_{band}": ("score_band",) for band in BANDS},
    "category": ("course_code",),
    # Coarser forms of what the rows of analysts have.
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
