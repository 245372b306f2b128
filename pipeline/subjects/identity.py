"""Everything that identifies one person: identifiers, when each was theirs, and what to search for
in texts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

import duckdb

from pipeline.identity import models, store
from pipeline.identity.models import DAY
from pipeline.policy.fields import Audience
from pipeline.storage import encryption, relations
from pipeline.storage.layout import Layout
from pipeline.storage.relations import subquery, temp_table
from pipeline.storage.sql import Sql, literal, literals
from pipeline.subjects.denylist import SHORTEST_NAME, SHORTEST_NUMBER


class Window(NamedTuple):
    """Days on which an identifier was somebody's; ISO dates, as far as DuckDB knows them.

    Attributes:
        until: the day after the last.
    """

    identifier: str
    since: str
    until: str

    def sql(self, column: str) -> str:
        """SQL over canonical rows: does the column hold the identifier, on one of the days?"""
        since, until = (f"DATE {literal(day)}" for day in (self.since, self.until))
        return f"({column} = {literal(self.identifier)} AND {DAY} >= {since} AND {DAY} < {until})"


@dataclass(frozen=True, repr=False)
class Subject:
    """One person; never prints itself.

    Attributes:
        people: the identifiers that the classified store uses: one, or several for somebody who
            was employed under several numbers.
        ids: every raw identifier that means the person at any time.
        windows: identifiers that others had at other times, with the days on which they mean the
            person.
        shared: the same for days on which others had them as well, so that nobody can say whose a
            record is.
        search_terms: texts that mean this person and nobody else, in lower case.
        name_tokens: parts of the name that nobody else on the rosters has in theirs. In free text
            they mean the person; elsewhere they can be ordinary words and are not searched for.
    """

    people: tuple[str, ...]
    ids: tuple[str, ...]
    search_terms: tuple[str, ...]
    name_tokens: tuple[str, ...] = ()
    windows: tuple[Window, ...] = field(default=())
    shared: tuple[Window, ...] = field(default=())

    @property
    def person(self) -> str:
        """The first of `people`."""
        return self.people[0]

    def is_person(self, column: str = "person") -> str:
        """SQL over classified rows: does the column name the person?"""
        return f"{column} IN ({literals(self.people)})"

    def is_learner(self) -> str:
        """SQL over canonical rows: is it the person's row?"""
        return self._on_their_days("learner_id", self.windows)

    def may_be_learner(self) -> str:
        """SQL over canonical rows: is it the person's row, or one of which nobody can say whether
        it is theirs or another's?"""
        return self._on_their_days("learner_id", self.windows + self.shared)

    def is_manager(self) -> str:
        """SQL over canonical rows: is the person the manager?"""
        return self._on_their_days("manager_id", self.windows + self.shared)

    def _on_their_days(self, column: str, windows: tuple[Window, ...]) -> str:
        tests = [self.named(column), *(window.sql(column) for window in windows)]
        return f"({' OR '.join(tests)})"

    def named(self, column: str) -> str:
        """SQL: does the column hold one of the identifiers that mean the person at any time?"""
        return f"{column} IN ({literals(self.ids)})"

    @property
    def pattern(self) -> str:
        """Regular expression (RE2 and Python): a search term that stands by itself."""
        return alone(self.search_terms)

    @property
    def free_text(self) -> str:
        """The same for free text, with the tokens of the name."""
        return alone(self.search_terms + self.name_tokens)

    def mentioned(self, column: str) -> str:
        """SQL: does the text mean the person?"""
        return f"regexp_matches({column}, {literal(self.pattern)})"

    def named_in(self, column: str) -> str:
        """SQL: does the free text mean the person?"""
        return f"regexp_matches({column}, {literal(self.free_text)})"


def alone(search_terms: tuple[str, ...]) -> str:
    """Regular expression: one of the texts, not as part of a longer word or number."""
    if not search_terms:
        return r"[^\s\S]"
    found = "|".join(re.escape(term) for term in search_terms)
    return rf"(?i)(?:^|[^0-9a-zA-Z])(?:{found})(?:$|[^0-9a-zA-Z])"


def make_identifiers(connection: duckdb.DuckDBPyConnection, layout: Layout) -> Sql:
    """Make the temporary table of identifiers: those of the last classification, or before the
    first run what the rosters say about addresses. Leaves `holdings` beside it."""
    history = relations.roster_history(layout)
    holdings = temp_table(connection, "holdings", models.holdings_model(history))
    stored = store.path(layout)
    query = f"FROM {store.identifiers(layout)}"
    if not stored.exists():
        query = models.of_addresses(subquery(models.addresses_model(holdings)))
    return temp_table(connection, models.IDENTIFIERS, query)


