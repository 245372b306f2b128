"""Column schemas and governance facts as the Dagster UI shows them, made from the policy."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from assets import columns, lineage
from expectations.domains import domain
from expectations.pseudonymized import columns as checked_columns
from pipeline.context import Context
from pipeline.policy.data_map import DataMap
from pipeline.policy.disclosure import DisclosureRules
from pipeline.policy.fields import Audience
from pipeline.storage.schema import CLASSIFIED

AGGREGATE = "aggregate"  # class of a figure about a group


def source(data_map: DataMap, name: str) -> dg.TableSchema:
    """A source's fields: what each means, and its class, risk and treatment as tags."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                field_name,
                "string",
                description=columns.of_source(field),
                tags={
                    "class": field.field_class.value,
                    "risk": field.risk.value,
                    "treatment": field.treatment.value,
                },
            )
            for field_name, field in data_map.sources[name].fields.items()
        ]
    )


def canonical(data_map: DataMap) -> dg.TableSchema:
    links = lineage.canonical_lineage(data_map)
    return _schema(lineage.CANONICAL_COLUMNS, columns.CANONICAL | columns.ROSTER, links)


def classified(data_map: DataMap) -> dg.TableSchema:
    return _schema(CLASSIFIED, columns.CLASSIFIED, lineage.classified_lineage(data_map))


def pseudonymized(data_map: DataMap, audience: Audience) -> dg.TableSchema:
    """One audience's pseudonymized columns.

    Raises:
        PolicyError: a column has no entry in data_map.yaml, or its rule is none.
    """
    types = {one.name: one.type for one in checked_columns(data_map, audience)}
    return _schema(types, columns.published(data_map), lineage.pseudonymized_lineage(audience))


def published(data_map: DataMap, rules: DisclosureRules, table: str) -> dg.TableSchema:
    """A published table's columns, with class, risk, domain and audience as tags."""
    names = data_map.published[table].columns
    return _schema(
        {name: data_map.columns[name].type for name in names},
        columns.published(data_map),
        lineage.published_lineage(data_map, rules, table),
        {name: _tags(data_map, table, name) for name in names},
    )


def _schema(
    types: Mapping[str, str],
    descriptions: Mapping[str, str],
    links: dg.TableColumnLineage,
    tags: Mapping[str, Mapping[str, str]] | None = None,
) -> dg.TableSchema:
    """A schema in which every column says what it means and which upstream columns it is made of.

    The open-source UI draws no column graph, so the way back is in the descriptions: from any
    published column, step by step, to the delivered ones.
    """
    return dg.TableSchema(
        [
            dg.TableColumn(
                name,
                kind,
                description=f"{descriptions[name]} {_origin(links, name)}",
                tags=(tags or {}).get(name, {}),
            )
            for name, kind in types.items()
        ]
    )


def _origin(links: dg.TableColumnLineage, name: str) -> str:
    origins = [
        f"{dep.asset_key.to_user_string()}.{dep.column_name}"
        for dep in links.deps_by_column.get(name, [])
    ]
    if origins:
        return f"From {', '.join(origins)}"
    # A roster's columns are all delivered, such as the unit, or there are none.
    return "No source delivers it." if name.startswith("roster.") else "Made by the reader."


def _tags(data_map: DataMap, table: str, name: str) -> dict[str, str]:
    """A figure about a group is an aggregate, whatever it counts; any other column has the class
    of the fields it is made of."""
    spec, column = data_map.published[table], data_map.columns[name]
    classes, risk = data_map.classes_and_risk(name)
    aggregate = spec.k is not None and domain(column.rule).measure
    return {
        "purpose": spec.audience.value,
        "domain": column.rule,
        "class": AGGREGATE if aggregate else "-".join(classes) or "derived",
        "risk": risk.value,
    }


def minimum_group(context: Context, table: str) -> dict[str, dg.MetadataValue]:
    """The least number of people behind a figure or a row, as `k` where there is one, and in
    words."""
    if context.data_map.published[table].dimension:
        text = "none: it has what other tables name, and no people"
        return {"minimum group": dg.MetadataValue.text(text)}
    rule = context.disclosure.classes.get(table)
    k = rule.k if rule else context.data_map.published[table].k
    if k is None:
        return {"minimum group": dg.MetadataValue.text("none: rows are about single people")}
    what = "people share the quasi-identifiers of every row" if rule else "people behind each row"
    return {
        "k": dg.MetadataValue.int(k),
        "minimum group": dg.MetadataValue.text(f"at least {k} {what}"),
    }


def governance(context: Context, table: str) -> dict[str, dg.MetadataValue]:
    """Why a published table may exist and for how long: purposes with their lawful basis (GDPR
    Art. 6), who may read it, and its retention rule."""
    audience = context.data_map.published[table].audience
    retention = context.rules.tables[table]
    readers = [
        role.value
        for role, rule in context.access.roles.items()
        if audience in (*rule.receives, *rule.queries)
    ]
    return {
        "lawful basis": dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "purpose": name,
                        "basis": purpose.basis.value,
                        "source": purpose.source,
                        "owner": purpose.owner,
                        "review by": str(purpose.review_by),
                    }
                )
                for name, purpose in context.governance.purposes.items()
                if purpose.audience is audience
            ]
        ),
        "retention": dg.MetadataValue.text(
            f"{retention.window}: {retention.basis} ({retention.source})"
        ),
        "read by": dg.MetadataValue.text(", ".join(readers)),
    }
