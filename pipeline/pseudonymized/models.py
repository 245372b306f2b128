"""The queries from classified rows to one audience's, rendered from the .sql files beside this.

eligible.sql says which rows an audience may see; <audience>.sql says its columns, each with its
treatment. `check_against` compares these with the data map: what a column is made of comes from
the SQL itself, so that no declaration can be narrower than the query.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.classified.models import LOOKUPS, SOURCES, chain
from pipeline.errors import PolicyError
from pipeline.policy.data_map import DataMap
from pipeline.policy.fields import STRICTNESS, Audience, Treatment
from pipeline.policy.windows import OTHER, Cutoffs, with_due
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
# The current state of people's trainings (training_states.py), and what managers' rows have of it
# beside the classified columns.
STATES = Sql("training_states")
OF_STATES = {"state": "VARCHAR", "outcome": "VARCHAR"}
BEHIND = "another record shows the current state"
WITHDRAWN = "training withdrawn"
READ = {"classified": CLASSIFIED, PSEUDONYMS: PSEUDONYM_COLUMNS}
DIRECT = {"classified": {**CLASSIFIED, **OF_STATES}, PSEUDONYMS: PSEUDONYM_COLUMNS}
# Named by the reader and by the delivery's folder; no delivered field carries them.
READERS_OWN = ("source", "region")


def eligible(rows: str, audience: Audience, cutoffs: Cutoffs) -> Sql:
    """Relation: classified rows with `withheld`, the reason why the audience may not see the row
    (NULL if it may).

    Args:
        rows: relation of classified rows.
        cutoffs: as of when the rows may be published last.

    The connection has the table RESTRICTIONS (make_restrictions), and for managers STATES
    (make_states): of a person's course they see the row that has its current state.
    """
    found = eligible_before_states(rows, audience, cutoffs)
    return subquery(trainings_model(found)) if audience is Audience.MANAGER else found


def trainings_model(rows: Sql) -> Sql:
    """Rows with `withheld` and, from STATES, the columns OF_STATES and whose report it is."""
    return render(
        PACKAGE, "trainings.sql", rows=rows, states=STATES, behind=BEHIND, withdrawn=WITHDRAWN
    )


def eligible_before_states(rows: str, audience: Audience, cutoffs: Cutoffs) -> Sql:
    """As `eligible`, whichever record has the current state."""
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


@dataclass(frozen=True)
class Calendar:
    """What day it is, and until when completions of recurring trainings have expired.

    Attributes:
        days: region to its day; `today` is that of everybody else.
        recurring: pattern of courses in small letters, as LIKE has it; region, or OTHER; the latest
            day of a completion that has expired.
    """

    days: dict[str, dt.date]
    today: dt.date
    recurring: tuple[tuple[str, str, dt.date], ...] = ()


def states_model(rows: Sql, calendar: Calendar) -> Sql:
    """The query of STATES: record_key, manager, state, outcome.

    Args:
        rows: classified rows that managers may see.
    """
    return render(
        PACKAGE,
        "training_states.sql",
        rows=rows,
        days=list(calendar.days.items()) or [(OTHER, calendar.today)],
        today=calendar.today,
        # A pattern that nothing fits, where there is none.
        recurring=calendar.recurring or [(None, OTHER, calendar.today)],
        regions=list(calendar.days),
        other=OTHER,
    )


def _lineage_models(audience: Audience) -> dict[str, Sql]:
    """The queries from the relation `classified` to the audience's rows. Which rows may be seen
    says nothing about what a column is made of."""
    if audience is not Audience.MANAGER:
        return {audience.value: audience_model(audience, "classified")}
    some_day = dt.date(2026, 1, 1)
    calendar = Calendar({OTHER: some_day}, some_day, (("%", OTHER, some_day),))
    seen = subquery("SELECT *, NULL AS withheld FROM classified")
    return {
        STATES: states_model(Sql("classified"), calendar),
        "trainings": trainings_model(seen),
        audience.value: audience_model(audience, "trainings"),
    }


def columns(audience: Audience) -> Columns:
    """The audience's columns in their order, made of classified columns; a pseudonym is made of
    the person."""
    return models_lineage(_lineage_models(audience), audience.value, READ, lookups=(PSEUDONYMS,))


def columns_read(audience: Audience) -> list[str]:
    """The columns of the rows that it may see, on which its own and their order depend."""
    direct = query_lineage(audience_model(audience, "classified"), DIRECT, lookups=(PSEUDONYMS,))
    made = {o.column for column in direct.values() for o in column.made_from}
    return [name for name in DIRECT["classified"] if name in {"record_key", "person", *made}]


def columns_from_canonical(audience: Audience, data_map: DataMap) -> Columns:
    """The audience's columns in their order, made of canonical and roster columns."""
    models = {**chain(data_map), **_lineage_models(audience)}
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
    direct = query_lineage(audience_model(audience, "classified"), DIRECT)
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
