"""Who is meant by what somebody wrote: a number, an address, an account or a name, however spelled.

An answer is for an operator, who sees who was found, in which systems, and confirms it. Nobody
found is an answer, too, and never somebody.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from pipeline.errors import BadInput
from pipeline.storage import relations
from pipeline.storage.engine import count
from pipeline.storage.layout import Layout
from pipeline.storage.relations import temp_table
from pipeline.storage.schema import CANONICAL
from pipeline.storage.sql import Sql, literal, render
from pipeline.subjects.identity import Subject, find, make_identifiers

PACKAGE = "pipeline.subjects"


@dataclass(frozen=True)
class Found:
    """Somebody who may be meant.

    Attributes:
        person: the identifier that stands for them.
        because: what fits: `number`, `address`, `identifier`, `name`, or `same name and address`.
        systems: source to its stored rows about them, quarantined ones included; the roster is one.
    """

    person: str
    because: str
    systems: dict[str, int]

    def __str__(self) -> str:
        rows = ", ".join(f"{name} {n:,}" for name, n in self.systems.items()) or "no record"
        return f"{self.person} (by {self.because}): {rows}"


def search(connection: duckdb.DuckDBPyConnection, layout: Layout, text: str) -> list[Found]:
    """Everybody who may be meant, and whoever has the same name and address under another number.

    Args:
        text: an identifier with its kind, an employee number, an address, or a full name.
    """
    identifiers = make_identifiers(connection, layout)
    known = temp_table(
        connection,
        "known_people",
        render(
            PACKAGE,
            "known_people.sql",
            rows=_stored(layout),
            history=relations.roster_history(layout),
            classified=relations.classified(layout),
        ),
    )
    query = render(
        PACKAGE,
        "lookup.sql",
        text=text,
        known=known,
        identifiers=identifiers,
        holdings=Sql("holdings"),
        history=relations.roster_history(layout),
    )
    found: dict[str, str] = dict(connection.execute(query).fetchall())
    return [
        Found(person, because, _systems(connection, layout, person))
        for person, because in found.items()
    ]


def identifier_of(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """The identifier that a text is by itself: with its kind, an address, or an employee number."""
    query = "SELECT CASE WHEN is_namespaced($1) THEN same_form($1) ELSE employee_identifier($1) END"
    ((found,),) = connection.execute(query, [text]).fetchall()
    return str(found)


def _stored(layout: Layout) -> Sql:
    """SQL: every stored record, of refused deliveries, too: they can name somebody nobody else
    does (columns: CANONICAL)."""
    aside = [path for path in relations.set_aside(layout) if relations.holds(path, "records")]
    return relations.parquet([*relations.files(layout, "records"), *aside], CANONICAL)


def _systems(connection: duckdb.DuckDBPyConnection, layout: Layout, person: str) -> dict[str, int]:
    """Source to stored rows about a person."""
    subject = find(connection, layout, person)
    rows = connection.execute(
        f"SELECT source, count(*) FROM {_stored(layout)} WHERE {subject.is_learner()} "
        "GROUP BY source UNION ALL SELECT 'roster', count(*) FROM "
        f"{relations.roster_history(layout)} WHERE learner_id = {literal(person)} ORDER BY ALL"
    ).fetchall()
    return {str(source): int(n) for source, n in rows if n}


def require_somebody(
    connection: duckdb.DuckDBPyConnection, layout: Layout, subject: Subject
) -> None:
    """Stop where nothing is stored about a person: that is no erasure and no answer.

    Raises:
        BadInput: no stored row names them, as learner or as manager, and no roster does.
    """
    stored = _stored(layout)
    rosters = relations.roster_history(layout)
    tests = (
        f"{stored} WHERE {subject.may_be_learner()} OR {subject.is_manager()}",
        f"{rosters} WHERE {subject.named('learner_id')} OR {subject.named('manager_id')}",
        f"{relations.classified(layout)} WHERE {subject.is_person()}",
    )
    if not any(count(connection, f"SELECT count(*) FROM {test} LIMIT 1") for test in tests):
        raise BadInput(NOBODY)


NOBODY = (
    "nobody was found by this number, address or name: nothing is stored about them under it. "
    "Try another of their identifiers; `milestones people unresolved` lists those that no roster "
    "resolves"
)
SEVERAL = "people may be meant; choose one of them with --person, or repeat it for one person"
