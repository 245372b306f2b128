"""Backups, and how erased people stay erased through them.

A backup is a copy of what cannot be made again: the canonical store, what coaching was told, and
the vault's cases, which stay encrypted. Key ring, storage key and derived tables are not in it: the
first so that destroyed keys stay destroyed, the second since it would open the cases, the others
because a night makes them.
"""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

from pipeline.classified import population, run_snapshot
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.retained.journal import fresh_name
from pipeline.storage import store_format
from pipeline.storage.engine import engine
from pipeline.storage.file_edit import FileEdit, apply_edit
from pipeline.storage.files import atomic_build
from pipeline.storage.layout import Layout
from pipeline.subjects import legal_holds, restrictions, tombstones

CASES = (legal_holds.FILE, restrictions.FILE, restrictions.CONSENTS, tombstones.FILE)


def copies(layout: Layout) -> list[Layout]:
    """The backups in the data folder, each as a layout of its own."""
    return [Layout(path) for path in sorted(layout.backups.glob("*")) if path.is_dir()]


def make(context: Context, now: dt.datetime) -> Path:
    """Copy the store into backups/<stamp>; returns the folder."""
    layout = context.layout
    with layout.locked():
        target = layout.backups / fresh_name(now)
        with atomic_build(target, layout.work) as beside:
            copy = Layout(beside)
            store_format.create(copy.root)
            copy.vault.mkdir(parents=True, mode=0o700)
            if layout.canonical.exists():
                shutil.copytree(layout.canonical, copy.canonical)
            if layout.publication_history.exists():
                shutil.copytree(layout.publication_history, copy.publication_history)
            for name in CASES:
                if (layout.vault / name).exists():
                    shutil.copy2(layout.vault / name, copy.vault / name)
    return target


def restore(context: Context, source: Path) -> int:
    """Bring a backup's canonical store back, erased people taken out before anyone can read it.

    Tombstones of the living vault and of the backup are replayed on the copy, beside the store.
    Quarantined rows as delivered, which a hash cannot search, are emptied if anybody was erased
    since. The derived stores are made by the next night, and nothing is erased by rule before it.

    Args:
        source: a backup's folder, wherever it was kept.

    Returns:
        Rows that the replay took out.

    Raises:
        PolicyError: no backup there, or one of another format.
    """
    layout, old = context.layout, Layout(source, key_file=context.layout.storage_key)
    if not old.canonical.exists():
        raise PolicyError("restore: the folder holds no backup")
    store_format.require_backup(old.root)
    with layout.locked():
        run_snapshot.outdate(layout)
        population.forget(layout)
        known, then = tombstones.hashes(layout), tombstones.hashes(old)
        with (
            atomic_build(layout.canonical, layout.work) as beside,
            engine(layout.work) as connection,
        ):
            shutil.copytree(old.canonical, beside)
            files = [p for p in sorted(beside.glob("*/*/*.parquet")) if ".rejects." not in p.name]
            gone = tombstones.refuse(connection, layout, context.ring, known | then, files)
            if known - then:
                for path in files:
                    if path.name.startswith("records"):
                        apply_edit(connection, layout, FileEdit(
                            path, set_null_where={"raw": "raw IS NOT NULL", "file": "file IS NOT NULL"}
                        ))  # fmt: skip
                for path in beside.glob("*/*/*.rejects.parquet"):
                    path.unlink()
        if old.publication_history.exists() and not layout.publication_history.exists():
            with atomic_build(layout.publication_history, layout.work) as fresh:
                shutil.copytree(old.publication_history, fresh)
    return gone
