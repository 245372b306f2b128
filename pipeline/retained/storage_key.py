"""Changing the storage key: because the old one was exposed, or has reached its maximum age
(NIST SP 800-57 part 1, 5.3).

Each file opens under only one of the two keys. So a change that was interrupted can be run again
and continues; until it is complete neither key opens everything, and runs, reading and erasures
stop.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import duckdb

from pipeline.errors import EngineError, PolicyError
from pipeline.published import gate
from pipeline.retained.data_inventory import entry_name, files
from pipeline.retained.journal import pending
from pipeline.retained.rebuild import empty_work
from pipeline.storage import encryption
from pipeline.storage.encryption import StorageKey
from pipeline.storage.engine import engine, fingerprint
from pipeline.storage.file_edit import fresh_path, swap
from pipeline.storage.files import fsync, replace_bytes
from pipeline.storage.layout import Layout


def change(layout: Layout, new: StorageKey) -> int:
    """Encrypt everything in the data folder that is encrypted under another key, which is stored in
    the data folder from then on, unless keys come from elsewhere.

    Tables are compared row by row before they are swapped in; the release passes through the gate,
    with the hashes of its new files. The next run rebuilds the months of the HR/legal detail, since
    their keyed hashes are under the old key.

    Returns:
        How many files this run has changed.

    Raises:
        PolicyError: it is the key in use, an erasure is under way, a released file is not the one
            that was released, or some files open under neither key; no file was changed. Or
            something was written under the old key in the meantime: run it again.
    """
    with layout.locked():
        old = encryption.key(layout)
        if old == new:
            raise PolicyError("storage key: this key is already in use")
        if pending(layout):
            raise PolicyError("storage key: an erasure is under way; finish it first")
        empty_work(layout)
        if layout.current.exists():
            gate.remove_old(layout)
        with engine(layout.work) as connection:
            waiting = _under(connection, layout, old, new)
            released = [path for path in waiting if path.is_relative_to(layout.releases)]
            if released:
                current = layout.current.resolve()
                fresh = {
                    path.relative_to(current).as_posix(): _table(connection, layout, path, old, new)
                    for path in released
                }
                gate.replace(layout, fresh)
            for path in waiting:
                if path.suffix == encryption.TEXT:
                    text = old.unseal(path.name, path.read_bytes())
                    replace_bytes(path, new.seal(path.name, text))
                elif path not in released:
                    swap(_table(connection, layout, path, old, new), path)
            if _under(connection, layout, old, new):
                raise PolicyError(
                    "storage key: something was written in the meantime; run the command again"
                )
        if not encryption.given_elsewhere():
            encryption.keep(layout, new)
    return len(waiting)


def _under(
    connection: duckdb.DuckDBPyConnection, layout: Layout, old: StorageKey, new: StorageKey
) -> list[Path]:
    """The files that are under the old key.

    Raises:
        PolicyError: some files are under neither.
    """
    found, lost = [], Counter[str]()
    for relative, path in files(layout):
        if path.suffix == encryption.TEXT or (
            path.suffix == ".parquet" and encryption.is_encrypted(path)
        ):
            if _opens(connection, old, path):
                found.append(path)
            elif not _opens(connection, new, path):
                lost[entry_name(relative)] += 1
    if lost:
        listed = ", ".join(f"{name} {n}" for name, n in sorted(lost.items()))
        raise PolicyError(f"storage key: some files open under neither key: {listed}")
    return found


def _opens(connection: duckdb.DuckDBPyConnection, key: StorageKey, path: Path) -> bool:
    try:
        if path.suffix == encryption.TEXT:
            key.unseal(path.name, path.read_bytes())
        else:
            key.rows(connection, path)
    except (PolicyError, EngineError):
        return False
    return True


def _table(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    path: Path,
    old: StorageKey,
    new: StorageKey,
) -> Path:
    """Write the same table under the new key to a fresh file.

    Raises:
        PolicyError: its rows differ.
    """
    fresh, rows = fresh_path(layout, path), f"FROM {old.rows(connection, path)}"
    connection.execute("SET preserve_insertion_order = true")
    new.write_table(connection, rows, fresh)
    if fingerprint(connection, f"FROM {new.rows(connection, fresh)}") != fingerprint(
        connection, rows
    ):
        fresh.unlink()
        raise PolicyError("storage key: a table differs under the new key; it was not swapped in")
    fsync(fresh)
    return fresh
