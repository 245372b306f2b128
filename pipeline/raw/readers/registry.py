"""All readers, by the name that the data map's sources use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.raw.forms.readable import Readable
from pipeline.raw.readers import corporate, oulad, parquet, roster, tabular, xapi
from pipeline.raw.readers.base import DeliveryContext, Reader


def _of_paths(
    columns: Callable[[Path], list[str]],
    read: Callable[[list[Path], Path, DeliveryContext], None],
) -> Reader:
    """A reader of files that are no tables of the source's own columns."""

    def read_files(files: list[Readable], out: Path, context: DeliveryContext) -> None:
        read([file.path for file in files], out, context)

    return Reader(lambda file: columns(file.path), read_files)


READERS: dict[str, Reader] = {
    "corporate": Reader(tabular.header, corporate.read, tables=True),
    "roster": Reader(tabular.header, roster.read, tables=True),
    "xapi": _of_paths(xapi.columns, xapi.read),
    "oulad": Reader(tabular.header, oulad.read, together=True, tables=True),
    "canonical": _of_paths(parquet.columns, parquet.read),
}
