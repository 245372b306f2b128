"""What kind of container a file is, by its first bytes; its name says nothing about it."""

from __future__ import annotations

from enum import Enum

MAGIC_BYTES = 8


class Container(Enum):
    """What has to be opened before there is text."""

    NONE = ()
    GZIP = (b"\x1f\x8b",)
    ZSTD = (b"\x28\xb5\x2f\xfd",)
    ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # xlsx and ods, too
    OLE = (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",)  # xls, and encrypted workbooks
    PARQUET = (b"PAR1",)
    # Nobody opens these here: bzip2, xz, 7z, rar, lz4, PDF, encrypted Parquet.
    OPAQUE = (
        b"BZh",
        b"\xfd7zXZ\x00",
        b"7z\xbc\xaf\x27\x1c",
        b"Rar!",
        b"\x04\x22\x4d\x18",
        b"%PDF",
        b"PARE",
    )


def container_of(head: bytes) -> Container:
    """The kind of a file."""
    return next((kind for kind in Container if head.startswith(kind.value)), Container.NONE)
