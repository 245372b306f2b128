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
