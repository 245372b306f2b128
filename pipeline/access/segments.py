"""Where the access log's lines are kept: files in the vault, or a table in PostgreSQL.

Both keep lines and nothing else; the log defines what a line is, so that a log verifies in the same
way wherever it lies.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import psycopg2

from pipeline.storage.files import fsync

TAIL = 1 << 13  # bytes that are read to find a file's last line; a longer line needs the whole


class Segments(Protocol):
    """One segment a day, of whole lines with their ends."""

    def alone(self) -> AbstractContextManager[None]:
        """Writers in any number of processes take turns; a killed one's turn ends by itself."""

    def days(self) -> list[str]:
        """Days that have a segment, oldest first."""

    def content(self, day: str) -> bytes:
        """The whole segment."""

    def last(self, day: str) -> bytes | None:
        """Its last complete line, without the line end; None if there is none."""

    def append(self, day: str, lines: bytes) -> None:
        """Add complete lines; they are on the disk when this returns."""

    def remove(self, day: str) -> None:
        """Remove the segment."""


def last_line(path: Path) -> bytes | None:
    """The last complete line of a file; None if there is none."""
    if not path.exists():
        return None
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - TAIL))
        tail = stream.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        if whole.count(b"\n") < 2 and size > TAIL:
            stream.seek(0)
            tail = stream.read()
            whole = tail[: tail.rfind(b"\n") + 1]
    return whole.splitlines()[-1] if whole else None


def append_lines(path: Path, lines: bytes) -> None:
    """Add lines to a file, after removing an incomplete line that a crash left at its end; it was
    never acknowledged."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        if size and os.pread(handle, 1, size - 1) != b"\n":
            size = path.read_bytes().rfind(b"\n") + 1
            os.ftruncate(handle, size)
        os.pwrite(handle, lines, size)
        os.fdatasync(handle)
    finally:
        os.close(handle)
    if not size:
        fsync(path.parent)


class Files:
    """`<folder>/<day>.log`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, day: str) -> Path:
        return self.folder / f"{day}.log"

    @contextmanager
    def alone(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def days(self) -> list[str]:
        if not self.folder.exists():
            return []
        return sorted(n.removesuffix(".log") for n in os.listdir(self.folder) if n.endswith(".log"))

    def content(self, day: str) -> bytes:
        return self.path(day).read_bytes()

    def last(self, day: str) -> bytes | None:
        return last_line(self.path(day))

    def append(self, day: str, lines: bytes) -> None:
        append_lines(self.path(day), lines)

    def remove(self, day: str) -> None:
        self.path(day).unlink()
        fsync(self.folder)


class Postgres:
    """The table `access_log`: day, number, line; one log for many machines.

    The database role that writes needs INSERT and SELECT; expiring segments needs DELETE.
    """

    TABLE = """
    CREATE TABLE IF NOT EXISTS access_log (
      day text NOT NULL, number bigserial PRIMARY KEY, line bytea NOT NULL);
    CREATE INDEX IF NOT EXISTS access_log_day ON access_log (day, number)"""
    LOCK = 0x6D696C65  # number of the advisory lock; one log per database

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg2.extensions.connection | None = None

    def __reduce__(self) -> tuple[type[Postgres], tuple[str]]:
        # Another process gets the address and opens a connection of its own.
        return Postgres, (self._url,)

    def _execute(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Run one statement; it is committed when this returns. A lost connection is an error, so
        that nothing is read without being logged; the next call connects again."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(self._url)
            self._connection.autocommit = True
            with self._connection.cursor() as cursor:
                cursor.execute("SET synchronous_commit = on")
                cursor.execute("SELECT to_regclass('access_log') IS NULL")
                if cursor.fetchall()[0][0]:
                    # Two processes that find no table would both create it.
                    cursor.execute("SELECT pg_advisory_lock(%s)", (self.LOCK,))
                    cursor.execute(self.TABLE)
                    cursor.execute("SELECT pg_advisory_unlock(%s)", (self.LOCK,))
        with self._connection.cursor() as cursor:
            cursor.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def alone(self) -> Iterator[None]:
        # A session lock: the server releases it when the writer dies.
        self._execute("SELECT pg_advisory_lock(%s)", self.LOCK)
        try:
            yield
        finally:
            self._execute("SELECT pg_advisory_unlock(%s)", self.LOCK)

    def days(self) -> list[str]:
        return [
            str(day) for (day,) in self._execute("SELECT DISTINCT day FROM access_log ORDER BY 1")
        ]

    def content(self, day: str) -> bytes:
        rows = self._execute("SELECT line FROM access_log WHERE day = %s ORDER BY number", day)
        return b"".join(bytes(line) + b"\n" for (line,) in rows)  # type: ignore[call-overload]

    def last(self, day: str) -> bytes | None:
        rows = self._execute(
            "SELECT line FROM access_log WHERE day = %s ORDER BY number DESC LIMIT 1", day
        )
        return bytes(rows[0][0]) if rows else None  # type: ignore[call-overload]

    def append(self, day: str, lines: bytes) -> None:
        whole = [line for line in lines.split(b"\n") if line]
        self._execute(
            "INSERT INTO access_log (day, line) SELECT %s, unnest(%s)",
            day,
            [psycopg2.Binary(line) for line in whole],
        )

    def remove(self, day: str) -> None:
        self._execute("DELETE FROM access_log WHERE day = %s", day)
