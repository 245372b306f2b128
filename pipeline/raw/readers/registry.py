"""All readers, by the name that the data map's sources use."""

from __future__ import annotations

from pipeline.raw.readers import corporate, oulad, parquet, roster, tabular, xapi
from pipeline.raw.readers.base import Reader

READERS: dict[str, Reader] = {
    "corporate": Reader(tabular.header, corporate.read, require_names=tabular.require_names),
    "roster": Reader(tabular.header, roster.read, require_names=tabular.require_names),
    "xapi": Reader(xapi.columns, xapi.read),
    "oulad": Reader(tabular.header, oulad.read, True, tabular.require_names),
    "canonical": Reader(parquet.columns, parquet.read),
}
