"""The only way into the store: the data map admits a delivery as a whole, or not at all."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import BadInput, PolicyError, Unfinished
from pipeline.keys.ring import KeyRing
from pipeline.policy.data_map import DataMap, printable
from pipeline.raw.readers.base import DeliveryContext, MalformedFile
from pipeline.raw.readers.registry import READERS
from pipeline.storage import store_format
from pipeline.storage.engine import engine
from pipeline.storage.files import atomic_build
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from pipeline.subjects import tombstones

NO_REGION = "ALL"
DATED = re.compile(r"\d{4}-\d{2}-\d{2}")
CHUNK = 1 << 24  # bytes
OVERLAP = 1 << 10  # bytes; longer than anything that is searched for


def hits_in(stream: BinaryIO, pattern: re.Pattern[bytes]) -> int:
    """Matches in a stream of bytes; one at the border of two chunks may count twice."""
    hits, tail = 0, b""
    while chunk := stream.read(CHUNK):
        hits += len(pattern.findall(tail + chunk))
        tail = chunk[-OVERLAP:]
    return hits


@dataclass(frozen=True)
class DeliveredFile:
    """One admitted file.

    Attributes:
        path: where it can be read.
        size: bytes.
        seen: inode, size and time of change when it was admitted.
    """

    path: Path
    source: str
    region: str | None
    size: int
    sha256: str
    seen: tuple[int, int, int]


def described(files: list[DeliveredFile]) -> list[dict[str, object]]:
    """What may be recorded of admitted files; a file name could be personal and is left out."""
    return [{"source": f.source, "bytes": f.size, "sha256": f.sha256} for f in files]


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _place(relative: str, data_map: DataMap) -> tuple[str | None, str]:
    """Region folder and file name of a path inside a delivery.

    Raises:
        PolicyError: the folder is not a region of the data map.
    """
    parts = PurePosixPath(relative).parts
    if len(parts) == 1:
        return None, parts[0]
    if len(parts) == 2 and parts[0] in data_map.regions:
        return parts[0], parts[1]
    raise PolicyError(
        f"{printable(parts[-1])}: its folder is no region of the data map. Nothing was written. "
        f"Regions are {', '.join(data_map.regions)}."
    )


def _folder(layout: Layout, delivery: str) -> tuple[fsspec.AbstractFileSystem, str]:
    system, base = fsspec.core.url_to_fs(f"{layout.landing}/{delivery}")
    return system, base


def is_delivered(layout: Layout, delivery: dt.date) -> bool:
    """Is the delivery still in the landing folder?"""
    system, base = _folder(layout, str(delivery))
    return bool(system.isdir(base))


def _record(folder: Path) -> Path:
    """The file that records what a delivery's folder in the store was read from."""
    return folder / "delivery.json"


def is_ingested(layout: Layout, delivery: dt.date) -> bool:
    """Does the store hold the delivery?"""
    return _record(layout.canonical / str(delivery)).exists()


def deliveries(layout: Layout) -> list[dt.date]:
    """Dates of all deliveries in the landing folder."""
    system, base = _folder(layout, "")
    if not system.isdir(base):
        return []
    names = {PurePosixPath(str(path)).name for path in system.ls(base, detail=False)}
    return sorted(dt.date.fromisoformat(n) for n in names if DATED.fullmatch(n))


def deliveries_naming(layout: Layout, pattern: str) -> list[dt.date]:
    """Deliveries with a file that matches a pattern, as bytes or, for Parquet, in a text column."""
    found = []
    compiled = re.compile(pattern.encode())
    for delivery in deliveries(layout):
        system, base = _folder(layout, str(delivery))
        for path in system.find(base):
            with fsspec.open(system.unstrip_protocol(path), "rb") as stream:
                if str(path).endswith(".parquet"):
                    table = pq.read_table(stream)
                    hit = any(
                        pc.any(pc.match_substring_regex(column.cast(pa.string()), pattern)).as_py()
                        for column in table.columns
                        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
                    )
                else:
                    hit = bool(hits_in(stream, compiled))
            if hit:
                found.append(delivery)
                break
    return found


def remove(layout: Layout, delivery: dt.date) -> None:
    """Remove a delivery from the landing folder, wherever that is."""
    system, base = _folder(layout, str(delivery))
    if system.isdir(base):
        system.rm(base, recursive=True)


