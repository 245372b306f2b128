"""How sensitive courses are by now, on a connection: the models of suggestions.sql and
sensitivity.sql, made.

What the words of courses suggest takes patterns of thousands of characters, which every statement
compiles anew, and courses hardly change: it is worked out once in a process for the same texts.
"""

from __future__ import annotations

import hashlib

import duckdb
import pyarrow as pa

from pipeline.access.courses import make_decisions
from pipeline.classified.models import SUGGESTIONS, sensitivity_model, suggestions_model
from pipeline.context import Context
from pipeline.policy.data_map import DataMap
from pipeline.storage.engine import fingerprint
from pipeline.storage.relations import subquery, temp_table, temp_table_of
from pipeline.storage.sql import Sql

TEXTS = "course_texts"
MOST = 32  # sets of courses that a process remembers
# By a hash of the words that are looked for and of the texts: no title stays in memory.
_known: dict[str, pa.Table] = {}


def course_sensitivity(connection: duckdb.DuckDBPyConnection, context: Context, titles: Sql) -> Sql:
    """A relation as `sensitivity_model` has it, by the decisions of now.

    Args:
        titles: a relation of course_code and course_title.
    """
    make_decisions(connection, context)
    suggestions = make_suggestions(connection, titles, context.data_map)
    return subquery(sensitivity_model(suggestions, context.data_map))


def fingerprint_of_hidden(connection: duckdb.DuckDBPyConnection, courses: Sql) -> str:
    """A mark of the hidden courses and why each is: another one, if that has changed.

    Args:
        courses: a relation of course_code, sensitivity and reviewed; ordinary ones do not count.
    """
    hidden = (
        f"SELECT course_code, sensitivity, reviewed FROM {courses} WHERE sensitivity IS NOT NULL"
    )
    return ":".join(map(str, fingerprint(connection, hidden)))


def make_suggestions(connection: duckdb.DuckDBPyConnection, titles: Sql, data_map: DataMap) -> Sql:
    """A temporary table as `suggestions_model` has it; `titles` as `course_sensitivity`."""
    # Read once: what is remembered has to be of these very texts.
    found = connection.sql(
        f"SELECT DISTINCT course_code, course_title FROM {titles} ORDER BY ALL"
    ).to_arrow_table()
    model = suggestions_model(Sql(TEXTS), data_map)
    key = hashlib.sha256(repr((model, found.to_pylist())).encode()).hexdigest()
    if (known := _known.get(key)) is not None:
        return temp_table_of(connection, SUGGESTIONS, known)
    temp_table_of(connection, TEXTS, found)
    made = temp_table(connection, SUGGESTIONS, model)
    if len(_known) >= MOST:
        _known.clear()
    _known[key] = connection.sql(f"FROM {made}").to_arrow_table()
    return made
