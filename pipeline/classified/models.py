"""The queries from canonical rows to classified ones, rendered from the .sql files beside this.

Every function takes the relations that its query reads. The steps run these very queries
(pipeline/classified/classify.py), and the column lineage is read from them (assets/lineage.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.access.courses import DECISIONS
from pipeline.identity import models as identity
from pipeline.identity.models import IDENTIFIERS
from pipeline.policy.data_map import UNKNOWN_REGION, DataMap, Unresolved
from pipeline.policy.sensitive_words import harmless
from pipeline.storage.column_lineage import Columns, models_lineage
from pipeline.storage.relations import subquery
from pipeline.storage.schema import CANONICAL, MOMENTS, ROSTER
from pipeline.storage.sql import Sql, identifier, render, same_values
from pipeline.subjects.denylist import entries_sql, grams_sql

PACKAGE = "pipeline.classified"
# The relations that the models start from, under the names that lineage gives them.
SOURCES: dict[str, Iterable[str]] = {
    "canonical": CANONICAL,
    "roster_history": ROSTER,
    "roster": ROSTER,
}
# Of these a column says nothing but what is looked up in them.
COUNTRY_NAMES = Sql("country_names")
TITLES, SUGGESTIONS = "titles", "suggestions"
LOOKUPS: dict[str, Iterable[str]] = {
    COUNTRY_NAMES: ("name", "country"),
    DECISIONS: ("scope", "is_pattern", "category", "suggested"),
}
# What one enrolment, exam or message is; everything that shares it is a revision of it, under
# whichever identifier of the person it came.
KEY = ("source", "person", "course_code", "record_type", "occurrence")
# 128 bits that name the record through all its revisions, of rows whose person is resolved.
RECORD_KEY = Sql(f"record_key_of({', '.join(KEY)})")
# What may be corrected at the request of a person (GDPR Art. 16): the fields, and their columns.
CORRECTABLE = ("status", "score", "attempts", *(f"{name}_at" for name in MOMENTS))
CORRECTED = ("status", "score", "attempts", *(f"{m}_{at}" for m in MOMENTS for at in ("on", "at")))
CORRECTED_RANK = 1000  # above the rank of any status
PERIOD = Sql("month_of(coalesce(known_start(event_on, started_on, assigned_on), first_seen))")


@dataclass(frozen=True)
class Resolution:
    """The small relations that rows are joined to, under the names that they have on a connection.

    people: each employee's latest roster row; identifiers: whom each means, and when
    (pipeline/identity); course: course_code, sensitivity, reviewed, title; region_of: country,
    home_region; calendar: region, zone; department: those that are kept.
    """

    people: Sql
    identifiers: Sql
    course: Sql
    region_of: Sql
    calendar: Sql
    department: Sql


# The names of its relations on every connection, those of a cluster's workers included.
RESOLUTION = ("people", IDENTIFIERS, "course", "region_of", "calendar", "department")


def resolution() -> Resolution:
    """The relations, wherever they were made."""
    return Resolution(*map(identifier, RESOLUTION))


def resolution_models(
    rows: Sql, roster: Sql, history: Sql, data_map: DataMap, zones: Mapping[str, str]
) -> dict[str, Sql]:
    """Name to query, in the order in which they are made: `Resolution`, and what it is made of.

    Args:
        rows: the canonical rows of all deliveries that are not in quarantine.
        roster: each employee's latest roster row.
        history: the roster rows of all deliveries.
        zones: region to the zone of its calendar (RetentionRules.calendars).
    """
    people, titles, learners = map(identifier, ("people", TITLES, "learners"))
    resolved = subquery(identity.resolved(rows, identifier(IDENTIFIERS)))
    texts = subquery(
        render(PACKAGE, "naming_texts.sql", titles=titles, people=people, learners=learners)
    )
    return {
        "people": Sql(f"FROM {roster}"),
        **identity.models(rows, history, data_map.identity),
        TITLES: titles_model(rows),
        "learners": render(PACKAGE, "learners.sql", rows=resolved),
        "denylist": entries_sql(people, learners),
        "naming": render(
            PACKAGE, "naming.sql", grams=grams_sql(texts), denylist=identifier("denylist")
        ),
        SUGGESTIONS: suggestions_model(titles, data_map),
        "course": render(
            PACKAGE,
            "course.sql",
            sensitivity=sensitivity_model(identifier(SUGGESTIONS), data_map),
            titles=titles,
            naming=identifier("naming"),
        ),
        "region_of": region_of_model(rows, people, data_map),
        "calendar": render(PACKAGE, "calendar.sql", zones=zones),
        "department": render(
            PACKAGE,
            "department.sql",
            learners=learners,
            people=people,
            naming=identifier("naming"),
            least_people=data_map.least_people,
        ),
    }


def country_names_model(names: Sql) -> Sql:
    """name and country: what a delivered country is looked up by.

    Args:
        names: name, country and rank, as `pipeline.policy.countries.names` has them.
    """
    return render(PACKAGE, "country_names.sql", names=names)


def region_of_model(rows: Sql, people: Sql, data_map: DataMap) -> Sql:
    """country, as it was delivered, and home_region; the connection has COUNTRY_NAMES.

    Args:
        rows: canonical rows; `people` are roster rows.
    """
    return render(
        PACKAGE,
        "region_of.sql",
        rows=rows,
        people=people,
        country_names=COUNTRY_NAMES,
        region_of=data_map.region_of(),
        unknown=UNKNOWN_REGION,
    )


def titles_model(rows: Sql) -> Sql:
    """course_code, course_title, language, shown and n (rows), of canonical rows that are not in
    quarantine."""
    return render(PACKAGE, "titles.sql", rows=rows)


def course_titles_model(rows: Sql, *, titled: bool = True) -> Sql:
    """What ordinary courses are called: course_code and title, of classified rows. The 1:1 sheet
    and the course dimensions show these.

    Args:
        titled: may a title be shown?
    """
    return render(PACKAGE, "course_titles.sql", classified=rows, titled=titled)


def suggestions_model(titles: Sql, data_map: DataMap) -> Sql:
    """course_code and categories, that its words suggest, of a relation of course_code and
    course_title."""
    return render(
        PACKAGE,
        "suggestions.sql",
        titles=titles,
        suggestions=data_map.course_sensitivity.suggestions,
        harmless=harmless(),
    )


def sensitivity_model(suggestions: Sql, data_map: DataMap) -> Sql:
    """course_code, sensitivity (NULL = ordinary), reviewed and suggested; the connection has
    DECISIONS.

    Args:
        suggestions: as `suggestions_model`.
    """
    return render(
        PACKAGE,
        "sensitivity.sql",
        suggestions=suggestions,
        codes=sorted(map(str.lower, data_map.course_sensitivity.codes)),
        decisions=DECISIONS,
    )


def current_model(rows: Sql, every_row: Sql, gone: Sequence[str]) -> Sql:
    """The current row of every key among `rows`: canonical columns, record_key, deliveries,
    first_seen.

    Args:
        rows: resolved rows that are not in quarantine; all revisions of a key are among them.
        every_row: those of all keys, among which the statements are that void a record.
        gone: deliveries that corrections stand on and that are not in use any more
            (pipeline/classified/corrections.py).
    """
    return render(
        PACKAGE,
        "current.sql",
        standing=_standing(rows, every_row, gone),
        key=KEY,
        record_key=RECORD_KEY,
    )


def superseded_model(every_row: Sql, gone: Sequence[str]) -> Sql:
    """One number: the rows that were voided or superseded.

    Args:
        every_row: the resolved rows that are not in quarantine.
        gone: as `current_model`.
    """
    return render(
        PACKAGE,
        "superseded.sql",
        every_row=every_row,
        standing=_standing(every_row, every_row, gone),
        key=KEY,
        reversed_key=KEY[::-1],
    )


def _standing(rows: Sql, every_row: Sql, gone: Sequence[str]) -> Sql:
    return render(
        PACKAGE,
        "standing.sql",
        rows=rows,
        every_row=every_row,
        overtaken=overtaken_model(rows),
        left_behind=_left_behind(rows, gone) if gone else None,
    )


def _left_behind(rows: Sql, gone: Sequence[str]) -> Sql:
    return render(
        PACKAGE,
        "left_behind.sql",
        rows=rows,
        corrected=CORRECTED_RANK,
        same_key=same_values("c", "s", KEY),
        gone=gone,
    )


def overtaken_model(rows: Sql) -> Sql:
    """The corrections that the source has overtaken: rank, the columns of KEY, agrees.

    Args:
        rows: as `current_model`.
    """
    return render(
        PACKAGE,
        "overtaken.sql",
        rows=rows,
        corrected=CORRECTED_RANK,
        same_key=same_values("c", "s", KEY),
        corrected_values=values_of("c"),
        delivered_values=values_of("s"),
    )


def values_of(rows: str) -> Sql:
    """SQL: a hash of what a person may have corrected in a row."""
    columns = ", ".join(f"{rows}.{name}::VARCHAR" for name in CORRECTED)
    return Sql(f"md5(to_json([{columns}]))")


def classified_model(current: Sql, resolution: Resolution, data_map: DataMap) -> Sql:
    """The classified rows (CLASSIFIED) of the query `current`."""
    return render(
        PACKAGE,
        "classified.sql",
        current=current,
        set_aside=[one.value for one in data_map.identity.set_aside],
        unknown=Unresolved.UNKNOWN.value,
        **vars(resolution),
    )


def chain(data_map: DataMap) -> dict[str, Sql]:
    """All models from SOURCES to the last one, `classified`, as the lineage reads them."""
    rows = Sql("canonical")
    # Which zones there are says nothing about what a column is made of.
    zones = {"": "UTC"}
    models = resolution_models(rows, Sql("roster"), Sql("roster_history"), data_map, zones)
    resolved = subquery(identity.resolved(rows, identifier(IDENTIFIERS)))
    current = current_model(resolved, resolved, ())
    return {**models, "classified": classified_model(current, resolution(), data_map)}


def columns_from_sources(data_map: DataMap) -> Columns:
    """The classified columns in their order, made of columns of SOURCES."""
    return models_lineage(chain(data_map), "classified", SOURCES | LOOKUPS, LOOKUPS)
