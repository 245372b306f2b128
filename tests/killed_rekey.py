"""Which of two storage keys opens what; none of the product's code is asked."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyarrow.parquet import encryption

from tests.opened import derived

NEW = "5e" * 32


def opens(path: Path, key: str) -> bool:
    """Does a file open under a key?"""
    try:
        if path.suffix == ".enc":
            output = path.read_bytes()
            AESGCM(derived(key, "texts")).decrypt(output[:12], output[12:], path.name.encode())
        else:
            how = encryption.create_decryption_properties(derived(key, "tables"))
            pq.ParquetFile(path, decryption_properties=how)
    except (InvalidTag, OSError):
        return False
    return True


def encrypted(home: Path) -> list[Path]:
    """Every encrypted file of the data folder, but what is under construction."""
    found = [p for p in home.rglob("*") if p.is_file() and not p.is_relative_to(home / "work")]
    return [p for p in found if p.suffix == ".enc" or p.read_bytes()[-4:] == b"PARE"]


def keys_of(home: Path, old: str) -> dict[str, int]:
    """How many encrypted files there are, and how many of them each key opens."""
    under = [(opens(path, old), opens(path, NEW)) for path in encrypted(home)]
    return {"old": sum(a for a, _ in under), "new": sum(b for _, b in under), "files": len(under)}
