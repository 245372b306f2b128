"""Physical erasure of rows: survivors to a fresh file, proven, swapped in, the old one gone.

Parquet pages and statistics are written anew, so that nothing of an erased row is left in the
file. A reader has the old file or the new one; a killed process leaves the old one.
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
    """What is to happen to one file.

    Attributes:
        gone: SQL, the row leaves.
        blank: column to SQL, the column is emptied in a row that stays.
    """

    path: Path
    delete_where: str = "false"
    set_null_where: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """SQL: the file's rows with their numbers."""
        return f"read_parquet({literal(self.path)}, file_row_number=true, hive_partitioning=false)"


@dataclass(frozen=True)
class EditResult:
    """One file's proof: rows and SHA-256 before and after; `file` is relative to the folder."""

    file: str
    before: int
    after: int
    blanked: int
    sha256_before: str
    sha256_after: str

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def affected(connection: duckdb.DuckDBPyConnection, edit: FileEdit) -> tuple[int, int, int]:
    """Rows of the file, rows that go, rows that stay with a column emptied.

    Leaves the numbers of the rows that go in the temporary table `leaving`, so that the tests,
    which can be costly, run once.
    """
    source = edit.source
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE leaving AS SELECT file_row_number AS row FROM {source} "
        f"WHERE {edit.delete_where}"
    )
    blank = " OR ".join(f"({test})" for test in edit.set_null_where.values()) or "false"
    rows = count(connection, f"SELECT count(*) FROM {source}")
    gone = count(connection, "SELECT count(*) FROM leaving")
    blanked = count(
        connection,
        f"SELECT count(*) FROM {source} WHERE ({blank}) AND file_row_number NOT IN (FROM leaving)",
    ) if edit.set_null_where else 0  # fmt: skip
    return rows, gone, blanked


def rewrite(
    connection: duckdb.DuckDBPyConnection, layout: Layout, edit: FileEdit
) -> tuple[EditResult, Path] | None:
    """Build the file anew beside itself; None when nothing in it is due.

    The fresh file is read back: it must hold the survivors, all of them and nothing else.

    Raises:
        ErasureError: the fresh file is not the survivors.
    """
    rows, gone, blanked = affected(connection, edit)
    if not gone and not blanked:
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
        raise ErasureError("a rewritten file does not hold the survivors; nothing was swapped")
    told = EditResult(
        edit.path.relative_to(layout.root).as_posix(), rows, rows - gone, blanked,
        file_sha256(edit.path), file_sha256(fresh),
    )  # fmt: skip
    return told, fresh


def same_rows(connection: duckdb.DuckDBPyConnection, one: Path, other: Path) -> bool:
    """Do two files hold the same rows, in whatever order?"""
    first, second = (
        fingerprint(connection, f"FROM read_parquet({literal(path)}, hive_partitioning=false)")
        for path in (one, other)
    )
    return first == second


def fresh_path(layout: Layout, path: Path) -> Path:
    """Where a file is built before it is swapped in."""
    layout.work.mkdir(parents=True, exist_ok=True, mode=0o700)
    return layout.work / f"fresh-{os.getpid()}-{path.parent.name}-{path.name}"


def swap(fresh: Path, path: Path) -> None:
    """Turn the old file into the new one, on disk, in one rename."""
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
    """Rewrite a file and swap it in; None when nothing in it is due.

    Args:
        before_swap: is told what the swap does, and has the fresh file, before it does it.

    Raises:
        ErasureError: as `rewrite`; nothing was swapped.
    """
    made = rewrite(connection, layout, edit)
    if made is None:
        return None
    done, fresh = made
    if before_swap:
        before_swap(done, fresh)
    swap(fresh, edit.path)
    return done
