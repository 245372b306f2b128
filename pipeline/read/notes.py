"""Notes say why somebody read, decided or withdrew something; they must not say whom it is about,
since the log or register that has them would become a second place of raw values.
"""

from __future__ import annotations

import re

import duckdb

from pipeline.access import acting
from pipeline.access.authorize import AccessDenied
from pipeline.classified import reference_values
from pipeline.context import Context
from pipeline.policy.detect import looks_personal
from pipeline.storage.engine import engine
from pipeline.storage.sql import render
from pipeline.subjects.denylist import grams_sql

LETTERS = 3  # shorter parts of names are particles and initials
DIGITS = "[0-9]{5,}"  # of a number; fewer are years and counts
DATE = re.compile(
    r"\b(?:(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"  # 2026-10-31
    r"|(?:0?[1-9]|[12]\d|3[01])[. ]{1,2}(?:0?[1-9]|1[0-2])[. ]{1,2}(?:19|20)\d\d)\b"  # 31.10.2026
)


def require_plain_note(context: Context, note: str) -> None:
    """Refuse a note that identifies somebody.

    Raises:
        AccessDenied: as `objection`.
    """
    if why := objection(context, note):
        raise AccessDenied(why)


def objection(context: Context, note: str, called: str = "the note") -> str | None:
    """Why a note may not be written down: it identifies somebody, by any part of a name or a
    number. None if it does not. Words of every day that are somebody's name as well are in
    access_rules.yaml; a whole name made of them is refused all the same. Dates are no numbers of
    anybody.

    Args:
        called: how the note is called in the answer, which says which word it is, by its place, and
            nothing of what was found.
    """
    if not note:
        return None
    with engine(context.layout.work) as connection:
        connection.execute("CREATE TEMP TABLE given (text VARCHAR)")
        connection.execute("INSERT INTO given VALUES ($note)", {"note": DATE.sub("…", note)})
        ((found,),) = connection.execute(f"SELECT {looks_personal('text')} FROM given").fetchall()
        place = None
        if not found and context.layout.reference_values.exists():
            reference_values.attach(connection, context.layout)
            found, place = _names_somebody(connection), _named_word(connection, context)
    if place is not None:
        return (
            f"{called} identifies a person: word {place} is part of a name or a number. Refer to a "
            "case instead, or, if it is a word of every day, have it added to `ordinary_words` in "
            "access_rules.yaml"
        )
    return f"{called} identifies a person; refer to a case instead" if found else None


def _names_somebody(connection: duckdb.DuckDBPyConnection) -> bool:
    ((found,),) = connection.execute(
        f"SELECT count(*) > 0 FROM ({grams_sql('given')}) JOIN reference.denylist ON gram = entry"
    ).fetchall()
    return bool(found)


def _named_word(connection: duckdb.DuckDBPyConnection, context: Context) -> int | None:
    # Of the signed rules: nobody allows themselves a word.
    words = acting.rules_in_force(context).ordinary_words
    query = render(
        "pipeline.read",
        "named_word.sql",
        letters=LETTERS,
        digits=DIGITS,
        ordinary=[word.lower() for word in words] or [""],
    )
    ((place,),) = connection.execute(query).fetchall()
    return None if place is None else int(place)
