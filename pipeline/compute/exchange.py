"""What the driver of a step and its workers on other machines hand each other.

On a shared file system workers read the store where it lies, and write their part of the result
into its place; only what the driver made for them lies in a folder beside the store. With
MILESTONES_EXCHANGE (`s3://bucket/folder`, or any fsspec URL, of this data folder alone) they need
no file of it: rows and results go through object storage.

Whatever lies in an exchange is encrypted under a key of this one step, which the workers are given
with their pieces and which is kept nowhere. What a bucket keeps of removed objects (old versions,
copies) opens for nobody once the step is over.
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
        work: where DuckDB may spill; None for a folder of the worker's own.
        lent: what workers may read, by name; SQL, or "" for a table in the folder.
    """

    folder: str
    key: bytes = field(repr=False)
    work: Path | None
    lent: dict[str, str] = field(default_factory=dict, repr=False)

    def lend(self, connection: duckdb.DuckDBPyConnection, name: str, rows: str = "") -> None:
        """Let workers read one of the connection's tables or views, or the relation `rows`."""
        query = f"FROM {rows or identifier(name)}"
        encrypted_parquet.write(connection, self.key, query, self._url(name))
        self.lent[name] = ""

    def lend_stored(self, connection: duckdb.DuckDBPyConnection, name: str, rows: str) -> None:
        """Let workers read a relation over the store's own files."""
        if self.work:
            self.lent[name] = rows
        else:
            self.lend(connection, name, rows)

    @contextmanager
    def borrowed(self, *names: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """A worker's connection, which has what was lent under these names as views."""
        with engine(self.work or _scratch()) as connection:
            for name in names:
                rows = self.lent[name] or encrypted_parquet.read(
                    connection, self.key, self._url(name)
                )
                connection.execute(f"CREATE TEMP VIEW {identifier(name)} AS FROM {rows}")
            yield connection

    def give(
        self, connection: duckdb.DuckDBPyConnection, name: str, query: str, out: Path, how: str
    ) -> None:
        """Hand in a worker's part of the result.

        Args:
            name: of this part alone.
            out: where it is to lie in the store.
            how: options of COPY.
        """
        if self.work:
            connection.execute(f"COPY ({query}) TO {literal(out)} ({how})")
        else:
            encrypted_parquet.write(connection, self.key, query, self._url(name))

    def take(self, connection: duckdb.DuckDBPyConnection, name: str, out: Path, how: str) -> None:
        """Have a worker's part, in its order, where it is to lie; arguments as `give`."""
        if self.work:
            return
        rows = encrypted_parquet.read(connection, self.key, self._url(name))
        connection.execute("SET preserve_insertion_order = true")
        connection.execute(f"COPY (FROM {rows}) TO {literal(out)} ({how})")
        connection.execute("SET preserve_insertion_order = false")

    def _url(self, name: str) -> str:
        return f"{self.folder}/{name}.parquet"


def _scratch() -> Path:
    """A worker's own folder, which goes with it."""
    # Only who has a cluster needs the library.
    from distributed import get_worker

    return Path(get_worker().local_directory)


def _require_private() -> None:
    """Raises PolicyError when the key would cross a network in the clear."""
    scheduler = urlsplit(cluster.address() or "")
    if scheduler.scheme != "tls" and scheduler.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise PolicyError(
            f"{SETTING}: the exchange's key goes to the workers through the scheduler; its address "
            f"in {cluster.SETTING} has to be tls://"
        )


@contextmanager
def exchange(layout: Layout, step: str) -> Iterator[Exchange]:
    """The folder of one step, empty at the beginning and gone at the end.

    The caller holds the lock on what the step writes.

    Raises:
        PolicyError: it is not on this machine, and the scheduler's connections are not encrypted.
    """
    base = settings().exchange
    if base:
        _require_private()
    layout.work.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = f"{(base or str(layout.work)).rstrip('/')}/exchange-{step}"
    system, path = fsspec.core.url_to_fs(folder)
    # A killed night can have left it.
    _remove(system, path)
    system.makedirs(path, exist_ok=True)
    try:
        yield Exchange(
            folder, secrets.token_bytes(encrypted_parquet.KEY_BYTES), None if base else layout.work
        )
    finally:
        _remove(system, path)


def _remove(system: fsspec.AbstractFileSystem, path: str) -> None:
    # Another process can have changed the folder since this one last looked at it.
    system.invalidate_cache()
    if system.exists(path):
        system.rm(path, recursive=True)
