"""Physical erasure of rows: the rows that stay go to a new file, which is verified and replaces the
old one.

Parquet pages and statistics are rewritten, so that nothing of an erased row is left in the file. A
reader sees the old file or the new one; a killed process leaves the old one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import duckdb

from pipeline.errors import ErasureError
from pipeline.storage.engine import count, fingerprint
from pipeline.storage.files import fsync
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from pipeline.storage.schema import PARQUET
from pipeline.storage.sql import identifier, literal


@dataclass(frozen=True)
class FileEdit:
    """What to change in one file.

    Attributes:
        delete_where: SQL; rows for which it is true are deleted.
        set_null_where: column to SQL; in rows that stay and for which it is true, the column is
            set to NULL.
    """

    path: Path
    delete_where: str = "false"
    set_null_where: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """SQL: the file's rows with their row numbers."""
        return f"read_parquet({literal(self.path)}, file_row_number=true, hive_partitioning=false)"


@dataclass(frozen=True)
class EditResult:
    """The proof for one file.

    Attributes:
        file: relative to the data folder.
        before, after: rows.
        blanked: rows that stay with a column set to NULL.
        sha256_before, sha256_after: of the whole file.
    """

    file: str
    before: int
    after: int
    blanked: int
    sha256_before: str
    sha256_after: str

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def affected(connection: duckdb.DuckDBPyConnection, edit: FileEdit) -> tuple[int, int, int]:
    """Rows of the file, rows to delete, and rows that stay with a column set to NULL.

    Leaves the numbers of the rows to delete in the temporary table `leaving`, so that the tests,
    which can be expensive, run once.
    """
    source = edit.source
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE leaving AS SELECT file_row_number AS row FROM {source} "
        f"WHERE {edit.delete_where}"
    )
    nulled = " OR ".join(f"({test})" for test in edit.set_null_where.values()) or "false"
    stays = "file_row_number NOT IN (FROM leaving)"
    rows = count(connection, f"SELECT count(*) FROM {source}")
    deleted = count(connection, "SELECT count(*) FROM leaving")
    blanked = 0
    if edit.set_null_where:
        blanked = count(connection, f"SELECT count(*) FROM {source} WHERE ({nulled}) AND {stays}")
    return rows, deleted, blanked


def rewrite(
    connection: duckdb.DuckDBPyConnection, layout: Layout, edit: FileEdit
) -> tuple[EditResult, Path] | None:
    """Write the new file beside the old one; None if nothing in it is affected.

    The new file is read back: it must have all rows that stay and no other.

    Raises:
        ErasureError: the new file has other rows.
    """
    rows, deleted, blanked = affected(connection, edit)
    if not deleted and not blanked:
        return None
    source = edit.source
    columns = connection.sql(f"FROM {source} LIMIT 0").columns
    chosen = ", ".join(
        f"CASE WHEN NOT coalesce({edit.set_null_where[name]}, false) THEN {identifier(name)} END "
        f"AS {identifier(name)}"
        if name in edit.set_null_where
        else identifier(name)
        for name in columns
        if name != "file_row_number"
    )
    survivors = f"SELECT {chosen} FROM {source} WHERE file_row_number NOT IN (FROM leaving)"
    fresh = fresh_path(layout, edit.path)
    connection.execute(f"COPY ({survivors}) TO {literal(fresh)} ({PARQUET})")
    if fingerprint(connection, f"FROM {literal(fresh)}") != fingerprint(connection, survivors):
        fresh.unlink()
        raise ErasureError("a rewritten file does not have the right rows; nothing was replaced")
    result = EditResult(
        edit.path.relative_to(layout.root).as_posix(),
        rows,
        rows - deleted,
        blanked,
        file_sha256(edit.path),
        file_sha256(fresh),
    )
    return result, fresh


def same_rows(connection: duckdb.DuckDBPyConnection, one: Path, other: Path) -> bool:
    """Do two files hold the same rows, in whatever order?"""
    first, second = (
        fingerprint(connection, f"FROM read_parquet({literal(path)}, hive_partitioning=false)")
        for path in (one, other)
    )
    return first == second


def fresh_path(layout: Layout, path: Path) -> Path:
    """Where the new file is written before it replaces the old one."""
    layout.work.mkdir(parents=True, exist_ok=True, mode=0o700)
    return layout.work / f"fresh-{os.getpid()}-{path.parent.name}-{path.name}"


def swap(fresh: Path, path: Path) -> None:
    """Replace the old file with the new one, on disk, in one rename."""
    fsync(fresh)
    fresh.chmod(0o600)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.replace(fresh, path)
    fsync(path.parent)


def apply_edit(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    edit: FileEdit,
    before_swap: Callable[[EditResult, Path], None] | None = None,
) -> EditResult | None:
    """Rewrite a file and replace the old one; None if nothing in it is affected.

    Args:
        before_swap: called with the result and the new file before the old one is replaced.

    Raises:
        ErasureError: as `rewrite`; nothing was replaced.
    """
    made = rewrite(connection, layout, edit)
    if made is None:
        return None
    result, fresh = made
    if before_swap:
        before_swap(result, fresh)
    swap(fresh, edit.path)
    return result
