"""The only way into the store: the data map admits a delivery as a whole, or not at all."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath

import duckdb
import pyarrow.parquet as pq

from pipeline.errors import BadInput, PolicyError, Unfinished
from pipeline.keys.ring import KeyRing
from pipeline.policy.data_map import DataMap, printable
from pipeline.raw import landing, register, remote
from pipeline.raw.forms import archives, opening, survey
from pipeline.raw.forms.archives import Part
from pipeline.raw.forms.opening import decoded_files
from pipeline.raw.forms.readable import Readable
from pipeline.raw.readers.base import DeliveryContext, MalformedFile
from pipeline.raw.readers.registry import READERS
from pipeline.raw.register import State
from pipeline.storage import store_format
from pipeline.storage.engine import engine
from pipeline.storage.files import atomic_build
from pipeline.storage.layout import Layout
from pipeline.storage.relations import holds, source_of
from pipeline.subjects import tombstones

NO_REGION = "ALL"
UNCLAIMED = "(a file)"  # stands for the name of a file of no source


@dataclass(frozen=True)
class DeliveredFile:
    """One admitted file, or one of an admitted archive.

    Attributes:
        file: what readers open.
        size, sha256: of its bytes, unpacked.
    """

    file: Readable
    source: str
    region: str | None
    size: int
    sha256: str


def described(files: list[DeliveredFile]) -> list[dict[str, object]]:
    """What may be recorded of admitted files; a file name could be personal and is left out."""
    return [
        {"source": f.source, "bytes": f.size, "sha256": f.sha256, "read_as": f.file.used}
        for f in files
    ]


def content_sha256(files: list[DeliveredFile]) -> str:
    """One hash over a delivery's files, whatever their names and order."""
    lines = sorted(f"{f.region} {f.source} {f.sha256}" for f in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


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


def _region_inside(relative: str, data_map: DataMap) -> str | None:
    """Region folder of a path inside an archive, whose other folders mean nothing."""
    folder = PurePosixPath(relative).parent.name
    return folder if folder in data_map.regions else None


def _require_delivery(layout: Layout, delivery: dt.date) -> None:
    if str(delivery) in landing.no_deliveries(layout):
        raise PolicyError(f"{delivery} in the landing folder is a link or a file, and no delivery")
    if not landing.is_delivered(layout, delivery):
        raise BadInput(
            f"there is no delivery for {delivery}: the landing folder has no folder of that date"
        )


@contextmanager
def admitted(
    layout: Layout, data_map: DataMap, delivery: dt.date, names: dict[str, str] | None = None
) -> Iterator[list[DeliveredFile]]:
    """The files of one delivery, every one claimed by a source and every column listed.

    Args:
        names: is given the source of every name that an error may show.

    A remote delivery is copied beside the store during the block, and what is not plain text is
    decoded there. When the block succeeds, a
    delivery that changed meanwhile is an error, so that a half-replaced one is never accepted.

    Raises:
        PolicyError: there is no delivery, it is empty or incomplete, no source claims a file, a
            column is not listed, or a file changed.
        MalformedFile: the header of a file cannot be read.
    """
    _require_delivery(layout, delivery)
    found = landing.wait_until_complete(layout, delivery, data_map.deliveries)
    data = landing.data_files(found, data_map.deliveries)
    if not data:
        raise BadInput(f"the delivery of {delivery} is empty; what was accepted before stays")
    with decoded_files(layout.work) as copies:
        yield _admit_all(layout, data_map, delivery, data, copies, {} if names is None else names)
        now = {one.relative: one for one in landing.entries(layout, delivery)}
        for one in data:
            if now.pop(one.relative, None) != one:
                raise Unfinished(
                    f"{printable(one.name)}: changed while it was read; start the run again"
                )
        before = {one.relative for one in found}
        added = [one for one in now.values() if one.relative not in before]
        if landing.data_files(added, data_map.deliveries):
            raise Unfinished("files were added to the delivery while it was read; run it again")


def _admit_all(
    layout: Layout,
    data_map: DataMap,
    delivery: dt.date,
    data: list[landing.Entry],
    copies: Path,
    names: dict[str, str],
) -> list[DeliveredFile]:
    """All files; if some are not admitted, one error says so of each."""
    files: list[DeliveredFile] = []
    faults: list[PolicyError | MalformedFile] = []
    for at, one in enumerate(data):
        found = _parts(layout, data_map, delivery, one, copies / str(at))
        try:
            for region, part in found:
                try:
                    files.append(_admit(data_map, region, part, names))
                except (PolicyError, MalformedFile) as fault:
                    faults.append(fault)
        except (PolicyError, MalformedFile) as fault:
            faults.append(fault)
    if faults:
        raise type(faults[0])("\n".join(map(str, faults)))
    return files


def _parts(
    layout: Layout, data_map: DataMap, delivery: dt.date, one: landing.Entry, folder: Path
) -> Iterator[tuple[str | None, Part]]:
    """The file, or the files of an archive, with their region folders.

    Args:
        folder: for copies; it does not exist yet.
    """
    region, name = _place(one.relative, data_map)
    folder.mkdir(mode=0o700)
    path = _local(layout, one, folder)
    for part in archives.parts(path, name, folder, data_map.deliveries):
        yield _region_inside(part.relative, data_map) or region, part


def _admit(
    data_map: DataMap, region: str | None, part: Part, names: dict[str, str]
) -> DeliveredFile:
    """One file, with a source that claims it and lists its columns; `names` as `admitted`."""
    inner = PurePosixPath(part.relative).name
    source = data_map.source_of(inner) or (data_map.source_of(part.outer) if part.single else None)
    names |= dict.fromkeys((part.name, part.path.name, inner), source or UNCLAIMED)
    if source is None:
        raise PolicyError(
            f"{printable(part.name)}: no source of the data map claims this file. Nothing was "
            "written. To admit it, add a source with a matching `files` pattern to "
            "data_map.yaml, or remove the file from the delivery."
        )
    spec = data_map.sources[source]
    reader = READERS[spec.reader]
    found = survey.of_file(part.path)
    file = opening.readable(part, found, spec, is_table=reader.tables)
    data_map.require_listed(source, part.name, reader.columns(file))
    return DeliveredFile(file, source, region, found.size, found.sha256)


def _local(layout: Layout, one: landing.Entry, folder: Path) -> Path:
    """Where an entry can be opened: the file itself, or a copy of a remote one."""
    if landing.is_local(landing.folder(layout, "")[0]):
        return Path(one.path)
    path = folder / "delivered" / one.name
    path.parent.mkdir(mode=0o700)
    remote.fetch(layout.landing, one.path, one.size, path)
    return path


def _batches(files: list[DeliveredFile], data_map: DataMap) -> Iterator[list[DeliveredFile]]:
    """Files to be read together: a relational export as one, everything else one by one."""
    order = sorted(files, key=lambda f: (f.region or "", f.source, f.file.name))
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
        connection,
        delivery,
        data_map.earliest_date,
        data_map.default_zone,
        first.source,
        spec,
        first.region,
    )
    try:
        READERS[spec.reader].read([file.file for file in batch], out, context)
    except duckdb.InvalidInputException:
        # DuckDB's own message quotes the line.
        raise MalformedFile(
            f"{first.file.name}: the file is not consistent (line ends, quotes, encoding, or "
            "values of two types in one place)"
        ) from None


