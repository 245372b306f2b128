"""Notes say why somebody read something; they must not say whom it is about, since the access log
would become a second place of raw values.
"""

from __future__ import annotations

import duckdb

from pipeline.access.authorize import AccessDenied
from pipeline.classified import reference_values
from pipeline.context import Context
from pipeline.policy.detect import looks_personal
from pipeline.storage.engine import engine
from pipeline.storage.sql import render
from pipeline.subjects.denylist import grams_sql

LETTERS = 3  # shorter parts of names are particles and initials
DIGITS = "[0-9]{5,}"  # of a number; fewer are years and counts


def require_plain_note(context: Context, note: str) -> None:
    """Refuse a note that identifies somebody, by any part of a name or a number. Words of every
    day that are somebody's name as well are in access_rules.yaml; a whole name made of them is
    refused all the same.

    Raises:
        AccessDenied: which word it is, by its place; nothing of what was found.
    """
    if not note:
        return
    with engine(context.layout.work) as connection:
        connection.execute("CREATE TEMP TABLE given (text VARCHAR)")
        connection.execute("INSERT INTO given VALUES ($note)", {"note": note})
        ((found,),) = connection.sql(f"SELECT {looks_personal('text')} FROM given").fetchall()
        place = None
        if not found and context.layout.reference_values.exists():
            reference_values.attach(connection, context.layout)
            found, place = _names_somebody(connection), _named_word(connection, context)
    if place is not None:
        raise AccessDenied(
            f"the note identifies a person: word {place} is part of a name or a number. Refer to a "
            "case instead, or, if it is a word of every day, have it added to `ordinary_words` in "
            "access_rules.yaml"
        )
    if found:
        raise AccessDenied("the note identifies a person; refer to a case instead")


def _names_somebody(connection: duckdb.DuckDBPyConnection) -> bool:
    ((found,),) = connection.sql(
        f"SELECT count(*) > 0 FROM ({grams_sql('given')}) JOIN reference.denylist ON gram = entry"
    ).fetchall()
    return bool(found)


def _named_word(connection: duckdb.DuckDBPyConnection, context: Context) -> int | None:
    query = render(
        "pipeline.read",
        "named_word.sql",
        letters=LETTERS,
        digits=DIGITS,
        ordinary=[word.lower() for word in context.access.ordinary_words] or [""],
    )
    ((place,),) = connection.sql(query).fetchall()
    return None if place is None else int(place)
