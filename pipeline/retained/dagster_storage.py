"""Dagster's own storage: runs, events, schedules and compute logs, in SQLite or PostgreSQL.

Nothing the pipeline emits contains a value; this is the safety net: runs that name a person all the
same are deleted, old runs are removed by their own rule, and the freed bytes are overwritten.
"""

from __future__ import annotations

import datetime as dt
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster import DagsterRunStatus, RunsFilter
from sqlalchemy.pool import NullPool

from pipeline.errors import ErasureError
from pipeline.retained.residue_scan import bytes_with

LONGEST_TRANSACTION = 60.0  # seconds
ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]


@dataclass(frozen=True)
class DagsterStorage:
    """One Dagster instance's storage.

    Attributes:
        instance: provides runs, events and logs, in files or in PostgreSQL.
    """

    instance: dg.DagsterInstance

    @property
    def root(self) -> Path:
        return Path(self.instance.root_directory)

    @property
    def postgres(self) -> str | None:
        """SQLAlchemy URL if the instance is in PostgreSQL."""
        url: str | None = getattr(self.instance.event_log_storage, "postgres_url", None)
        return url

    def prune(self, before: dt.datetime) -> int:
        """Delete ended runs that were made before an aware instant; returns how many."""
        records = self.instance.get_run_records(
            RunsFilter(statuses=ENDED, created_before=before.astimezone(dt.UTC))
        )
        return self._delete([record.dagster_run.run_id for record in records])

    def forget(self, pattern: str) -> int:
        """Delete every run whose record, events or logs match; returns how many."""
        found = [run.run_id for run in self.instance.get_runs() if self._names(run, pattern)]
        return self._delete(found)

    def hits(self, pattern: str) -> int:
        """Matches anywhere in the storage: bytes of its files, rows of its tables."""
        compiled = re.compile(pattern.encode())
        found = sum(bytes_with(path, compiled) for path in self.root.rglob("*") if path.is_file())
        if self.postgres:
            with self._postgres() as connection:
                for table in _tables(connection):
                    found += connection.execute(
                        sa.text(f"SELECT count(*) FROM {table} t WHERE t::text ~ :pattern"),
                        {"pattern": pattern},
                    ).scalar_one()
        return found

    def _names(self, run: dg.DagsterRun, pattern: str) -> bool:
        compiled = re.compile(pattern.encode())
        logs = self.root / "storage" / run.run_id
        return bool(
            re.search(pattern, dg.serialize_value(run))
            or any(
                re.search(pattern, dg.serialize_value(event))
                for event in self.instance.all_logs(run.run_id)
            )
            or any(bytes_with(path, compiled) for path in logs.rglob("*") if path.is_file())
        )

    def _delete(self, run_ids: list[str]) -> int:
        # Whoever comes after a kill, or after a transaction in the way, finishes it.
        unfinished = self.root / "rewrite-databases"
        if run_ids:
            unfinished.touch()
        for run_id in run_ids:
            self.instance.delete_run(run_id)
            shutil.rmtree(self.root / "storage" / run_id, ignore_errors=True)
            (self.root / "history" / "runs" / f"{run_id}.db").unlink(missing_ok=True)
        if unfinished.exists():
            self._compact()
            unfinished.unlink()
        return len(run_ids)

    def _compact(self) -> None:
        """Rewrite the databases, so that deleted rows are in no free page and no journal."""
        for path in self.root.rglob("*.db"):
            with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
                connection.execute("PRAGMA secure_delete = ON")
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if self.postgres:
            with self._postgres() as connection:
                _wait_for_older_transactions(connection)
                for table in _tables(connection):
                    connection.execute(sa.text(f"VACUUM FULL {table}"))

    @contextmanager
    def _postgres(self) -> Iterator[sa.Connection]:
        assert self.postgres is not None
        engine = sa.create_engine(self.postgres, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            yield connection


def _transactions(connection: sa.Connection) -> set[tuple[object, ...]]:
    """Other sessions' transactions that see the database as it was: process and start."""
    query = (
        "SELECT pid, xact_start FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL"
    )
    return {tuple(row) for row in connection.execute(sa.text(query))}


def _wait_for_older_transactions(connection: sa.Connection) -> None:
    """PostgreSQL keeps deleted rows in its files as long as a transaction, such as one of its own
    autovacuum, could still see them.

    Raises:
        ErasureError: one has been under way for too long.
    """
    older, until = _transactions(connection), time.monotonic() + LONGEST_TRANSACTION
    while older & _transactions(connection):
        if time.monotonic() > until:
            raise ErasureError(
                "a transaction in Dagster's database could still see what was deleted, so its "
                "files keep it; end that transaction, and the erasure goes on with the next run"
            )
        time.sleep(0.1)


def _tables(connection: sa.Connection) -> list[str]:
    """Quoted names of all tables in the connection's own schemas."""
    quote = connection.dialect.identifier_preparer.quote
    return [quote(name) for name in sa.inspect(connection).get_table_names()]