def ingest(
    layout: Layout,
    data_map: DataMap,
    delivery: dt.date,
    ring: KeyRing | None = None,
    run: dt.date | None = None,
) -> list[dict[str, object]]:
    """Read one delivery into store/canonical/<date>/; it is then received.

    Files: <REGION or ALL>/{records,roster}-<source>-<n>.parquet and .rejects.parquet, and
    left_out-<source>-<n>.parquet, of records that are only counted. File names of the delivery are
    not kept, since a name can itself be personal data.

    What was accepted for the date before is kept aside until the new content is accepted or refused
    (pipeline/raw/register.py). People with a tombstone are refused: their rows never enter the
    store. A delivery that was ingested, and that retention has removed since, is not read again.

    Args:
        run: the run date for which it is read, if that is another day than the delivery's.

    Returns:
        Source, bytes and SHA-256 of every file.

    Raises:
        PolicyError, MalformedFile: as `admitted`; the delivery is refused unless it is merely not
            complete, and the store stays as it was.
    """
    if register.is_ingested(layout, delivery) and not landing.is_delivered(layout, delivery):
        stored = json.loads(register.record(layout.canonical / str(delivery)).read_text("utf-8"))
        files: list[dict[str, object]] = stored["files"]
        return files
    names: dict[str, str] = {}
    try:
        return _receive(layout, data_map, delivery, ring or KeyRing(layout.key_ring), run, names)
    except Unfinished:
        # It is not there yet; the next run looks again.
        raise
    except (PolicyError, MalformedFile) as error:
        if landing.is_delivered(layout, delivery):
            reason = _without_names(str(error), layout, data_map, delivery, names)
            register.note(layout, delivery, State.REFUSED, reason)
        raise


