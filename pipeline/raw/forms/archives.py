"""Compressed files and zip archives, opened into the work folder and never beyond it.

A member of an archive is a delivered file of its own; its path is never used, so that none leads
out of the folder. What could fill the disk, cannot be checked, or hides another archive is refused.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

import pyarrow as pa

from pipeline.policy.data_map import DeliveryRules, printable
from pipeline.policy.fields import COMPRESSED
from pipeline.raw.forms.kinds import MAGIC_BYTES, Container, container_of
from pipeline.raw.readers.base import MalformedFile

READ = 1 << 20  # bytes
# A real export shrinks to a tenth, a very uniform one to a hundredth.
MOST = 250  # times its size
ALWAYS = 1 << 28  # bytes that may come of any archive
MEMBERS = 1000
LONGEST_NAME = 200  # bytes
ARCHIVES = (Container.GZIP, Container.ZSTD, Container.ZIP)


@dataclass(frozen=True)
class Part:
    """A file that was delivered, or that an archive held.

    Attributes:
        relative: its path in the archive; of any other file its name.
        name: as messages show it.
        outer: the name of the delivered file.
        copies: a folder for copies of it, which does not exist yet.
        single: it is all that the delivered file held.
    """

    path: Path
    relative: str
    name: str
    outer: str
    copies: Path
    single: bool = True


def container(path: Path) -> Container:
    """What kind of container a file is."""
    with path.open("rb") as stream:
        return container_of(stream.read(MAGIC_BYTES))


def is_workbook(path: Path) -> bool:
    """Is it a workbook? Those of today are zip archives."""
    kind = container(path)
    if kind is not Container.ZIP:
        return kind is Container.OLE
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
    return "content.xml" in members or any(name.startswith("xl/") for name in members)


def parts(path: Path, name: str, folder: Path, rules: DeliveryRules) -> Iterator[Part]:
    """The files in a delivered file: it itself, unless it is an archive.

    Args:
        folder: where they are written.
        rules: names that are left alone.

    Raises:
        MalformedFile: it is damaged, encrypted, empty, holds an archive, or is far larger than it
            may be.
    """
    try:
        kind = container(path)
        if kind not in ARCHIVES or is_workbook(path):
            yield Part(path, name, name, name, folder / "read")
        elif kind is Container.ZIP:
            yield from _members(path, name, folder, rules)
        else:
            inner = COMPRESSED.sub("", path.name)
            opened = _compressed(path, name, kind, folder / "opened" / inner)
            yield Part(opened, inner, name, name, folder / "read")
    except (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile, pa.ArrowException):
        raise MalformedFile(f"{name}: the archive is damaged or incomplete") from None
    except (NotImplementedError, RuntimeError):
        raise MalformedFile(
            f"{name}: the archive is encrypted, or compressed in a way that is not understood"
        ) from None


def _compressed(path: Path, name: str, kind: Container, out: Path) -> Path:
    limit = max(ALWAYS, MOST * path.stat().st_size)
    with path.open("rb") as stream:
        if kind is Container.GZIP:
            with gzip.open(stream) as opened:
                return _written(cast(BinaryIO, opened), name, out, limit)
        with pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd") as opened:
            return _written(opened, name, out, limit)


def _members(path: Path, name: str, folder: Path, rules: DeliveryRules) -> Iterator[Part]:
    with zipfile.ZipFile(path) as archive:
        members = [
            one
            for one in archive.infolist()
            if not one.is_dir() and not any(map(rules.ignores, PurePosixPath(one.filename).parts))
        ]
        if not 0 < len(members) <= MEMBERS:
            raise MalformedFile(f"{name}: the archive holds {len(members):,} files")
        left = max(ALWAYS, MOST * path.stat().st_size)
        for at, one in enumerate(members):
            inner = PurePosixPath(one.filename.replace("\\", "/")).name
            if inner in ("", "..") or len(inner.encode()) > LONGEST_NAME:
                raise MalformedFile(f"{name}: the archive holds a file without a proper name")
            shown = f"{name}: {printable(inner)}"
            with archive.open(one) as opened:
                out = folder / "opened" / str(at) / inner
                part = _written(cast(BinaryIO, opened), shown, out, left)
            left -= part.stat().st_size
            relative, copies = one.filename.replace("\\", "/"), folder / f"read-{at}"
            yield Part(part, relative, shown, name, copies, len(members) == 1)


def _written(stream: BinaryIO, name: str, out: Path, limit: int) -> Path:
    """Write out what a compressed stream holds."""
    out.parent.mkdir(parents=True, mode=0o700)
    with out.open("xb") as opened:
        while chunk := stream.read(READ):
            opened.write(chunk)
            if opened.tell() > limit:
                raise MalformedFile(f"{name}: unpacked, it is larger than {limit:,} bytes")
    if container(out) in ARCHIVES and not is_workbook(out):
        raise MalformedFile(f"{name}: an archive in an archive is not opened")
    return out
