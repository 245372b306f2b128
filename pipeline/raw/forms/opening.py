"""From what was delivered to what readers open; the name decides nothing, the content does."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.policy.data_map import printable
from pipeline.policy.fields import Source, plain
from pipeline.policy.form import Form
from pipeline.raw.forms import archives, objects, text, workbooks
from pipeline.raw.forms.archives import Part
from pipeline.raw.forms.readable import Kind, Readable, Table
from pipeline.raw.forms.survey import Survey
from pipeline.raw.readers.base import MalformedFile
from pipeline.storage.spill import spill_folder

PARQUET = b"PAR1"
GLOB = re.compile(r"[*?\[]")  # DuckDB would open other files by such a name


@contextmanager
def decoded_files(work: Path) -> Iterator[Path]:
    """A folder for what is decoded or copied of a delivery, with raw values in it. It is gone at
    the end of the block; of a killed process, at the next start, as DuckDB's own temporary files
    are (pipeline/storage/spill.py)."""
    folder = spill_folder(work)
    try:
        folder.mkdir(parents=True, mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def readable(part: Part, found: Survey, source: Source, *, is_table: bool) -> Readable:
    """A file as its reader opens it.

    Args:
        found: survey of the file.
        is_table: it is a table of the source's columns.

    Raises:
        MalformedFile: it cannot be read as a whole.
    """
    folder = part.copies
    folder.mkdir(mode=0o700)
    path, copy = _safely_named(part.path, folder), folder / GLOB.sub("_", part.path.name)
    known = {plain(column) for column in source.fields}
    if found.head.startswith(PARQUET):
        table = _parquet(path, part.name, source.form) if is_table else None
        return Readable(path, part.name, table, {"form": "parquet"})
    if not is_table:
        return text.plain_text(path, part.name, found, source.form, copy)
    if archives.is_workbook(path):
        return workbooks.workbook(path, part.name, source.form, known, copy)
    if kind := objects.kind_of(text.beginning(found, part.name, source.form)):
        plain_text = text.plain_text(path, part.name, found, source.form, copy)
        return objects.rows(plain_text, kind, source.form, known)
    return text.delimited(path, part.name, found, source.form, known, copy)


def _parquet(path: Path, name: str, form: Form) -> Table:
    """A table of typed columns; each is read as text.

    Raises:
        MalformedFile: it is damaged, or a column holds more than a value.
    """
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError):
        raise MalformedFile(f"{name}: not a Parquet file") from None
    if nested := [one.name for one in schema if pa.types.is_nested(one.type)]:
        shown = ", ".join(map(printable, nested))
        raise MalformedFile(f"{name}: no table, as these columns hold more than a value: {shown}")
    return Table(tuple(schema.names), Kind.CELLS, nulls=form.null_texts)


def _safely_named(path: Path, folder: Path) -> Path:
    """The path of a file, by a name that DuckDB takes for that of one file."""
    if not GLOB.search(path.name):
        return path
    link = folder / "named" / GLOB.sub("_", path.name)
    link.parent.mkdir(mode=0o700)
    link.symlink_to(path.absolute())
    return link
