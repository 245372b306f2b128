"""Which columns a query's columns are made of, read from the SQL that runs.

A column is made of every column that its expression names, followed through subqueries and through
the models that the query reads, down to the sources. A value that comes from a lookup (a relation
made of policy or of keys, such as the region of a country or the pseudonym of a person) is made of
what it is looked up by: the other side of the join's condition.

Conditions of WHERE and HAVING choose rows and are not followed; row filters are a matter of their
own (pipeline/pseudonymized/eligible.sql).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from pipeline.errors import EngineError

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope

Schema = Mapping[str, Iterable[str]]


class Origin(NamedTuple):
    """A column of a source relation."""

    relation: str
    column: str


@dataclass(frozen=True)
class ColumnLineage:
    """One column of a query.

    Attributes:
        made_from: what the value depends on.
        copy_of: those of `made_from` that the value may be, unchanged.
        comment: what stands behind the column in the SQL, after `--`.
    """

    made_from: frozenset[Origin] = frozenset()
    copy_of: frozenset[Origin] = frozenset()
    comment: str = ""


Columns = dict[str, ColumnLineage]


def query_lineage(query: str, sources: Schema, lookups: Iterable[str] = ()) -> Columns:
    """The columns of one query, in their order.

    Args:
        sources: columns of the relations that the query reads.
        lookups: those of the sources whose values say nothing but what they are looked up by.

    Raises:
        EngineError: a column is made of one that does not exist, or by a subquery (write a join
            instead).
    """
    return models_lineage({"query": query}, "query", sources, lookups)


def models_lineage(
    models: Mapping[str, str], model: str, sources: Schema, lookups: Iterable[str] = ()
) -> Columns:
    """The columns of one of several queries that read each other, down to the sources.

    Args:
        models: name to query; each reads sources, and queries that come before it.
        model: the name of the query that is asked for. The others as `query_lineage`.

    Raises:
        EngineError: as `query_lineage`.
    """
    frozen = tuple((name, tuple(columns)) for name, columns in sources.items())
    return dict(_lineage(_up_to(tuple(models.items()), model), frozen, frozenset(lookups)))


Models = tuple[tuple[str, str], ...]
Sources = tuple[tuple[str, tuple[str, ...]], ...]


def _up_to(models: Models, model: str) -> Models:
    """The models that come before one, and it as the last."""
    return models[: [name for name, _ in models].index(model) + 1]


# Audiences read the same models: each is followed once.
@lru_cache(maxsize=256)
def _lineage(models: Models, sources: Sources, lookups: frozenset[str]) -> Columns:
    """The columns of the last of some models."""
    name, text = models[-1]
    known = {
        source: {column: _of_source(source, column, lookups) for column in columns}
        for source, columns in sources
    }
    parsed, before = _parsed(name, text), {one for one, _ in models[:-1]}
    for read in _reads(parsed) & before - known.keys():
        known[read] = _lineage(_up_to(models, read), sources, lookups)
    return _Query(name, parsed, known).columns()


def _of_source(relation: str, column: str, lookups: frozenset[str]) -> ColumnLineage:
    """A column of a source, as far as it says anything."""
    own = frozenset({Origin(relation, column)})
    return ColumnLineage() if relation in lookups else ColumnLineage(own, own)


def _reads(query: exp.Query) -> set[str]:
    """The relations that a query names."""
    from sqlglot import exp

    return {table.name for table in query.find_all(exp.Table)}


# What chooses or orders rows; no column is made of it.
ROWS = ("where", "group", "having", "qualify", "order", "limit")


def _parsed(name: str, query: str) -> exp.Query:
    # It takes a moment to load, and only who asks for lineage needs it.
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        parsed = sqlglot.parse_one(query, dialect="duckdb")
    except SqlglotError as error:
        raise EngineError(f"lineage of {name}: {error}") from None
    if not isinstance(parsed, exp.Query):
        raise EngineError(f"lineage of {name}: no query")
    for part in list(parsed.find_all(exp.Query)):
        for clause in ROWS:
            part.set(clause, None)
    return parsed


@dataclass
class _Query:
    """One query among the relations that are known."""

    name: str
    query: exp.Query
    known: Mapping[str, Columns]
    done: dict[tuple[int, str], ColumnLineage] = field(default_factory=dict)

    def columns(self) -> Columns:
        """The query's columns."""
        from sqlglot.errors import SqlglotError
        from sqlglot.optimizer.qualify import qualify
        from sqlglot.optimizer.scope import build_scope

        comments = [" ".join(one.comments or ()).strip() for one in self.query.selects]
        read = _reads(self.query)
        try:
            scope = build_scope(
                qualify(
                    self.query,
                    dialect="duckdb",
                    schema={
                        name: dict.fromkeys(columns, "VARCHAR")
                        for name, columns in self.known.items()
                        if name in read
                    },
                    quote_identifiers=False,
                    identify=False,
                )
            )
        except SqlglotError as error:
            raise EngineError(f"lineage of {self.name}: {error}") from None
        assert scope is not None  # a query has one
        names = _query(scope).named_selects
        if len(comments) != len(names):  # a star has none
            comments = [""] * len(names)
        return {
            column: ColumnLineage(made.made_from, made.copy_of, comment)
            for column, comment in zip(names, comments, strict=True)
            for made in [self._output(scope, column)]
        }

    def _output(self, scope: Scope, column: str) -> ColumnLineage:
        """One column that a (sub)query gives."""
        at = (id(scope), column)
        if at not in self.done:
            self.done[at] = ColumnLineage()  # a recursive query reads itself
            self.done[at] = self._made(scope, column)
        return self.done[at]

    def _made(self, scope: Scope, column: str) -> ColumnLineage:
        from sqlglot import exp

        if isinstance(scope.expression, exp.Values):
            return ColumnLineage()
        if scope.set_operation_scopes:
            position = _query(scope).named_selects.index(column)
            return _together(
                self._output(part, _query(part).named_selects[position])
                for part in scope.set_operation_scopes
            )
        (projection,) = (one for one in _query(scope).selects if one.alias_or_name == column)
        return self._expression(scope, projection.unalias())

    def _expression(self, scope: Scope, made: exp.Expr) -> ColumnLineage:
        from sqlglot import exp

        if made.find(exp.Query):
            raise EngineError(f"lineage of {self.name}: a column is made by a subquery; join it")
        bound = {one.name for each in made.find_all(exp.Lambda) for one in each.expressions}
        everything = _together(
            self._column(scope, one)
            for one in made.find_all(exp.Column)
            if one.table or one.name not in bound
        )
        copies = _together(self._column(scope, one) for one in _passed_on(made))
        return ColumnLineage(everything.made_from, copies.copy_of)

    def _column(self, scope: Scope, column: exp.Column) -> ColumnLineage:
        """A column that an expression names."""
        found = self._read(scope, column)
        if found.made_from:
            return found
        return ColumnLineage(self._key(scope, column.table).made_from)

    def _read(self, scope: Scope, column: exp.Column) -> ColumnLineage:
        from sqlglot.optimizer.scope import Scope

        source = scope.sources.get(column.table)
        if isinstance(source, Scope):
            return self._output(source, column.name)
        if source is not None and column.name in self.known.get(source.name, {}):
            return self.known[source.name][column.name]
        raise EngineError(f"lineage of {self.name}: {column.sql()} does not exist")

    def _key(self, scope: Scope, alias: str) -> ColumnLineage:
        """What the rows of a joined relation are looked up by."""
        from sqlglot import exp

        conditions = [
            join.args["on"]
            for join in scope.expression.args.get("joins") or ()
            if join.alias_or_name == alias and join.args.get("on")
        ]
        return _together(
            self._column(scope, one)
            for condition in conditions
            for one in condition.find_all(exp.Column)
            if one.table != alias
        )


def _query(scope: Scope) -> exp.Query:
    from sqlglot import exp

    assert isinstance(scope.expression, exp.Query), scope.expression
    return scope.expression


def _passed_on(made: exp.Expr) -> list[exp.Column]:
    """The columns whose value an expression may give unchanged."""
    from sqlglot import exp

    match made:
        case exp.Column():
            return [made]
        case exp.Paren() | exp.Cast() | exp.AnyValue() | exp.Max() | exp.Min() | exp.First():
            parts = [made.this]
        case exp.ArgMax() | exp.ArgMin() | exp.Filter() | exp.Window() | exp.IgnoreNulls():
            parts = [made.this]
        case exp.Coalesce():
            parts = [made.this, *made.expressions]
        case exp.Case():
            parts = [*(one.args["true"] for one in made.args["ifs"]), made.args.get("default")]
        case _:
            parts = []
    return [column for part in parts if part is not None for column in _passed_on(part)]


def _together(parts: Iterable[ColumnLineage]) -> ColumnLineage:
    made_from: set[Origin] = set()
    copy_of: set[Origin] = set()
    for part in parts:
        made_from |= part.made_from
        copy_of |= part.copy_of
    return ColumnLineage(frozenset(made_from), frozenset(copy_of))
