"""What the engine is told about its memory holds in the plans that it makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb

from pipeline.storage.engine import engine, joined_as_written
from tests import pooled
from tests.pooled import opened_anew as opened

TABLES = """
CREATE TABLE month AS SELECT range AS id, (range % 500)::VARCHAR AS person FROM range(20000);
CREATE TABLE people AS SELECT range::VARCHAR AS person, range AS ref FROM range(10000);
"""
# DuckDB takes it that a fifth of the rows pass each of the filters.
QUERY = """
SELECT id, ref FROM (FROM month WHERE id % 2 = 0 AND id % 3 <> 1 AND id % 7 <> 0) r
JOIN people p ON p.person = r.person
"""


def held(connection: duckdb.DuckDBPyConnection) -> str:
    """The side of the join that is held in memory."""
    (plan,) = json.loads(connection.execute(f"EXPLAIN (FORMAT json) {QUERY}").fetchall()[0][1])

    def joins(node: dict[str, Any]) -> list[dict[str, Any]]:
        below = [join for child in node["children"] for join in joins(child)]
        return [node, *below] if node["name"].strip() == "HASH_JOIN" else below

    (join,) = joins(plan)
    return json.dumps(join["children"][1])


def test_people_are_held_in_memory_and_not_a_month(tmp_path: Path) -> None:
    with engine(tmp_path) as connection:
        connection.execute(TABLES)
        assert "month" in held(connection), "DuckDB would do so by itself; then this can go"
        with joined_as_written(connection):
            output = held(connection)
            assert "people" in output
            assert "month" not in output
        assert "month" in held(connection)


# Where and how much it may spill depends on the folder and on what the disk has left by now.
SETTINGS = """
SELECT name, value FROM duckdb_settings()
WHERE name NOT IN ('temp_directory', 'max_temp_directory_size', 'enable_progress_bar') ORDER BY name
"""
MACROS = """
SELECT function_name, parameters, macro_definition FROM duckdb_functions()
WHERE function_type = 'macro' AND NOT internal ORDER BY ALL
"""
SEEN = ("SHOW ALL TABLES", "SELECT database_name FROM duckdb_databases()", SETTINGS, MACROS)


def test_a_database_that_is_used_again_is_as_a_new_one(tmp_path: Path) -> None:
    """The kind: whatever a test leaves in one of the tests' shared databases, the next finds none
    of it, and finds what the product's own connections have."""
    with pooled.opened(tmp_path, ":memory:", False) as connection:
        connection.execute("CREATE TEMP TABLE left_over AS SELECT 1")
        connection.execute("ATTACH ':memory:' AS other; CREATE TABLE other.left_over AS SELECT 1")
        connection.execute("SET preserve_insertion_order = true")
        connection.execute("SET arrow_lossless_conversion = true")
        connection.execute("SET disabled_optimizers = 'join_order'")
    kept = pooled.idle()[-1]
    with (
        pooled.opened(tmp_path, ":memory:", False) as again,
        opened(tmp_path, ":memory:", False) as new,
    ):
        assert kept not in pooled.idle()
        for seen in SEEN:
            assert again.execute(seen).fetchall() == new.execute(seen).fetchall()


def test_a_database_that_was_left_with_tables_is_not_used_again(tmp_path: Path) -> None:
    with pooled.opened(tmp_path, ":memory:", False) as connection:
        others = list(pooled.idle())
        connection.execute("CREATE TABLE left_over AS SELECT 1")
    assert pooled.idle() == others


# A table with a column of each type that a macro may take.
GIVEN = "CREATE TEMP TABLE given (t VARCHAR, d DATE, m TIMESTAMP, z TIMESTAMPTZ, n INTEGER)"
PARAMETERS = """
SELECT function_name, len(parameters) FROM duckdb_functions()
WHERE function_type = 'macro' AND NOT internal ORDER BY ALL
"""
OF_ZONES = {"wall_time", "instant_of"}  # theirs are of two types
MOST = 60


def _patterns(connection: duckdb.DuckDBPyConnection, name: str, parameters: int) -> int:
    """How many regular expressions a call of a macro comes to; the first type that it takes."""
    for column in "tdmzn":
        query = f"SELECT {name}({', '.join([column] * parameters)}) FROM given"
        plan = "SELECT json_serialize_plan($1, optimize := false)"
        ((found,),) = connection.execute(plan, [query]).fetchall()
        if not json.loads(found)["error"]:
            return int(str(found).count('"regexp_'))
    raise AssertionError(f"{name} takes none of these types")


def test_no_macro_is_written_out_without_measure(tmp_path: Path) -> None:
    """A macro is put in wherever it is named, with its argument wherever that is named, and so are
    the macros in it, and nullif, which is one. That multiplies: same_form came to 111 regular
    expressions, which every statement compiled anew in 20 ms. What is long and used more than once
    gets a name by a lambda."""
    with engine(tmp_path) as connection:
        connection.execute(GIVEN)
        macros = dict(connection.execute(PARAMETERS).fetchall())
        found = {
            name: _patterns(connection, name, parameters)
            for name, parameters in macros.items()
            if name not in OF_ZONES
        }
    assert macros.keys() > OF_ZONES
    assert found["same_form"] > 10, "nothing is seen of what macros come to"
    assert {name: n for name, n in found.items() if n > MOST} == {}
