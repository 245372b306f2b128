"""Everything that identifies one person: identifiers, and what to search for in texts."""

from __future__ import annotations

import re
from dataclasses import dataclass

import duckdb

from pipeline.policy.fields import Audience
from pipeline.storage import encryption, relations
from pipeline.storage.layout import Layout
from pipeline.storage.sql import literal
from pipeline.subjects.denylist import SHORTEST_NAME, SHORTEST_NUMBER


@dataclass(frozen=True, repr=False)
class Subject:
    """One person; never prints itself.

    Attributes:
        person: the identifier that the classified store uses.
        ids: every raw identifier that resolves to the person.
        search_terms: texts that mean this person and nobody else, in lower case.
        name_tokens: parts of the name that nobody else on the rosters has in theirs. In free text
            they mean the person; elsewhere they can be ordinary words and are not searched for.
    """

    person: str
    ids: tuple[str, ...]
    search_terms: tuple[str, ...]
    name_tokens: tuple[str, ...] = ()

    def is_learner(self) -> str:
        """SQL over canonical and roster rows: is it the person's row?"""
        tests = [self.named("learner_id")]
        if self.person.startswith("emp:"):
            number = literal(self.person.removeprefix("emp:"))
            tests.append(
                f"starts_with(learner_id, 'acct:') AND split_part(learner_id, '#', -1) = {number}"
            )
        return f"({' OR '.join(tests)})"

    def named(self, column: str) -> str:
        """SQL: does the column hold one of the identifiers?"""
        return f"{column} IN ({', '.join(literal(one) for one in self.ids)})"

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


def find(connection: duckdb.DuckDBPyConnection, layout: Layout, identifier: str) -> Subject:
    """The person behind a raw identifier, through all rosters that the store holds.

    A name is a search term only if nobody else on the rosters has it; an address or a hash that is
    shared identifies nobody.
    """
    rosters = relations.roster_history(layout)
    connection.execute(f"""
      CREATE OR REPLACE TEMP TABLE known_alias AS
        SELECT DISTINCT learner_id AS person, unnest([learner_id, 'mbox:mailto:' || email,
          'sha1:' || sha1('mailto:' || email)]) AS id FROM {rosters}
    """)
    ((person,),) = connection.execute(
        "SELECT coalesce(min(person) FILTER (n = 1), $id) FROM (SELECT person, "
        "count(DISTINCT person) OVER () AS n FROM known_alias WHERE id = $id)",
        {"id": identifier},
    ).fetchall()
    rows = connection.execute(
        "SELECT id FROM known_alias WHERE id IS NOT NULL GROUP BY id "
        "HAVING count(DISTINCT person) = 1 AND any_value(person) = $p ORDER BY id",
        {"p": person},
    ).fetchall()
    ids = {identifier, str(person), *(str(one) for (one,) in rows)}
    names = connection.execute(
        f"SELECT lower(name) FROM {rosters} WHERE length(name) >= {SHORTEST_NAME} "
        "GROUP BY 1 HAVING count(DISTINCT learner_id) = 1 AND any_value(learner_id) = $p",
        {"p": person},
    ).fetchall()
    tokens = connection.execute(
        f"SELECT token FROM (SELECT learner_id, unnest(regexp_split_to_array(lower(name), "
        f"'[\\s,.]+')) AS token FROM {rosters}) WHERE length(token) >= {SHORTEST_NAME} "
        "GROUP BY 1 HAVING count(DISTINCT learner_id) = 1 AND any_value(learner_id) = $p",
        {"p": person},
    ).fetchall()
    bare = {re.split(r"[:#/]", one.rstrip("/"))[-1].lower() for one in ids}
    search_terms = {one for one in bare if len(one) >= SHORTEST_NUMBER} | {str(n) for (n,) in names}
    return Subject(
        str(person),
        tuple(sorted(ids)),
        tuple(sorted(search_terms)),
        tuple(sorted(token for (token,) in tokens)),
    )


def references(
    connection: duckdb.DuckDBPyConnection, layout: Layout, subject: Subject
) -> dict[Audience, str]:
    """The person's pseudonyms of the current epoch, by audience."""
    found: dict[Audience, str] = {}
    for audience in Audience:
        path = layout.references(audience)
        if path.exists():
            rows = connection.execute(
                f"SELECT ref FROM {encryption.rows(connection, layout, path)} WHERE person = $p",
                {"p": subject.person},
            ).fetchall()
            if rows:
                found[audience] = str(rows[0][0])
    return found
