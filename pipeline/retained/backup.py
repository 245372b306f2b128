"""Backups, and how nothing that was promised is lost through them.

A backup is a copy of what cannot be rebuilt: the canonical store, the histories of what was
published, the register of deliveries, the cases and staff of the vault, which stay encrypted, the
signed policies and the receipts. It does not contain the key ring, so that destroyed keys stay
destroyed, but the one key by which tombstones recognize people, encrypted like the cases; nor the
storage key, which would decrypt them, nor derived tables, which the next run rebuilds.
"""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.access import courses
from pipeline.classified import population, run_snapshot
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.published import publication_history, row_history
from pipeline.raw import register
from pipeline.retained.journal import fresh_name
from pipeline.storage import cases, encryption, store_format
from pipeline.storage.engine import engine
from pipeline.storage.file_edit import FileEdit, apply_edit
from pipeline.storage.files import atomic_build, fsync_tree
from pipeline.storage.layout import Layout
from pipeline.storage.relations import holds as is_a
from pipeline.storage.relations import subquery
from pipeline.subjects import legal_holds, tombstones

TOMBSTONE_KEY = f"tombstone.key{encryption.TEXT}"
# Folders of small files that are copied, and restored where they are not there.
FOLDERS = ("receipts", "governance")


@dataclass(frozen=True)
class Restored:
    """What a restore did.

    Attributes:
        removed: rows of people who were erased since the backup.
        missing: accepted deliveries that are not in the backup.
    """

    removed: int
    missing: list[dt.date]


def copies(layout: Layout) -> list[Layout]:
    """The backups in the data folder, each as its own layout."""
    paths = sorted(layout.backups.glob("*"))
    return [Layout(path, key_file=layout.storage_key) for path in paths if path.is_dir()]


def make(context: Context, now: dt.datetime) -> Path:
    """Copy the store into backups/<stamp>; returns the folder."""
    layout = context.layout
    with layout.locked():
        register.settle(layout)
        target = layout.backups / fresh_name(now)
        with atomic_build(target, layout.work, durable=True) as beside:
            copy = Layout(beside, key_file=layout.storage_key)
            store_format.create(copy.root)
            copy.vault.mkdir(parents=True, mode=0o700)
            for folder in (
                layout.canonical,
                layout.register,
                layout.publication_history,
                layout.row_history,
            ):
                _copy_tree(layout, copy, folder)
            for name in FOLDERS:
                _copy_tree(layout, copy, layout.root / name)
            for path in cases.registers(layout):
                _copy(path, copy.vault / path.relative_to(layout.vault))
            _copy(layout.root / cases.ANNOUNCED, copy.root / cases.ANNOUNCED)
            if secrets := context.ring.tombstone_keys():
                encryption.write_text(copy, copy.vault / TOMBSTONE_KEY, "\n".join(secrets))
    return target


def _copy(path: Path, to: Path) -> None:
    """Copy a file, if it is there."""
    if path.exists():
        to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copy2(path, to)


def _copy_tree(layout: Layout, copy: Layout, folder: Path) -> None:
    """Copy a folder of the data folder, if it is there."""
    if folder.exists():
        shutil.copytree(folder, copy.root / folder.relative_to(layout.root))


def restore(context: Context, source: Path) -> Restored:
    """Restore a backup's canonical store, and add everything else in it that must not be forgotten
    to what is there; erased people are removed before anyone can read the store.

    Corrections that were made since stay. Of a register, the version that has changed more often
    stays, and holds and tombstones of both.
    Tombstones of both are replayed on the copy, beside the store. Quarantined rows as delivered,
    which a hash cannot search, are cleared if anybody was erased since. The next run rebuilds the
    derived stores; nothing is erased by rule before it.

    Args:
        source: a backup's folder, wherever it was stored.

    Raises:
        PolicyError: there is no backup in the folder, or one of another format; or its cases are
            under another storage key.
    """
    layout, old = context.layout, Layout(source, key_file=context.layout.storage_key)
    if not old.canonical.exists():
        raise PolicyError("restore: there is no backup in this folder")
    store_format.require_backup(old.root)
    with layout.locked():
        known_before, then = tombstones.hashes(layout), tombstones.hashes(old)
        run_snapshot.outdate(layout)
        population.forget(layout)
        with engine(layout.work) as connection:
            # First what keeps people erased and records held: a kill after it loses nothing.
            remember(connection, context, old)
            with atomic_build(layout.canonical, layout.work, durable=True) as beside:
                shutil.copytree(old.canonical, beside)
                _keep_corrections(layout, beside)
                files = [
                    path
                    for path in beside.glob("*/*/*.parquet")
                    if is_a(path, "records") or is_a(path, "roster")
                ]
                pages = context.data_map.identity.company_home_pages
                removed = tombstones.refuse(connection, layout, context.ring, sorted(files), pages)
                if known_before - then:
                    _clear_quarantine(connection, layout, beside, files)
        register.restored(layout, old)
        return Restored(removed, register.lost(layout))


