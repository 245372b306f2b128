"""All readers, by the name that the data map's sources use."""

from __future__ import annotations

from pipeline.raw.readers import corporate, oulad, parquet, roster, tabular, xapi
from pipeline.raw.readers.base import Reader

READERS: dict[str, Reader] = {
    "corporate": Reader(tabular.header, corporate.read),
    "roster": Reader(tabular.header, roster.read),
    "xapi": Reader(xapi.columns, xapi.read),
    "oulad": Reader(tabular.header, oulad.read, together=True),
    "canonical": Reader(parquet.columns, parquet.read),
}
