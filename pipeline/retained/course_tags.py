"""How sensitive courses are by now, in rows that a run classified by the decisions of its moment.

A decision can be made between two runs, and it ends when whoever signed it leaves, is erased or
has the role or the key no longer. Whatever publishes next publishes by the decisions of now. That a
course became ordinary waits for the next run.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from pipeline.classified import population, run_snapshot
from pipeline.classified.sensitivity import course_sensitivity
from pipeline.context import Context
from pipeline.errors import ErasureError
from pipeline.retained.journal import Journal
from pipeline.storage.engine import count
from pipeline.storage.file_edit import EditResult, fresh_path, swap
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from pipeline.storage.relations import parquet, period_files, temp_table
from pipeline.storage.schema import PARQUET
from pipeline.storage.sql import Sql, literal, literals

HIDDEN = "hidden_courses"


def hidden(connection: duckdb.DuckDBPyConnection, context: Context) -> Sql:
    """A temporary table of the courses that are not ordinary by now: course_code, sensitivity,
    reviewed."""
    titles = population.load_titles(connection, context.layout)
    by_now = course_sensitivity(connection, context, titles)
    return temp_table(
        connection,
        HIDDEN,
        f"SELECT course_code, sensitivity, reviewed FROM {by_now} WHERE sensitivity IS NOT NULL",
    )


def files_about(connection: duckdb.DuckDBPyConnection, layout: Layout, courses: Sql) -> list[Path]:
    """Files of the classified store with a row of some courses (of `hidden`)."""
    return _files(connection, layout, courses, "true")


def write(
    connection: duckdb.DuckDBPyConnection, layout: Layout, courses: Sql, journal: Journal
) -> set[str]:
    """Write into the classified rows how sensitive their courses are by now; returns the folders of
    the months that this changed.

    Args:
        courses: as `hidden` returns them.

    Raises:
        ErasureError: a new file has other rows; it did not take the place of the old one.
    """
    differs = "(r.sensitivity, r.reviewed) IS DISTINCT FROM (h.sensitivity, h.reviewed)"
    changed = _files(connection, layout, courses, differs)
    if changed and not journal.is_open():
        # Nothing else would say, after a crash, that months are to be rebuilt.
        run_snapshot.outdate(layout)
    for path in changed:
        _write_file(connection, layout, path, courses, journal)
    return {path.parent.name for path in changed}


def _files(
    connection: duckdb.DuckDBPyConnection, layout: Layout, courses: Sql, test: str
) -> list[Path]:
    """Files with a row `r` of one of the courses `h` for which the test holds."""
    files = period_files(layout.classified)
    if not files or not count(connection, f"SELECT count(*) FROM {courses}"):
        return []
    rows = f"read_parquet([{literals(files)}], filename = true, hive_partitioning = false)"
    found = connection.execute(
        f"SELECT DISTINCT r.filename FROM {rows} r JOIN {courses} h USING (course_code) "
        f"WHERE {test} ORDER BY 1"
    )
    return [Path(name) for (name,) in found.fetchall()]


def _write_file(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    path: Path,
    courses: Sql,
    journal: Journal,
) -> None:
    rows, fresh = parquet([path], {}), fresh_path(layout, path)
    columns = connection.sql(f"FROM {rows} LIMIT 0").columns
    chosen = ", ".join(
        f"CASE WHEN h.course_code IS NULL THEN r.{name} ELSE h.{name} END AS {name}"
        if name in ("sensitivity", "reviewed")
        else f"r.{name}"
        for name in columns
    )
    connection.execute(
        f"COPY (SELECT {chosen} FROM {rows} r LEFT JOIN {courses} h USING (course_code)) "
        f"TO {literal(fresh)} ({PARQUET})"
    )
    before, after = (
        count(connection, f"SELECT count(*) FROM {one}") for one in (rows, parquet([fresh], {}))
    )
    if before != after:
        fresh.unlink()
        raise ErasureError("a rewritten file does not have the right rows; nothing was replaced")
    name = path.relative_to(layout.root).as_posix()
    journal.record_edit(EditResult(name, before, after, 0, file_sha256(path), file_sha256(fresh)))
    swap(fresh, path)