def _without_names(
    text: str, layout: Layout, data_map: DataMap, delivery: dt.date, names: dict[str, str]
) -> str:
    """A reason as the register keeps it: files go by their source."""
    delivered = [one.name for one in landing.entries(layout, delivery)]
    known = {name: data_map.source_of(name) or UNCLAIMED for name in delivered} | names
    for name in sorted(known, key=len, reverse=True):
        text = text.replace(name, known[name])
    return text


def _receive(
    layout: Layout,
    data_map: DataMap,
    delivery: dt.date,
    ring: KeyRing,
    run: dt.date | None,
    names: dict[str, str],
) -> list[dict[str, object]]:
    with (
        admitted(layout, data_map, delivery, names) as files,
        atomic_build(layout.canonical / str(delivery), layout.work, durable=True) as folder,
        engine(layout.work) as connection,
    ):
        sha256 = content_sha256(files)
        _require_not_withdrawn(layout, delivery, sha256)
        store_format.create(layout.root)
        folder.mkdir(parents=True, mode=0o700)
        for number, batch in enumerate(_batches(files, data_map)):
            _read_batch(connection, data_map, delivery, batch, folder, number)
        rows = _rows_by_source(folder)
        tombstones.refuse(
            connection,
            layout,
            ring,
            (p for p in folder.glob("*/*.parquet") if holds(p, "records") or holds(p, "roster")),
            data_map.identity.company_home_pages,
        )
        made = {
            "received_at": dt.datetime.now(dt.UTC).isoformat(),
            "files": described(files),
            "rows": rows,
            "to_be_decided": _to_be_decided(folder),
        }
        register.record(folder).write_text(json.dumps(made, indent=1), "utf-8")
        version = register.version_of(folder)
        register.note(
            layout, delivery, State.RECEIVED, version=version, sha256=sha256, run=run or delivery
        )
        register.make_room(layout, delivery)
    return described(files)


def _rows_by_source(folder: Path) -> dict[str, int]:
    """How many rows were read of each source, those in quarantine and those that are only counted
    among them."""
    rows: Counter[str] = Counter()
    for path in folder.glob("*/*.parquet"):
        if holds(path, "left_out"):
            rows[source_of(path)] += sum(pq.read_table(path)["records"].to_pylist())
        elif not path.match("*.rejects.parquet"):
            rows[source_of(path)] += pq.read_metadata(path).num_rows
    return dict(rows)


def _to_be_decided(folder: Path) -> dict[str, int]:
    """What was only counted because the data map does not list it: name to records, most first."""
    names: Counter[str] = Counter()
    for path in folder.glob("*/*.parquet"):
        if holds(path, "left_out"):
            for one in pq.read_table(path).to_pylist():
                if one["name"]:
                    names[one["name"]] += one["records"]
    return dict(names.most_common())


def _require_not_withdrawn(layout: Layout, delivery: dt.date, sha256: str) -> None:
    if register.is_withdrawn(register.steps(layout, delivery), sha256):
        raise PolicyError(
            f"the delivery of {delivery} was withdrawn with this very content. Deliver corrected "
            f"files, or allow it with a reason: milestones delivery allow {delivery} --because …"
        )