def find(
    connection: duckdb.DuckDBPyConnection, layout: Layout, identifier: str, *also: str
) -> Subject:
    """The person behind a raw identifier, through all rosters that the store holds.

    A name is a search term only if nobody else on the rosters has it; an address or a hash that
    another employee had at the same time identifies nobody.

    Args:
        also: further identifiers of the same person, such as the number of a second employment.
    """
    identifiers = make_identifiers(connection, layout)
    given = [_same_form(connection, one) for one in (identifier, *also)]
    people = tuple(dict.fromkeys(_person(connection, identifiers, one) for one in given))
    rows = connection.execute(
        f"SELECT identifier, valid_from::VARCHAR, valid_until::VARCHAR, person, "
        f"bool_and(coalesce(person IN ({literals(people)}), false)) OVER (PARTITION BY identifier) "
        f"FROM {identifiers} QUALIFY bool_or(person IN ({literals(people)})) "
        f"OVER (PARTITION BY identifier) OR identifier IN ({_held(people)})"
    ).fetchall()
    ids = {*given, *people, *(str(row[0]) for row in rows if row[4])}
    ids |= _without_zeros(connection, layout, people)
    windows = tuple(Window(*row[:3]) for row in rows if row[3] in people and not row[4])
    shared = tuple(Window(*row[:3]) for row in rows if row[3] is None)
    # What means the person on some days only is none of those that mean them on all.
    ids -= {one.identifier for one in windows + shared} - set(people)
    names, tokens = _names(connection, layout, people)
    bare = {re.split(r"[:#/]", one.rstrip("/"))[-1].lower() for one in ids}
    search_terms = {one for one in bare if len(one) >= SHORTEST_NUMBER} | names
    return Subject(
        people,
        tuple(sorted(ids)),
        tuple(sorted(search_terms)),
        tuple(sorted(tokens)),
        tuple(sorted(windows)),
        tuple(sorted(shared)),
    )


def _same_form(connection: duckdb.DuckDBPyConnection, identifier: str) -> str:
    return str(_one(connection, "SELECT same_form($1)", identifier))


def _one(connection: duckdb.DuckDBPyConnection, query: str, *values: str) -> object:
    ((found,),) = connection.execute(query, values).fetchall()
    return found


def _person(connection: duckdb.DuckDBPyConnection, identifiers: Sql, identifier: str) -> str:
    """Whom an identifier means, if it means one person only, at whatever time."""
    query = (
        f"SELECT coalesce(min(person) FILTER (n = 1), $1) FROM (SELECT person, "
        f"count(DISTINCT coalesce(person, '')) OVER () AS n FROM {identifiers} "
        "WHERE identifier = $1)"
    )
    return str(_one(connection, query, identifier))


def _without_zeros(
    connection: duckdb.DuckDBPyConnection, layout: Layout, people: tuple[str, ...]
) -> set[str]:
    """Their numbers without leading zeros, unless another employee has one that differs in those
    only; a later export can have lost them."""
    rows = connection.execute(
        "SELECT 'emp:' || number_core(substr(learner_id, 5)) AS number "
        f"FROM {relations.roster_history(layout)} WHERE starts_with(learner_id, 'emp:') "
        f"GROUP BY 1 HAVING bool_and(learner_id IN ({literals(people)}))"
    ).fetchall()
    return {str(number) for (number,) in rows}


def _held(people: tuple[str, ...]) -> str:
    """SQL: the identifiers made of addresses that these people had at some time."""
    return (
        "SELECT unnest(identifiers_of_address(address)) "
        f"FROM holdings WHERE address IS NOT NULL AND person IN ({literals(people)})"
    )


def _names(
    connection: duckdb.DuckDBPyConnection, layout: Layout, people: tuple[str, ...]
) -> tuple[set[str], set[str]]:
    """Names, and parts of names, that nobody but these people has on the rosters."""
    rosters, theirs = relations.roster_history(layout), f"learner_id IN ({literals(people)})"
    names = connection.execute(
        f"SELECT lower(name) FROM {rosters} WHERE length(name) >= {SHORTEST_NAME} "
        f"GROUP BY 1 HAVING bool_and({theirs})"
    ).fetchall()
    tokens = connection.execute(
        f"SELECT token FROM (SELECT learner_id, unnest(regexp_split_to_array(lower(name), "
        f"'[\\s,.]+')) AS token FROM {rosters}) WHERE length(token) >= {SHORTEST_NAME} "
        f"GROUP BY 1 HAVING bool_and({theirs})"
    ).fetchall()
    return {str(name) for (name,) in names}, {str(token) for (token,) in tokens}


def references(
    connection: duckdb.DuckDBPyConnection, layout: Layout, subject: Subject
) -> dict[Audience, tuple[str, ...]]:
    """The person's pseudonyms of the current epoch, by audience."""
    found = {
        audience: _references(connection, layout, subject.people, audience) for audience in Audience
    }
    return {audience: refs for audience, refs in found.items() if refs}


def reference(
    connection: duckdb.DuckDBPyConnection, layout: Layout, identifier: str, audience: Audience
) -> str | None:
    """The pseudonym in one audience of whom a raw identifier means; None if there is none."""
    identifiers = make_identifiers(connection, layout)
    person = _person(connection, identifiers, _same_form(connection, identifier))
    return next(iter(_references(connection, layout, (person,), audience)), None)


def _references(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    people: tuple[str, ...],
    audience: Audience,
) -> tuple[str, ...]:
    path = layout.references(audience)
    if not path.exists():
        return ()
    rows = connection.execute(
        f"SELECT ref FROM {encryption.rows(connection, layout, path)} "
        f"WHERE person IN ({literals(people)}) ORDER BY ref"
    ).fetchall()
    return tuple(str(ref) for (ref,) in rows)