@contextmanager
def admitted(layout: Layout, data_map: DataMap, delivery: dt.date) -> Iterator[list[DeliveredFile]]:
    """The files of one delivery, every one claimed by a source and every column listed.

    A remote delivery is copied beside the store during the block. When the block succeeds, a local
    file that changed meanwhile is an error, so that a half-replaced delivery is never accepted.

    Raises:
        PolicyError: there is no delivery, no source claims a file, a column is not listed, or a
            file changed.
        MalformedFile: the header of a file cannot be read.
    """
    system, base = _folder(layout, str(delivery))
    if not system.isdir(base):
        raise BadInput(
            f"there is no delivery for {delivery}: the landing folder has no folder of that date"
        )
    local = isinstance(system, LocalFileSystem)
    copy = layout.work / f"landing-{delivery}"
    files: list[DeliveredFile] = []
    try:
        for remote in sorted(system.find(base)):
            relative = remote.removeprefix(base).lstrip("/")
            region, name = _place(relative, data_map)
            source = data_map.source_of(name)
            if source is None:
                raise PolicyError(
                    f"{printable(name)}: no source of the data map claims this file. Nothing was "
                    "written. To admit it, add a source with a matching `files` pattern to "
                    "data_map.yaml, or remove the file from the delivery."
                )
            path = Path(remote)
            if not local:
                path = copy / relative
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                system.get_file(remote, str(path))
            data_map.require_listed(
                source, name, READERS[data_map.sources[source].reader].columns(path)
            )
            seen = _stamp(path)
            files.append(DeliveredFile(path, source, region, seen[1], file_sha256(path), seen))
        yield files
        for file in files:
            if _stamp(file.path) != file.seen:
                raise Unfinished(
                    f"{file.path.name}: changed while it was read; start the run again"
                )
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _batches(files: list[DeliveredFile], data_map: DataMap) -> Iterator[list[DeliveredFile]]:
    """Files to be read together: a relational export as one, everything else one by one."""
    order = sorted(files, key=lambda f: (f.region or "", f.source, f.path.name))
    for (_, source), group in groupby(order, key=lambda f: (f.region, f.source)):
        if READERS[data_map.sources[source].reader].together:
            yield list(group)
        else:
            yield from ([file] for file in group)


def _read_batch(
    connection: duckdb.DuckDBPyConnection,
    data_map: DataMap,
    delivery: dt.date,
    batch: list[DeliveredFile],
    folder: Path,
    number: int,
) -> None:
    """Read files of one source and region into the delivery's folder.

    Raises:
        MalformedFile: a file cannot be read as a whole.
    """
    first = batch[0]
    spec = data_map.sources[first.source]
    kind = "roster" if spec.reader == "roster" else "records"
    out = folder / (first.region or NO_REGION) / f"{kind}-{first.source}-{number}"
    out.parent.mkdir(exist_ok=True, mode=0o700)
    context = DeliveryContext(
        connection, delivery, data_map.earliest_date, first.source, spec, first.region
    )
    try:
        READERS[spec.reader].read([file.path for file in batch], out, context)
    except duckdb.InvalidInputException:
        # DuckDB's own message quotes the line.
        raise MalformedFile(
            f"{first.path.name}: the file is not consistent (line ends, quotes, encoding, or "
            "values of two types in one place)"
        ) from None


def ingest(
    layout: Layout, data_map: DataMap, delivery: dt.date, ring: KeyRing | None = None
) -> list[dict[str, object]]:
    """Read one delivery into store/canonical/<date>/, replacing what an earlier run wrote.

    Files: <REGION or ALL>/{records,roster}-<source>-<n>.parquet and .rejects.parquet. File names
    of the delivery are not kept, since a name can itself be personal data.

    People with a tombstone are refused: their rows never enter the store. A delivery that was
    ingested, and that retention has removed since, is not read again.

    Returns:
        Source, bytes and SHA-256 of every file.

    Raises:
        PolicyError, MalformedFile: as `admitted`; the store stays as it was.
    """
    if is_ingested(layout, delivery) and not is_delivered(layout, delivery):
        record = _record(layout.canonical / str(delivery))
        stored: list[dict[str, object]] = json.loads(record.read_text("utf-8"))["files"]
        return stored
    with (
        admitted(layout, data_map, delivery) as files,
        atomic_build(layout.canonical / str(delivery), layout.work, durable=True) as folder,
        engine(layout.work, zone=data_map.default_zone) as connection,
    ):
        store_format.create(layout.root)
        folder.mkdir(parents=True, mode=0o700)
        for number, batch in enumerate(_batches(files, data_map)):
            _read_batch(connection, data_map, delivery, batch, folder, number)
        tombstones.refuse(
            connection,
            layout,
            ring or KeyRing(layout.key_ring),
            tombstones.hashes(layout),
            (p for p in folder.glob("*/*.parquet") if ".rejects." not in p.name),
        )
        _record(folder).write_text(json.dumps({"files": described(files)}, indent=1), "utf-8")
        return described(files)
