"""SQL as text: values, names, and the models that lie as .sql files beside their modules.

A model is a Jinja template of one query. Only policy values and the names of our own relations go
into it, and each says what it is:

    {{ rows }}                   a relation or another piece of SQL (`Sql`)
    {{ codes | literals }}       a list of values, as after IN
    {{ least_people | literal }} one value
    {{ pairs | tuples }}         rows, as after VALUES
    {{ table | identifier }}     a quoted name

A plain text that passes through none of the filters is refused, and so is a value that the caller
does not give. What is in rows never becomes part of a statement.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template

from pipeline.errors import EngineError

Value = str | Path | int | float | dt.date | None


class Sql(str):
    """A piece of SQL: a relation, a query or an expression that our own code has put together."""

    __slots__ = ()


def literal(value: Value) -> Sql:
    """A SQL literal: text, path, number, truth value, day, instant (UTC, naive), or NULL.

    Raises:
        EngineError: a value of another type, or an instant with a time zone.
    """
    match value:
        case None:
            return Sql("NULL")
        case bool():
            return Sql(str(value).lower())
        case str() | Path():
            return Sql("'" + str(value).replace("'", "''") + "'")
        case int() | float():
            return Sql(repr(value))
        case dt.datetime() if value.tzinfo is None:
            return Sql(f"TIMESTAMP '{value}'")
        case dt.date() if not isinstance(value, dt.datetime):
            return Sql(f"DATE '{value}'")
    raise EngineError(f"no SQL literal for a value of the type {type(value).__name__}")


def literals(values: Iterable[Value]) -> Sql:
    """SQL after IN, without its parentheses; of no value a list that nothing is in."""
    return Sql(", ".join(map(literal, values)) or "NULL")


def tuples(rows: Iterable[Iterable[Value]]) -> Sql:
    """SQL after VALUES; there has to be a row."""
    return Sql(", ".join(f"({literals(row)})" for row in rows))


def dates(days: Iterable[str]) -> Sql:
    """SQL after IN, of days as ISO texts; as `literals`."""
    return literals(map(dt.date.fromisoformat, days))


def identifier(name: str) -> Sql:
    """A quoted SQL identifier."""
    return Sql('"' + name.replace('"', '""') + '"')


def identifiers(names: Iterable[str]) -> Sql:
    """Quoted SQL identifiers, as between SELECT and FROM."""
    return Sql(", ".join(map(identifier, names)))


def same_values(one: str, other: str, names: Iterable[str]) -> Sql:
    """Do the rows of two relations have the same values in these columns? NULL is like NULL."""
    return Sql(
        " AND ".join(
            f"{one}.{identifier(name)} IS NOT DISTINCT FROM {other}.{identifier(name)}"
            for name in names
        )
    )


FILTERS = {
    "literal": literal,
    "literals": literals,
    "tuples": tuples,
    "identifier": identifier,
    "identifiers": identifiers,
}


def render(package: str, name: str, /, **values: object) -> Sql:
    """The query of a model.

    Args:
        package: the Python package beside whose modules the file lies, as `pipeline.classified`.
        name: of the file, as `course.sql`.
        values: policy values and relations, by the names that the model gives them.

    Raises:
        EngineError: a plain text that no filter makes a literal or a name.
        jinja2.UndefinedError: the model names a value that is not given.
    """
    return Sql(_model(package, name).render(values))


@cache
def _model(package: str, name: str) -> Template:
    return _environment().from_string((resources.files(package) / name).read_text("utf-8"))


@cache
def _environment() -> Environment:
    environment = Environment(
        undefined=StrictUndefined,
        finalize=_checked,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # the filters escape, and `_checked` sees to it that they do
    )
    environment.filters.update(FILTERS)
    return environment


def _checked(value: object) -> object:
    """What a template prints: SQL, or a whole number."""
    if isinstance(value, Sql | int | StrictUndefined):
        return value
    raise EngineError(
        f"a model prints a value of the type {type(value).__name__} that no filter has made SQL"
    )
