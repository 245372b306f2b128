"""Dagster's own storage: runs, events, schedules and compute logs, in SQLite or PostgreSQL.

Nothing the pipeline emits contains a value; this is the safety net: runs that name a person all the
same are deleted, old runs are removed by their own rule, and the freed bytes are overwritten.
"""

from __future__ import annotations

import datetime as dt
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster import DagsterRunStatus, RunsFilter
from sqlalchemy.pool import NullPool

from pipeline.retained.residue_scan import bytes_with

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
        for run_id in run_ids:
            self.instance.delete_run(run_id)
            shutil.rmtree(self.root / "storage" / run_id, ignore_errors=True)
            (self.root / "history" / "runs" / f"{run_id}.db").unlink(missing_ok=True)
        if run_ids:
            self._compact()
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
                for table in _tables(connection):
                    connection.execute(sa.text(f"VACUUM FULL {table}"))

    @contextmanager
    def _postgres(self) -> Iterator[sa.Connection]:
        assert self.postgres is not None
        engine = sa.create_engine(self.postgres, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            yield connection


def _tables(connection: sa.Connection) -> list[str]:
    """Quoted names of all tables in the connection's own schemas."""
    quote = connection.dialect.identifier_preparer.quote
    return [quote(name) for name in sa.inspect(connection).get_table_names()]
