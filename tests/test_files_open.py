"""The files that people receive open in the tools that they have."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import duckdb
import pytest

from pipeline.policy.fields import Audience
from pipeline.published import exports
from tests.environments import environment
from tests.fixtures import Estate

OLDEST = "duckdb-1.1"
READ = """
import duckdb, json, sys
found = {}
for path in sys.argv[1:]:
    c = duckdb.connect(path, read_only=True)
    for (table,) in c.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        rows = c.execute(f'SELECT COLUMNS(*)::VARCHAR FROM "{table}" ORDER BY ALL').fetchall()
        said = c.execute(
            "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = ?", [table]
        ).fetchall()
        about = "SELECT comment FROM duckdb_tables() WHERE table_name = ?"
        about = c.execute(about, [table]).fetchall()
        found[path + " " + table] = [rows, dict(said), about[0][0]]
print(json.dumps([duckdb.__version__, found]))
"""


@pytest.fixture(scope="session")
def oldest(pytestconfig: pytest.Config) -> Path:
    """The Python of an environment with the oldest DuckDB that is supported."""
    return environment(pytestconfig.cache.mkdir("environments"), OLDEST)


def received(estate: Estate) -> list[Path]:
    return sorted((estate.layout.current.resolve() / exports.FOLDER).rglob("*.duckdb"))


def test_the_oldest_client_reads_every_file_with_its_descriptions(
    finished_run: Estate, oldest: Path
) -> None:
    """The kind: what this version of DuckDB writes by default, only this version reads."""
    files = received(finished_run)
    command = [str(oldest), "-c", READ, *map(str, files)]
    version, found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert version.startswith("1.1.")
    data_map = finished_run.context.data_map
    assert {name.split(" ")[0] for name in found} == set(map(str, files))
    assert {name.split(" ")[1] for name in found} >= set(data_map.tables_of(Audience.COACHING))
    for name, (rows, columns, about) in found.items():
        path, table = name.split(" ")
        with duckdb.connect(path, read_only=True) as connection:
            query = f'SELECT COLUMNS(*)::VARCHAR FROM "{table}" ORDER BY ALL'
            assert [tuple(row) for row in rows] == connection.execute(query).fetchall()
        assert about == data_map.published[table].description
        assert columns == {c: data_map.columns[c].description for c in columns}


def test_parquet_beside_has_the_same_rows(finished_run: Estate) -> None:
    layout = finished_run.layout
    folders = layout.current.resolve() / exports.FOLDER
    tables = finished_run.context.data_map.published
    found = sorted(folders.rglob("*.parquet"))
    assert {path.stem for path in found} == {
        name
        for name, spec in tables.items()
        if spec.audience in (Audience.COACHING, Audience.ANALYTICS)
    }
    with duckdb.connect() as connection:
        for path in found:
            database = path.parent / f"{tables[path.stem].database}.duckdb"
            connection.execute(f"ATTACH '{database}' AS published (READ_ONLY)")
            differ = connection.execute(
                f"(FROM '{path}' EXCEPT ALL FROM published.{path.stem}) UNION ALL "
                f"(FROM published.{path.stem} EXCEPT ALL FROM '{path}')"
            ).fetchall()
            connection.execute("DETACH published")
            assert differ == []