def remember(connection: duckdb.DuckDBPyConnection, context: Context, old: Layout) -> None:
    """Add a backup's histories of what was published, cases, staff, signed policies and receipts to
    what is there."""
    layout, ring = context.layout, context.ring
    secrets = encryption.read_text(old, old.vault / TOMBSTONE_KEY)
    ring.recognize(secrets.splitlines() if secrets else [])
    publication_history.merge(connection, layout, old)
    holds, stones = legal_holds.every(layout), tombstones.entries(layout)
    for path in cases.registers(old):
        _restore_register(layout, old, path)
    legal_holds.add(layout, [*holds, *legal_holds.every(old)])
    tombstones.unite(layout, [*stones, *tombstones.entries(old)])
    courses.unite(layout, old)
    _add_rows(connection, context, old)
    for name in FOLDERS:
        _add_files(old.root / name, layout.root / name)


def _add_rows(connection: duckdb.DuckDBPyConnection, context: Context, old: Layout) -> None:
    """Add the analysts' rows of periods that only the backup has, without who was erased since."""
    layout = context.layout
    added = row_history.merge(layout, old)
    if not added:
        return
    pages = context.data_map.identity.company_home_pages
    history = row_history.stored(connection, context, added)
    people = subquery(f"SELECT person AS learner_id, team AS manager_id FROM {history}")
    erased = tombstones.erased_among(connection, layout, context.ring, people, pages)
    row_history.rewrite(connection, layout, row_history.without(connection, layout, erased))


def _restore_register(layout: Layout, old: Layout, path: Path) -> None:
    """Restore a register of cases if it had changed more often by then; another encrypted text,
    such as the staff, if there is none."""
    here = layout.vault / path.relative_to(old.vault)
    if path.name == TOMBSTONE_KEY:
        return
    number = cases.number(old, path)
    if number > cases.number(layout, here):
        cases.write(layout, here, cases.read(old, path) or "", number)
    elif not number and not here.exists():
        encryption.write_text(layout, here, encryption.read_text(old, path) or "")


def _add_files(source: Path, to: Path) -> None:
    """Copy files that are not there yet; on the disk when this returns."""
    for path in source.rglob("*") if source.exists() else ():
        if path.is_file() and not (to / path.relative_to(source)).exists():
            _copy(path, to / path.relative_to(source))
    if to.exists():
        fsync_tree(to)


def _keep_corrections(layout: Layout, folder: Path) -> None:
    """What was corrected at somebody's request is stored nowhere else, and stays corrected."""
    if layout.rectified.exists():
        to = folder / layout.rectified.relative_to(layout.canonical)
        shutil.copytree(layout.rectified, to, dirs_exist_ok=True)


def _clear_quarantine(
    connection: duckdb.DuckDBPyConnection, layout: Layout, folder: Path, files: list[Path]
) -> None:
    """Clear rows as delivered, and remove lines that could not be split. In the same column a
    correction has what it stands on, which stays."""
    clear = {"raw": "problem IS NOT NULL AND raw IS NOT NULL", "file": "file IS NOT NULL"}
    for path in files:
        if path.name.startswith("records"):
            apply_edit(connection, layout, FileEdit(path, set_null_where=clear))
    for path in folder.glob("*/*/*.rejects.parquet"):
        path.unlink()
