"""The release gate: staged tables become the published release, all together or not at all.

A table passes only with a valid seal: the SHA-256 of its database, written by the blocking checks
after they passed. So a file that was changed after its checks cannot be published, and neither can
a release that was started by hand without them.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import uuid
from pathlib import Path

from pipeline.access import courses, go_live
from pipeline.access.log import AccessLog
from pipeline.classified import run_snapshot
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.policy.data_map import DataMap
from pipeline.policy.fields import Audience
from pipeline.published import documents, exports, publication_history, row_history
from pipeline.storage import cases
from pipeline.storage.files import atomic_build, atomic_symlink, fsync, fsync_tree
from pipeline.storage.hashing import file_sha256, files_sha256
from pipeline.storage.layout import Layout
from pipeline.storage.manifest import MANIFEST as MANIFEST
from pipeline.storage.manifest import manifest as manifest
from pipeline.storage.manifest import release_date as release_date
from pipeline.storage.relations import period_files

CHANGED = "release gate: {name} is not the file that was released; run the pipeline again"
TABLES = ("*.duckdb*", "*.parquet*")  # what could hold rows in a staged folder


def files(folder: Path, name: str) -> list[Path]:
    """The files of one published database in a folder: itself, or those in a folder of its name."""
    path = folder / name
    return sorted(path.iterdir()) if path.is_dir() else [path]


def _seal(folder: Path, table: str) -> Path:
    return folder / f"{table}.seal"


def seal(layout: Layout, data_map: DataMap, partition: str, table: str) -> None:
    """Record that the checks of one table passed on this very file."""
    folder = layout.staged(partition)
    digest = files_sha256(files(folder, data_map.published[table].file))
    _seal(folder, table).write_text(digest, "utf-8")


def break_seal(layout: Layout, partition: str, table: str) -> None:
    """Forget a passed check, before the table is built again."""
    _seal(layout.staged(partition), table).unlink(missing_ok=True)


def require_seals(layout: Layout, data_map: DataMap, partition: str) -> None:
    """Deny the release unless every table of the data map is staged, checked and unchanged.

    Raises:
        PolicyError: naming the tables, or the files that are not on the map; or nothing is staged.
    """
    folder = layout.staged(partition)
    if not folder.exists():
        raise PolicyError(
            "release gate: nothing is staged. Since the run began, a request, a decision about "
            "courses, a withdrawn delivery or an erasure has changed what may be published; run it "
            "again"
        )
    expected = {spec.file for spec in data_map.published.values()}
    found = {path.name for kind in TABLES for path in folder.glob(kind)}
    if found != expected:
        odd = ", ".join(sorted(found ^ expected))
        raise PolicyError(f"release gate: staged files and data map differ in {odd}")
    digests = {name: files_sha256(files(folder, name)) for name in expected}
    unsealed = [
        table
        for table, spec in data_map.published.items()
        if not _seal(folder, table).exists()
        or _seal(folder, table).read_text("utf-8") != digests[spec.file]
    ]
    if unsealed:
        raise PolicyError(
            f"release gate: not checked, or changed after the check: {', '.join(unsealed)}"
        )


def discard_staged(layout: Layout) -> None:
    """Remove what runs have staged, because it shows what must not be published any more; their
    release is refused then. The caller holds the lock."""
    for staged in (layout.staged("*"), layout.staged_rows("*")):
        for folder in layout.work.glob(staged.name):
            shutil.rmtree(folder)


def release(
    context: Context, partition: str, run_id: str, rows: dict[str, int], erasure: str | None = None
) -> Path:
    """Publish the staged tables: move them beside the old release, then switch one link. A run for
    an older date publishes under the date of the newest one.

    A reader sees the old release or the new one. The old one is removed after the switch; whoever
    has it open can go on reading it.

    Returns:
        The release's folder.

    Raises:
        PolicyError: as `require_seals`; the published release stays as it was.
    """
    layout, data_map = context.layout, context.data_map
    require_seals(layout, data_map, partition)
    staged = layout.staged(partition)
    date = release_date(layout, partition)
    if go_live.is_live(layout, context.access):
        exports.write(context, staged, date)
    else:
        exports.remove(staged)
    documents.write(context, staged / documents.FOLDER, dt.datetime.now(dt.UTC).date())
    for table in data_map.published:
        break_seal(layout, partition, table)
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    contents = {
        "partition": date,
        "run_id": run_id,
        "released_at": now,
        "ran_at": manifest(layout)["ran_at"] if erasure else now,
        "erasure": erasure,
        "history": publication_history.statement(layout),
        "row_history": row_history.statement(layout),
        "cases": cases.lasting(cases.numbers(layout)),
        "courses": courses.number(layout),
        "log": AccessLog(layout).head(),
        "policy": context.version,
        "deliveries": run_snapshot.read(layout).deliveries,
        "rows": rows,
        "made_from": {audience.value: made_from(layout, audience) for audience in Audience},
        "sha256": {
            path.relative_to(staged).as_posix(): file_sha256(path)
            for name in sorted({spec.file for spec in data_map.published.values()})
            for path in files(staged, name)
        },
    }
    (staged / MANIFEST).write_text(json.dumps(contents, indent=1), "utf-8")
    layout.releases.mkdir(parents=True, exist_ok=True)
    target = layout.releases / f"{date}-{run_id[:8]}"
    if target.exists():
        # The same run again, after it was killed here: the folder that readers have stays.
        target = layout.releases / f"{date}-{uuid.uuid4().hex[:8]}"
    fsync_tree(staged)
    staged.rename(target)
    _switch_to(layout, target)
    # A pilot's files show rows of the release before this one.
    shutil.rmtree(layout.pilot, ignore_errors=True)
    return target


def _switch_to(layout: Layout, target: Path) -> None:
    """Make this the current release, and remove the one before it."""
    atomic_symlink(layout.current, target)
    fsync(layout.releases)
    remove_old(layout)


def remove_old(layout: Layout) -> None:
    """Remove every release but the current one; whoever has one open can go on reading it."""
    current = layout.current.resolve()
    for old in layout.releases.iterdir():
        if old.name != layout.current.name and old != current:
            if old.is_dir() and not old.is_symlink():
                shutil.rmtree(old)
            else:
                old.unlink()


def made_from(layout: Layout, audience: Audience) -> str:
    """One hash over an audience's pseudonymized files."""
    return files_sha256(period_files(layout.pseudonymized_for(audience)))


