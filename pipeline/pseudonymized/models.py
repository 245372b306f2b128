"""The queries from classified rows to one audience's, rendered from the .sql files beside this.

eligible.sql says which rows an audience may see; <audience>.sql says its columns, each with its
treatment. `check_against` compares these with the data map: what a column is made of comes from
the SQL itself, so that no declaration can be narrower than the query.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.classified.models import LOOKUPS, SOURCES, chain
from pipeline.errors import PolicyError
from pipeline.policy.data_map import DataMap
from pipeline.policy.fields import STRICTNESS, Audience, Treatment
from pipeline.policy.windows import Cutoffs, with_due
from pipeline.storage.column_lineage import (
    ColumnLineage,
    Columns,
    Origin,
    models_lineage,
    query_lineage,
)
from pipeline.storage.relations import subquery
from pipeline.storage.schema import CLASSIFIED, READ_FROM
from pipeline.storage.sql import Sql, render
from pipeline.subjects.restrictions import RESTRICTIONS

PACKAGE = "pipeline.pseudonymized"
# The relation of an audience's pseudonyms: person (raw identifier), ref (pseudonym), place (among
# the pseudonyms in their order).
PSEUDONYMS = Sql("pseudonyms")
PSEUDONYM_COLUMNS = ("person", "ref", "place")
READ = {"classified": CLASSIFIED, PSEUDONYMS: PSEUDONYM_COLUMNS}
# Named by the reader and by the delivery's folder; no delivered field carries them.
READERS_OWN = ("source", "region")


def eligible(rows: str, audience: Audience, cutoffs: Cutoffs) -> Sql:
    """Relation: classified rows with `withheld`, the reason why the audience may not see the row
    (NULL if it may).

    Args:
        rows: relation of classified rows.
        cutoffs: as of when the rows may be published last.

    The connection has the table RESTRICTIONS (make_restrictions).
    """
    return subquery(
        render(
            PACKAGE,
            "eligible.sql",
            rows=with_due(rows, cutoffs),
            restrictions=Sql(RESTRICTIONS),
            audience=audience.value,
        )
    )


def audience_model(audience: Audience, rows: str, pseudonyms: Sql = PSEUDONYMS) -> Sql:
    """The audience's rows in the order of the pseudonyms, with its columns.

    Args:
        rows: relation of the classified rows that it may see.
        pseudonyms: relation of PSEUDONYM_COLUMNS. Who has no pseudonym is in no row.
    """
    return render(PACKAGE, f"{audience.value}.sql", rows=Sql(rows), pseudonyms=pseudonyms)


def columns(audience: Audience) -> Columns:
    """The audience's columns in their order, made of classified columns; a pseudonym is made of
    the person."""
    model = audience_model(audience, "classified")
    return query_lineage(model, READ, lookups=(PSEUDONYMS,))


def columns_read(audience: Audience) -> list[str]:
    """The classified columns that the audience's rows and their order depend on."""
    made = {o.column for column in columns(audience).values() for o in column.made_from}
    return [name for name in CLASSIFIED if name in {"record_key", "person", *made}]


def columns_from_canonical(audience: Audience, data_map: DataMap) -> Columns:
    """The audience's columns in their order, made of canonical and roster columns."""
    models = {**chain(data_map), audience.value: audience_model(audience, "classified")}
    lookups: dict[str, Iterable[str]] = {**LOOKUPS, PSEUDONYMS: PSEUDONYM_COLUMNS}
    return models_lineage(models, audience.value, SOURCES | lookups, lookups)


def made_from(column: ColumnLineage) -> dict[str, bool]:
    """The data map's fields that a column is made of, each with: may the value be the field's own?

    Args:
        column: of `columns_from_canonical`.
    """
    return {
        name: name == origin.column and origin in column.copy_of
        for origin in sorted(column.made_from)
        for name in _fields(origin)
    }


def _fields(origin: Origin) -> tuple[str, ...]:
    if origin.column in READERS_OWN:
        return ()
    return READ_FROM.get(origin.column, (origin.column,))


def check_against(data_map: DataMap, audience: Audience) -> None:
    """Stop the run if a column shows more of a field than policy allows for the audience.

    Raises:
        PolicyError: naming audience, column, field and the treatment that the map demands; or a
            column that does not say its treatment, or says one that it does not have.
    """
    direct = query_lineage(audience_model(audience, "classified"), READ)
    for name, column in columns_from_canonical(audience, data_map).items():
        treatment = _treatment(audience, name, direct[name])
        for origin, unchanged in made_from(column).items():
            if not data_map.delivers(origin):
                # There is nothing to be treated, such as a lowest score that no source has.
                continue
            demanded = data_map.treatment_of(origin, audience)
            given = Treatment.KEEP if unchanged else treatment
            if STRICTNESS.index(given) < STRICTNESS.index(demanded):
                raise PolicyError(
                    f"{audience.value}.{name}: made of {origin}, for which data_map.yaml demands "
                    f"`{demanded.value}` for the audience {audience.value}"
                )


def _treatment(audience: Audience, name: str, column: ColumnLineage) -> Treatment:
    """What a column's comment says that it takes away of its fields.

    Args:
        column: made of what the model itself reads, pseudonyms included.

    Raises:
        PolicyError: nothing, or what cannot be.
    """
    where = f"{audience.value}.{name}"
    try:
        treatment = Treatment(column.comment.partition(":")[0].strip())
    except ValueError:
        raise PolicyError(
            f"{where}: the SQL has to say the column's treatment behind it, as `-- generalize`"
        ) from None
    flags = {Origin("classified", name) for name, kind in CLASSIFIED.items() if kind == "BOOLEAN"}
    possible = {
        Treatment.PSEUDONYMIZE: column.made_from == {Origin(PSEUDONYMS, "ref")},
        Treatment.TOKENISE: bool(column.made_from) and column.made_from <= flags,
        Treatment.DROP: False,
    }
    if not possible.get(treatment, True):
        raise PolicyError(f"{where}: the column is not treated as `{treatment.value}` in the SQL")
    return treatment
