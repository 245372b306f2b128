"""SQL models: what may be rendered into them, and the text functions of every connection."""

from __future__ import annotations

import datetime as dt
import importlib.resources
from pathlib import Path
from typing import Any

import jinja2
import pytest

from pipeline.errors import EngineError
from pipeline.storage import sql
from pipeline.storage.engine import engine
from pipeline.storage.sql import Sql, identifier, literal, literals


def rendered(text: str, **values: object) -> str:
    return sql._environment().from_string(text).render(values)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("O'Neil", "'O''Neil'"),
        (Path("/a'b"), "'/a''b'"),
        (5, "5"),
        (True, "true"),
        (None, "NULL"),
        (dt.date(2026, 2, 3), "DATE '2026-02-03'"),
        (dt.datetime(2026, 2, 3, 4, 5), "TIMESTAMP '2026-02-03 04:05:00'"),
    ],
)
def test_literals_are_sql(tmp_path: Path, value: Any, text: str) -> None:
    assert literal(value) == text
    with engine(tmp_path) as connection:
        ((found,),) = connection.sql(f"SELECT {literal(value)}").fetchall()
    assert found == (str(value) if isinstance(value, Path) else value)


@pytest.mark.parametrize("value", [[1], {"a": 1}, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), b"x"])
def test_what_is_no_literal_is_refused(value: Any) -> None:
    with pytest.raises(EngineError, match="literal"):
        literal(value)


def test_a_list_of_nothing_holds_nothing() -> None:
    assert literals([]) == "NULL"
    assert literals(["a", 1]) == "'a', 1"


def test_a_model_prints_sql_only() -> None:
    assert rendered("{{ rows }}", rows=Sql("FROM t")) == "FROM t"
    assert rendered("{{ name | identifier }}", name='a"b') == '"a""b"'
    assert rendered("{{ codes | literals }} {{ 3 }}", codes=["'"]) == "'''' 3"
    for value in ("t; DROP TABLE x", ["a"], None, identifier("a") + " b"):
        with pytest.raises(EngineError, match="no filter"):
            rendered("{{ value }}", value=value)
    with pytest.raises(jinja2.UndefinedError):
        rendered("{{ missing }}")


def test_every_connection_has_the_text_functions(tmp_path: Path) -> None:
    path = tmp_path / "d.duckdb"
    with engine(tmp_path, path) as connection:
        connection.execute("CREATE TABLE t AS SELECT 'BJÖRN  Yılmaz (x)' AS v")
    with engine(tmp_path, path, read_only=True) as connection:
        ((grams, folded),) = connection.sql("SELECT word_grams(v), folded(v) FROM t").fetchall()
    assert folded == "bjorn  yilmaz (x)"
    assert sorted(set(grams)) == sorted(
        {
            "bjorn",
            "yilmaz",
            "x",
            "",
            "bjorn yilmaz",
            "yilmaz x",
            "x ",
            "bjorn yilmaz x",
            "yilmaz x ",
            "bjorn yilmaz x ",
        }
    )


def test_macros_read_their_parameters_only() -> None:
    """Otherwise a column could be made of more than its arguments, and no lineage would show it."""
    import sqlglot
    from sqlglot import exp

    text = (importlib.resources.files("pipeline.storage") / "macros.sql").read_text("utf-8")
    macros = [one for one in sqlglot.parse(text, dialect="duckdb") if one is not None]
    assert len(macros) > 5
    for macro in macros:
        assert isinstance(macro, exp.Create), macro.sql()
        assert macro.kind in ("MACRO", "FUNCTION"), macro.sql()
        parameters = {one.name for one in macro.this.expressions}
        bound = {one.name for each in macro.find_all(exp.Lambda) for one in each.expressions}
        read = {one.name for one in macro.expression.find_all(exp.Column)}
        assert read <= parameters | bound, macro.sql()
