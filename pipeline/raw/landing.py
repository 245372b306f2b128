"""The landing folder: which of its entries are deliveries, whether one is complete, what is in it.

A delivery is a folder whose name is a day, YYYY-MM-DD. Anything else in the landing folder is
named to whoever runs something and otherwise left alone.
"""

from __future__ import annotations

import datetime as dt
import errno
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import PolicyError, Unfinished
from pipeline.policy.data_map import DeliveryRules, printable
from pipeline.raw import remote
from pipeline.raw.days import DATED
from pipeline.raw.days import day_of as day_of
from pipeline.raw.forms import search
from pipeline.raw.forms.opening import decoded_files
from pipeline.settings import settings
from pipeline.storage.files import fsync
from pipeline.storage.layout import Layout

CHUNK = 1 << 24  # bytes
PLACING = ".placing"
OVERLAP = 1 << 10  # bytes; longer than anything that is searched for
# What shows that a file is another one than before, as far as a file system knows it.
CHANGES = ("size", "mtime", "ino", "created", "LastModified", "updated", "ETag", "etag")


def hits_in(stream: BinaryIO, pattern: re.Pattern[bytes]) -> int:
    """Matches in a stream of bytes; one at the border of two chunks may count twice.

    Args:
        pattern: one that RE2 understands as well. RE2 reads each byte once, a hundred times as fast
            as Python tries a pattern at each of them; what it finds is then counted.
    """
    hits, tail = 0, b""
    while chunk := stream.read(CHUNK):
        data = tail + chunk
        if pc.match_substring_regex(pa.scalar(data), pattern.pattern.decode()).as_py():
            hits += len(pattern.findall(data))
        tail = chunk[-OVERLAP:]
    return hits


NOTHING = r"[^\s\S]"  # a pattern that no text matches


@dataclass(frozen=True)
class Entry:
    """One file, link or other entry of a delivery.

    Attributes:
        relative: its path below the delivery's folder.
        seen: what changes when its content does.
        changed_at: when it was last written, in seconds since 1970; 0 where files appear whole.
        size: in bytes, if it is listed.
        is_link: a symbolic or hard link, or no file at all, such as a pipe.
    """

    path: str
    relative: str
    seen: tuple[str, ...]
    changed_at: float
    size: int | None
    is_link: bool

    @property
    def name(self) -> str:
        return PurePosixPath(self.relative).name