def unchanged(layout: Layout, name: str) -> bool:
    """Is a file of the current release, or a folder of files, what was released?

    Raises:
        PolicyError: nothing is published yet.
    """
    hashes = manifest(layout)["sha256"]
    assert isinstance(hashes, dict)
    released = {one: sha for one, sha in hashes.items() if f"{one}/".startswith(f"{name}/")}
    found = {
        path.relative_to(layout.current).as_posix(): file_sha256(path)
        for path in files(layout.current, name)
        if path.exists()
    }
    return bool(released) and found == released


def carry_over(layout: Layout, data_map: DataMap, partition: str) -> None:
    """Take databases that are not staged again, and their seals, over from the current release.

    Their checks passed on these very bytes, as the manifest's hashes prove.

    Raises:
        PolicyError: a published file is not the one that was released.
    """
    folder = layout.staged(partition)
    for database in sorted({spec.file for spec in data_map.published.values()}):
        if (folder / database).exists():
            continue
        if not unchanged(layout, database):
            raise PolicyError(CHANGED.format(name=database))
        for path in files(layout.current, database):
            # A hard link: the old release is removed and never written to.
            to = folder / path.relative_to(layout.current)
            to.parent.mkdir(exist_ok=True, mode=0o700)
            os.link(path, to)
        for table, spec in data_map.published.items():
            if spec.file == database:
                seal(layout, data_map, partition, table)


def replace(layout: Layout, fresh: dict[str, Path]) -> None:
    """Publish the current release again with other bytes for the same rows, such as after a change
    of the storage key.

    Args:
        fresh: files to move in, by their names in the manifest.

    Raises:
        PolicyError: nothing is published, or one of the files is not the one that was released.
    """
    contents = manifest(layout)
    hashes = contents["sha256"]
    assert isinstance(hashes, dict)
    for name, path in fresh.items():
        if not unchanged(layout, name):
            raise PolicyError(CHANGED.format(name=name))
        hashes[name] = file_sha256(path)
    target = layout.releases / f"{contents['partition']}-{uuid.uuid4().hex[:8]}"
    with atomic_build(target, layout.work, durable=True) as beside:
        # Hard links; only the files that change get new bytes.
        shutil.copytree(layout.current.resolve(), beside, copy_function=os.link)
        for name, path in fresh.items():
            os.replace(path, beside / name)
        (beside / MANIFEST).unlink()
        (beside / MANIFEST).write_text(json.dumps(contents, indent=1), "utf-8")
    _switch_to(layout, target)
