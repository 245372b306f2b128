"""Data that the driver of a step and its workers on other machines exchange.

On a shared file system workers read the store in place and write their part of the result to its
final path; only tables that the driver made for them are in a folder beside the store. With
MILESTONES_EXCHANGE (`s3://bucket/folder`, or any fsspec URL, of this data folder alone) they need
no file of the data folder: rows and results go through object storage.

Everything in an exchange is encrypted under a key of this one step, which the workers receive with
their pieces and which is stored nowhere. What a bucket keeps of removed objects (old versions,
copies) cannot be read by anybody once the step is over.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import fsspec

from pipeline.compute import cluster
from pipeline.errors import PolicyError
from pipeline.settings import settings, variable
from pipeline.storage import encrypted_parquet
from pipeline.storage.engine import engine
from pipeline.storage.layout import Layout
from pipeline.storage.sql import identifier, literal

SETTING = variable("exchange")


@dataclass(frozen=True)
class Exchange:
    """One step's folder.

    Attributes:
        folder: its URL.
        key: what everything in it is encrypted under, 256 bits.
        work: where DuckDB may spill; None for a folder of the worker's own.
        relations: what workers may read, by name; SQL, or "" for a table in the folder.
    """

    folder: str
    key: bytes = field(repr=False)
    work: Path | None
    relations: dict[str, str] = field(default_factory=dict, repr=False)

    def put(self, connection: duckdb.DuckDBPyConnection, name: str, rows: str = "") -> None:
        """Make a table or view of the connection, or the relation `rows`, available to workers."""
        query = f"FROM {rows or identifier(name)}"
        encrypted_parquet.write(connection, self.key, query, self._url(name))
        self.relations[name] = ""

    def put_stored(self, connection: duckdb.DuckDBPyConnection, name: str, rows: str) -> None:
        """Make a relation over the store's own files available to workers."""
        if self.work:
            self.relations[name] = rows
        else:
            self.put(connection, name, rows)

    @contextmanager
    def open(self, *names: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """A worker's connection, with the relations of these names as views."""
        with engine(self.work or _scratch()) as connection:
            for name in names:
                rows = self.relations[name] or encrypted_parquet.read(
                    connection, self.key, self._url(name)
                )
                connection.execute(f"CREATE TEMP VIEW {identifier(name)} AS FROM {rows}")
            yield connection

    def upload(
        self, connection: duckdb.DuckDBPyConnection, name: str, query: str, out: Path, how: str
    ) -> None:
        """Deliver a worker's part of the result.

        Args:
            name: unique to this part.
            out: its path in the store.
            how: options of COPY.
        """
        if self.work:
            connection.execute(f"COPY ({query}) TO {literal(out)} ({how})")
        else:
            encrypted_parquet.write(connection, self.key, query, self._url(name))

    def download(
        self, connection: duckdb.DuckDBPyConnection, name: str, out: Path, how: str
    ) -> None:
        """Put a worker's part, in its order, at its path in the store; arguments as `upload`."""
        if self.work:
            return
        rows = encrypted_parquet.read(connection, self.key, self._url(name))
        connection.execute("SET preserve_insertion_order = true")
        connection.execute(f"COPY (FROM {rows}) TO {literal(out)} ({how})")
        connection.execute("SET preserve_insertion_order = false")

    def _url(self, name: str) -> str:
        return f"{self.folder}/{name}.parquet"


def _scratch() -> Path:
    """A worker's own folder, which is removed with it."""
    # Only installations with a cluster need the library.
    from distributed import get_worker

    return Path(get_worker().local_directory)


def _require_private() -> None:
    """Stop if the key would cross a network unencrypted.

    Raises:
        PolicyError: naming the setting to change.
    """
    scheduler = urlsplit(cluster.address() or "")
    if scheduler.scheme != "tls" and scheduler.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise PolicyError(
            f"{SETTING}: the scheduler passes the exchange's key to the workers; its address in "
            f"{cluster.SETTING} must start with tls://"
        )


@contextmanager
def exchange(layout: Layout, step: str) -> Iterator[Exchange]:
    """The folder of one step, empty at the beginning and removed at the end.

    The caller holds the lock on what the step writes.

    Raises:
        PolicyError: the scheduler is on another machine and its connections are not encrypted.
    """
    base = settings().exchange
    if base:
        _require_private()
    layout.work.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = f"{(base or str(layout.work)).rstrip('/')}/exchange-{step}"
    system, path = fsspec.core.url_to_fs(folder)
    # A killed run can have left it behind.
    _remove(system, path)
    system.makedirs(path, exist_ok=True)
    try:
        yield Exchange(
            folder, secrets.token_bytes(encrypted_parquet.KEY_BYTES), None if base else layout.work
        )
    finally:
        _remove(system, path)


def _remove(system: fsspec.AbstractFileSystem, path: str) -> None:
    # Another process can have changed the folder since this one last listed it.
    system.invalidate_cache()
    if system.exists(path):
        system.rm(path, recursive=True)