def folder(layout: Layout, delivery: dt.date | str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system and path of a delivery's folder, or of the landing folder itself."""
    return remote.opened(f"{layout.landing}/{delivery}")


def is_local(system: fsspec.AbstractFileSystem) -> bool:
    return isinstance(system, LocalFileSystem)


def _top(layout: Layout) -> Iterator[tuple[str, bool]]:
    """Names in the landing folder, and whether each is a folder of its own and no link."""
    system, base = folder(layout, "")
    system.invalidate_cache()
    if not system.isdir(base):
        return
    for info in remote.asked(lambda: folder(layout, "")[0].ls(base, detail=True)):
        whole = info["type"] == "directory" and not info.get("islink")
        yield PurePosixPath(str(info["name"])).name, whole


def deliveries(layout: Layout) -> list[dt.date]:
    """Dates of all deliveries in the landing folder."""
    return sorted(d for name, whole in _top(layout) if whole and (d := day_of(name)))


def no_deliveries(layout: Layout) -> list[str]:
    """What else is in the landing folder, by names that can be shown; it is left alone."""
    others = {name for name, whole in _top(layout) if not (whole and day_of(name))}
    return sorted(name if DATED.fullmatch(name) else printable(name) for name in others)


def is_delivered(layout: Layout, delivery: dt.date) -> bool:
    """Is the delivery still in the landing folder?"""
    if delivery not in deliveries(layout):
        return False
    # An object store can go on listing a folder whose last object was removed.
    system, base = folder(layout, delivery)
    system.invalidate_cache()
    return bool(system.isdir(base))


def entries(layout: Layout, delivery: dt.date) -> list[Entry]:
    """Everything below a delivery's folder, in order."""

    def listed() -> list[Entry]:
        system, base = folder(layout, delivery)
        system.invalidate_cache()
        return [_entry(base, path, info) for path, info in sorted(_found(system, base).items())]

    return remote.asked(listed)


def _found(system: fsspec.AbstractFileSystem, base: str) -> Mapping[str, dict[str, object]]:
    found: Mapping[str, dict[str, object]] = system.find(base, detail=True)
    return found


def _entry(base: str, path: str, info: dict[str, object]) -> Entry:
    written, size = info.get("mtime"), info.get("size")
    if isinstance(written, dt.datetime):
        written = written.timestamp()  # as SFTP has it
    return Entry(
        path,
        path.removeprefix(base).lstrip("/"),
        tuple(str(info.get(name)) for name in CHANGES),
        float(written) if isinstance(written, int | float) else 0.0,
        size if isinstance(size, int) else None,
        info["type"] != "file" or bool(info.get("islink")) or int(str(info.get("nlink", 1))) > 1,
    )


def data_files(found: list[Entry], rules: DeliveryRules) -> list[Entry]:
    """The files that have to have a source.

    Raises:
        PolicyError: an entry is a link, so that what it names could change or stay unseen.
    """
    data = [one for one in found if not is_ignored(one, rules)]
    if linked := sorted({printable(one.name) for one in data if one.is_link}):
        raise PolicyError(
            f"{', '.join(linked)}: a link, or no file of its own. Nothing was written. Deliver the "
            "files themselves: what a link names can change, and an erasure would not reach it."
        )
    return data


def is_ignored(one: Entry, rules: DeliveryRules) -> bool:
    """Is it, or a folder that it is in, of a name that policy ignores?"""
    return any(map(rules.ignores, PurePosixPath(one.relative).parts))


def left_alone(layout: Layout, delivery: dt.date, rules: DeliveryRules) -> list[str]:
    """What policy ignores in a delivery, by its patterns: a name can be that of a person."""
    names = (
        name for one in entries(layout, delivery) for name in PurePosixPath(one.relative).parts
    )
    return sorted({found for name in names if (found := rules.ignores(name))} - {rules.marker})


def wait_until_complete(layout: Layout, delivery: dt.date, rules: DeliveryRules) -> list[Entry]:
    """The entries of a delivery that is no longer being written.

    The source's marker vouches for every file that is not newer than it. Without one, nothing may
    have changed for some seconds (MILESTONES_STABLE_SECONDS), which are waited for if need be.

    Raises:
        Unfinished: the marker that policy demands is missing, or a file changed meanwhile.
    """
    found = entries(layout, delivery)
    newest = max((one.changed_at for one in found if not is_ignored(one, rules)), default=0.0)
    marks = [one.changed_at for one in found if one.relative == rules.marker]
    if rules.marker_required and not marks:
        raise Unfinished(
            f"the delivery is not complete: it has no file {rules.marker}, which its source writes "
            "last. Run it again when it is there"
        )
    if marks and marks[0] >= newest:
        return found
    wait = settings().stable_seconds - (time.time() - newest)
    if newest and wait > 0:
        time.sleep(min(wait, settings().stable_seconds))
        if entries(layout, delivery) != found:
            raise Unfinished("the delivery is still being written; run it again when it is there")
    return found


def writing(layout: Layout, delivery: dt.date, name: str) -> fsspec.core.OpenFile:
    """A new file of a delivery, to be written in a block, wherever the landing folder is."""
    system, base = folder(layout, delivery)
    system.makedirs(base, exist_ok=True)
    return fsspec.core.OpenFile(system, f"{base}/{name}", "wb")


def place(layout: Layout, delivery: dt.date, file: Path, name: str) -> None:
    """Move a finished file into a delivery, so that nobody ever sees half of it."""
    fsync(file)
    system, base = folder(layout, delivery)
    system.makedirs(base, exist_ok=True)
    if not is_local(system):
        system.put_file(str(file), f"{base}/{name}")
        return
    try:
        file.replace(Path(base) / name)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # On another disk. What a kill leaves here is no delivery, and the next one replaces it.
        beside = Path(base).parent / PLACING
        shutil.copyfile(file, beside)
        beside.chmod(0o600)
        fsync(beside)
        beside.replace(Path(base) / name)
    fsync(Path(base))


def remove(layout: Layout, delivery: dt.date) -> None:
    """Remove a delivery from the landing folder, wherever that is. Links stay where they are: what
    they name lies elsewhere, and a removed link would hide it."""
    if not is_delivered(layout, delivery):
        return
    system, base = folder(layout, delivery)
    links = [one for one in entries(layout, delivery) if one.is_link]
    if not links:
        system.rm(base, recursive=True)
        return
    for one in entries(layout, delivery):
        if not one.is_link:
            system.rm_file(one.path)


def only_links(layout: Layout, delivery: dt.date) -> bool:
    """Is nothing left of a delivery but links?"""
    found = entries(layout, delivery)
    return bool(found) and all(one.is_link for one in found)


def deliveries_naming(layout: Layout, pattern: str, *, surely: bool = False) -> list[dt.date]:
    """Deliveries with a file that matches a pattern, however it is written, or that cannot be
    opened.

    Args:
        surely: not those that cannot be opened, which match anything.
    """

    def named(one: Entry) -> bool:
        with _opened(layout, one) as stream:
            found = search.names(stream, pattern)
            stream.seek(0)
            return found and not (surely and search.names(stream, NOTHING))

    return [
        delivery
        for delivery in deliveries(layout)
        if any(named(one) for one in entries(layout, delivery) if not one.is_link)
    ]


def links_naming(layout: Layout, pattern: str) -> int:
    """Links below the landing folder whose targets match a pattern: an erasure does not reach
    those. Only a local landing folder has links."""
    system, base = folder(layout, "")
    if not is_local(system):
        return 0
    return sum(
        any(_names(target, pattern) for target in _targets(Path(one)))
        for one, info in _found(system, base).items()
        if info.get("islink") or int(str(info.get("nlink", 1))) > 1
    )


def _targets(link: Path) -> Iterator[Path]:
    """The files that a link means; none if it leads nowhere."""
    if link.is_file():
        yield link
    elif link.is_dir():
        for place, _, names in os.walk(link):
            yield from (path for name in names if (path := Path(place) / name).is_file())


def _names(path: Path, pattern: str) -> bool:
    with path.open("rb") as stream:
        return search.names(stream, pattern)


@contextmanager
def _opened(layout: Layout, one: Entry) -> Iterator[BinaryIO]:
    """A delivered file. One from elsewhere is fetched first: that a connection broke off says
    nothing about what the file holds."""
    if is_local(folder(layout, "")[0]):
        with Path(one.path).open("rb") as stream:
            yield stream
        return
    with decoded_files(layout.work) as copies:
        remote.fetch(layout.landing, one.path, one.size, copies / "delivered")
        with (copies / "delivered").open("rb") as stream:
            yield stream
