"""Backups, and how erased people stay erased through them.

A backup is a copy of what cannot be rebuilt: the canonical store, the publication history, and
the vault's cases, which stay encrypted. It does not contain the key ring, so that destroyed keys
stay destroyed, nor the storage key, which would decrypt the cases, nor derived tables, which the
next run rebuilds.
"""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import duckdb

from pipeline.classified import population, run_snapshot
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.raw import register
from pipeline.retained.journal import fresh_name
from pipeline.storage import store_format
from pipeline.storage.engine import engine
from pipeline.storage.file_edit import FileEdit, apply_edit
from pipeline.storage.files import atomic_build
from pipeline.storage.layout import Layout
from pipeline.subjects import legal_holds, restrictions, tombstones

CASES = (legal_holds.FILE, restrictions.FILE, restrictions.CONSENTS, tombstones.FILE)


def copies(layout: Layout) -> list[Layout]:
    """The backups in the data folder, each as its own layout."""
    return [Layout(path) for path in sorted(layout.backups.glob("*")) if path.is_dir()]


def make(context: Context, now: dt.datetime) -> Path:
    """Copy the store into backups/<stamp>; returns the folder."""
    layout = context.layout
    with layout.locked():
        register.settle(layout)
        target = layout.backups / fresh_name(now)
        with atomic_build(target, layout.work, durable=True) as beside:
            copy = Layout(beside)
            store_format.create(copy.root)
            copy.vault.mkdir(parents=True, mode=0o700)
            if layout.canonical.exists():
                shutil.copytree(layout.canonical, copy.canonical)
            if layout.register.exists():
                shutil.copytree(layout.register, copy.register)
            if layout.publication_history.exists():
                shutil.copytree(layout.publication_history, copy.publication_history)
            for name in CASES:
                if (layout.vault / name).exists():
                    shutil.copy2(layout.vault / name, copy.vault / name)
    return target


def restore(context: Context, source: Path) -> int:
    """Restore a backup's canonical store; erased people are removed before anyone can read it.

    Tombstones of the current vault and of the backup are replayed on the copy, beside the store.
    Quarantined rows as delivered, which a hash cannot search, are cleared if anybody was erased
    since. The next run rebuilds the derived stores; nothing is erased by rule before it.

    Args:
        source: a backup's folder, wherever it was stored.

    Returns:
        Rows that the replay removed.

    Raises:
        PolicyError: there is no backup in the folder, or one of another format.
    """
    layout, old = context.layout, Layout(source, key_file=context.layout.storage_key)
    if not old.canonical.exists():
        raise PolicyError("restore: there is no backup in this folder")
    store_format.require_backup(old.root)
    with layout.locked():
        run_snapshot.outdate(layout)
        population.forget(layout)
        known, then = tombstones.hashes(layout), tombstones.hashes(old)
        with (
            atomic_build(layout.canonical, layout.work, durable=True) as beside,
            engine(layout.work) as connection,
        ):
            shutil.copytree(old.canonical, beside)
            files = [p for p in sorted(beside.glob("*/*/*.parquet")) if ".rejects." not in p.name]
            gone = tombstones.refuse(connection, layout, context.ring, known | then, files)
            if known - then:
                _clear_quarantine(connection, layout, beside, files)
        if old.publication_history.exists() and not layout.publication_history.exists():
            with atomic_build(layout.publication_history, layout.work, durable=True) as fresh:
                shutil.copytree(old.publication_history, fresh)
        register.restored(layout, old)
    return gone


def _clear_quarantine(
    connection: duckdb.DuckDBPyConnection, layout: Layout, folder: Path, files: list[Path]
) -> None:
    """Clear rows as delivered, and remove lines that could not be split."""
    clear = {"raw": "raw IS NOT NULL", "file": "file IS NOT NULL"}
    for path in files:
        if path.name.startswith("records"):
            apply_edit(connection, layout, FileEdit(path, set_null_where=clear))
    for path in folder.glob("*/*/*.rejects.parquet"):
        path.unlink()
