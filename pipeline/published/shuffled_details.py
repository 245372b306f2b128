"""What a row says beyond its result is shuffled among enough people with the same result.

A manager knows from the 1:1 sheet how each of the own reports stands. In a class of k people with
one failure, that is enough to find a row by what it says. So it must not say anything else about
this person: tries, score band, and whether a training was waived or completed are permuted among
the rows of a lot (Zhang, Koudas, Srivastava & Yu 2007: permutation-based anonymization; as an idea
Dalenius & Reiss 1982: data swapping). Whoever finds a row knows that its details belong to one of
the lot's people, each as likely as the other.

A lot has the same result, so that nothing that is known of results leads to a person in it, and is
a group that holds (equivalence_classes.py): at least k people, of whom enough do not have the
adverse outcome, with or without any one team. That is a low score; whoever has failed is known to
have failed, which is no worse with a low score. Lots are as narrow as they can be:

    those with the same region and department in one course and period
    all of the course
    its category, and in the end all courses, of those courses in which anybody has a score, or of
    those in which nobody has one

What is left over joins the smallest lot beside it; what is in none loses these details. Each is
drawn once, when the period is published, from the operating system's randomness. So counts by
course, period and result are exact, rows can leave with their classes or by an erasure without
saying anything about the others, and nothing can be averaged out.
"""

from __future__ import annotations

import secrets

import duckdb

from pipeline.policy.disclosure import ClassRule
from pipeline.published import PACKAGE
from pipeline.published.equivalence_classes import at_the_least_sql, holding_sql
from pipeline.storage.relations import temp_table
from pipeline.storage.sql import Sql, identifiers, literal, render

LEFT_OUT = ("score_band", "tries")  # empty without a lot
SHUFFLED = ("status", *LEFT_OUT)
# What the history keeps of a row's lot: which it is, and how many people it had at the least, and
# of them not adverse, when its details were drawn. NULL without a lot.
LOT: dict[str, str] = {
    "lot": "UBIGINT",
    "lot_people": "INTEGER",
    "lot_not_adverse": "INTEGER",
}
_RESULT = ("period", "record_type", "outcome")
# What the rows of a lot share, narrowest first.
_KEYS = (
    (*_RESULT, "course_code", "region", "department"),
    (*_RESULT, "course_code"),
    (*_RESULT, "scored", "category"),
    (*_RESULT, "scored"),
)


def shuffle(connection: duckdb.DuckDBPyConnection, rows: Sql, rule: ClassRule) -> Sql:
    """Shuffle the details of the rows of some periods.

    Args:
        rows: as for `equivalence_classes.choose_classes`, with record_key.

    Returns:
        A temporary table of the rows, with the columns of LOT.
    """
    lots = temp_table(connection, "lots", render(PACKAGE, "lots.sql", rows=rows))
    for level, key in enumerate(_KEYS):
        total = f"hash({level}, {identifiers(key)})"
        _place(connection, lots, total, rule)
        _join_left_over(connection, lots, total, rule)
    members = Sql(f"SELECT lot AS id, person, team, not_adverse FROM {lots} WHERE lot IS NOT NULL")
    query = render(
        PACKAGE,
        "shuffled_rows.sql",
        rows=rows,
        lots=lots,
        sizes=at_the_least_sql(members),
        chance=secrets.token_hex(),
    )
    shuffled = temp_table(connection, "shuffled_rows", query)
    connection.execute(f"DROP TABLE {lots}")
    return shuffled


def _place(connection: duckdb.DuckDBPyConnection, lots: Sql, total: str, rule: ClassRule) -> None:
    """Make a lot of what is in none so far, wherever it holds."""
    members = Sql(f"SELECT {total} AS id, person, team, not_adverse FROM {lots} WHERE lot IS NULL")
    connection.execute(
        f"UPDATE {lots} SET lot = {total} "
        f"WHERE lot IS NULL AND {total} IN ({holding_sql(members, rule)})"
    )


def _join_left_over(
    connection: duckdb.DuckDBPyConnection, lots: Sql, total: str, rule: ClassRule
) -> None:
    """What is still in none joins the smallest lot of its total, where both hold together."""
    query = render(PACKAGE, "lots_with_left_over.sql", lots=lots, id=Sql(total))
    joined = temp_table(connection, "lots_with_left_over", query)
    holding = holding_sql(Sql(f"FROM {joined}"), rule)
    connection.execute(
        f"UPDATE {lots} SET lot = {total} "
        f"WHERE ({total}, coalesce(lot, 0)) IN "
        f"(SELECT (id, coalesce(lot, 0)) FROM {joined} WHERE id IN ({holding}))"
    )


def shown_sql(name: str, column: Sql, rule: ClassRule) -> Sql:
    """SQL: a published detail, as far as it was drawn from as many people as policy asks for now.

    Args:
        name: of the detail, among SHUFFLED.
        column: of a relation with the columns of LOT.
    """
    enough = (
        f"coalesce(lot_people >= {literal(rule.k)} "
        f"AND lot_not_adverse >= {literal(rule.minimum_not_adverse)}, false)"
    )
    if name == "status":
        return Sql(f"if({column} = 'waived' AND NOT {enough}, 'completed', {column})")
    return Sql(f"CASE WHEN {enough} THEN {column} END")
