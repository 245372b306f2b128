"""Encryption at rest: the identity vault and the HR/legal detail are never plain on the disk.

Tables are encrypted Parquet (pipeline/encrypted.py). Small texts are AES-256-GCM over the whole
file, bound to its name.

The key comes from one of these, and never from the data:
    MILESTONES_STORAGE_KEY        256 bits in hexadecimal
    MILESTONES_STORAGE_KEY_FILE   a file with the same, mode 0600; default <home>/vault/storage.key,
                                  made by the first night
    MILESTONES_STORAGE_KEY_VAULT  mount/path#field of a KV store, version 2, in HashiCorp Vault, at
                                  VAULT_ADDR with VAULT_TOKEN
"""

from __future__ import annotations

import hmac
import os
import secrets
from functools import lru_cache
from pathlib import Path

import duckdb
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipeline import encrypted
from pipeline.encrypted import KEY_BYTES
from pipeline.layout import Layout, make_settled, replace_settled
from pipeline.policy.base import PolicyError

NONCE_BYTES = 12
TEXT = ".enc"
ENCRYPTED_PARQUET = b"PARE"  # how such a file ends; a plain one ends in PAR1


def _from_file(path: Path) -> str:
    try:
        mode, told = path.stat().st_mode, path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        raise PolicyError("storage key: the file cannot be read") from None
    if mode & 0o077:
        raise PolicyError("storage key: other users may read the file; set its mode to 0600")
    return told


@lru_cache(maxsize=1)
def _from_vault(place: str) -> str:
    # Only who keeps the key there needs the client.
    import hvac

    where, _, field = place.partition("#")
    mount, _, path = where.partition("/")
    try:
        found = hvac.Client().secrets.kv.v2.read_secret_version(
            path=path, mount_point=mount, raise_on_deleted_version=True
        )
        return str(found["data"]["data"][field])
    except (hvac.exceptions.VaultError, OSError, KeyError) as error:
        raise PolicyError(f"storage key: not in the Vault ({type(error).__name__})") from None


def _told(layout: Layout) -> str:
    if told := os.environ.get("MILESTONES_STORAGE_KEY"):
        return told
    if place := os.environ.get("MILESTONES_STORAGE_KEY_VAULT"):
        return _from_vault(place)
    named = os.environ.get("MILESTONES_STORAGE_KEY_FILE")
    path = Path(named) if named else layout.storage_key
    if not path.exists():
        in_use = any(layout.vault.rglob(f"*{TEXT}")) or any(layout.vault.glob("*.parquet"))
        # Somebody else can have made the key meanwhile, and used it.
        if in_use and not path.exists():
            raise PolicyError("storage key: missing, though the vault is encrypted; restore it")
        make_settled(path, secrets.token_hex(KEY_BYTES))
    return _from_file(path)


def _key(layout: Layout, use: str) -> bytes:
    """The key of one use, derived from the one that was given (RFC 5869).

    Raises:
        PolicyError: there is none, others may read it, or it is no 256 bits.
    """
    told = _told(layout)
    try:
        given = bytes.fromhex(told.strip())
    except ValueError:
        raise PolicyError("storage key: not readable as hexadecimal") from None
    if len(given) != KEY_BYTES:
        raise PolicyError("storage key: not of 256 bits")
    return HKDF(SHA256(), KEY_BYTES, None, f"milestones {use}".encode()).derive(given)


def mark(layout: Layout, text: str) -> str:
    """A keyed hash of a text: alike for the same text under the same key."""
    return hmac.new(_key(layout, "marks"), text.encode(), "sha256").hexdigest()


def is_encrypted(path: Path) -> bool:
    """Is a Parquet file an encrypted one?"""
    with path.open("rb") as stream:
        stream.seek(-len(ENCRYPTED_PARQUET), os.SEEK_END)
        return stream.read() == ENCRYPTED_PARQUET


def rows(connection: duckdb.DuckDBPyConnection, layout: Layout, path: Path) -> str:
    """SQL: the relation of an encrypted table, from now on known to the connection.

    Args:
        path: its file, or a folder of files that are one table.

    Raises:
        EngineError: it is not there, not encrypted, was changed, or is under another key.
    """
    return encrypted.read(connection, _key(layout, "tables"), str(path))


def write_table(
    connection: duckdb.DuckDBPyConnection, layout: Layout, query: str, out: Path
) -> None:
    """Write a query's rows, in its order, to an encrypted table, mode 0600."""
    handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.close(handle)
    encrypted.write(connection, _key(layout, "tables"), query, str(out))


def write_text(layout: Layout, path: Path, text: str) -> None:
    """Replace a small encrypted file, so that a crash leaves the old one or the new."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(_key(layout, "texts")).encrypt(nonce, text.encode(), path.name.encode())
    replace_settled(path, nonce + sealed)


def read_text(layout: Layout, path: Path) -> str | None:
    """What an encrypted file says; None if there is none.

    Raises:
        PolicyError: it was changed, or is under another key.
    """
    if not path.exists():
        return None
    key, told = AESGCM(_key(layout, "texts")), path.read_bytes()
    nonce, sealed = told[:NONCE_BYTES], told[NONCE_BYTES:]
    try:
        return key.decrypt(nonce, sealed, path.name.encode()).decode()
    except (InvalidTag, ValueError):
        # ValueError: shorter than a nonce.
        raise PolicyError("vault: a file is not as it was written under this key") from None
