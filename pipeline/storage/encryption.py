"""Encryption at rest: the identity vault and the HR/legal detail are never unencrypted on disk.

Tables are encrypted Parquet (pipeline/storage/encrypted_parquet.py). Small texts are AES-256-GCM
over the whole file, bound to its name.

The key comes from one of these, and never from the data:
    MILESTONES_STORAGE_KEY        256 bits in hexadecimal
    MILESTONES_STORAGE_KEY_FILE   a file with the same, mode 0600; default <home>/vault/storage.key,
                                  created by the first run
    MILESTONES_STORAGE_KEY_VAULT  mount/path#field of a KV store, version 2, in HashiCorp Vault, at
                                  VAULT_ADDR with VAULT_TOKEN
"""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import duckdb
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipeline.errors import PolicyError
from pipeline.settings import settings
from pipeline.storage import encrypted_parquet, hashicorp
from pipeline.storage.encrypted_parquet import KEY_BYTES
from pipeline.storage.files import create_exclusively, replace_bytes
from pipeline.storage.layout import Layout

NONCE_BYTES = 12
TEXT = ".enc"
ENCRYPTED_PARQUET = b"PARE"  # the end of such a file; an unencrypted one ends in PAR1


@dataclass(frozen=True, repr=False)
class StorageKey:
    """The 256 bits that everything is encrypted under; it never prints itself."""

    secret: bytes

    @classmethod
    def read(cls, text: str) -> StorageKey:
        """The key from its hexadecimal text.

        Raises:
            PolicyError: the text is not 256 bits in hexadecimal.
        """
        try:
            secret = bytes.fromhex(text.strip())
        except ValueError:
            raise PolicyError("storage key: it is not hexadecimal") from None
        if len(secret) != KEY_BYTES:
            raise PolicyError("storage key: it does not have 256 bits")
        return cls(secret)

    @classmethod
    def in_file(cls, path: Path) -> StorageKey:
        """The key from a file.

        Raises:
            PolicyError: as `read`; the file cannot be read, or other users may read it.
        """
        return cls.read(_from_file(path))

    def derived(self, use: str) -> bytes:
        """The key of one use (RFC 5869)."""
        return HKDF(SHA256(), KEY_BYTES, None, f"milestones {use}".encode()).derive(self.secret)

    def seal(self, name: str, text: str) -> bytes:
        """A small text, encrypted and bound to the name of its file."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(self.derived("texts")).encrypt(nonce, text.encode(), name.encode())

    def unseal(self, name: str, sealed: bytes) -> str:
        """The text that was sealed.

        Raises:
            PolicyError: it was changed, or is under another key.
        """
        key, nonce = AESGCM(self.derived("texts")), sealed[:NONCE_BYTES]
        try:
            return key.decrypt(nonce, sealed[NONCE_BYTES:], name.encode()).decode()
        except (InvalidTag, ValueError):
            # ValueError: it is shorter than a nonce.
            raise PolicyError(
                "vault: a file was changed, or was encrypted with another key"
            ) from None

    def rows(self, connection: duckdb.DuckDBPyConnection, path: Path) -> str:
        """SQL: the relation of an encrypted table, which this registers with the connection.

        Args:
            path: its file, or a folder of files that are one table.

        Raises:
            EngineError: it does not exist, is not encrypted, was changed, or is under another
                key.
        """
        return encrypted_parquet.read(connection, self.derived("tables"), str(path))

    def write_table(self, connection: duckdb.DuckDBPyConnection, query: str, out: Path) -> None:
        """Write a query's rows, in its order, to an encrypted table, mode 0600."""
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.close(handle)
        encrypted_parquet.write(connection, self.derived("tables"), query, str(out))


def _from_file(path: Path) -> str:
    try:
        mode, text = path.stat().st_mode, path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        raise PolicyError("storage key: the file cannot be read") from None
    if mode & 0o077:
        raise PolicyError("storage key: other users may read the file; set its mode to 0600")
    return text


@lru_cache(maxsize=1)
def _from_vault(place: str) -> str:
    return hashicorp.read(place, "storage key")


def _configured(layout: Layout) -> str:
    given = settings()
    if given.storage_key is not None:
        return given.storage_key.get_secret_value()
    if given.storage_key_vault is not None:
        return _from_vault(given.storage_key_vault)
    path = given.storage_key_file or layout.storage_key
    if not path.exists():
        in_use = any(layout.vault.rglob(f"*{TEXT}")) or any(layout.vault.glob("*.parquet"))
        # Another process can have created and used the key meanwhile.
        if in_use and not path.exists():
            raise PolicyError(
                "storage key: it is missing, but the vault is encrypted with it; restore it"
            )
        create_exclusively(path, secrets.token_hex(KEY_BYTES))
    return _from_file(path)


def key(layout: Layout) -> StorageKey:
    """The key in use.

    Raises:
        PolicyError: there is none, other users may read it, or it does not have 256 bits.
    """
    return StorageKey.read(_configured(layout))


def given_elsewhere() -> bool:
    """Does the environment give the key or its place? Otherwise it is in the data folder."""
    given = settings()
    return any((given.storage_key, given.storage_key_vault, given.storage_key_file))


def keep(layout: Layout, other: StorageKey) -> None:
    """Replace the key in the data folder."""
    replace_bytes(layout.storage_key, other.secret.hex().encode())


def keyed_hash(layout: Layout, text: str) -> str:
    """A keyed hash of a text (HMAC-SHA256, hexadecimal)."""
    return hmac.new(key(layout).derived("marks"), text.encode(), "sha256").hexdigest()


def is_encrypted(path: Path) -> bool:
    """Is the Parquet file encrypted?"""
    if path.stat().st_size < len(ENCRYPTED_PARQUET):
        return False
    with path.open("rb") as stream:
        stream.seek(-len(ENCRYPTED_PARQUET), os.SEEK_END)
        return stream.read() == ENCRYPTED_PARQUET


def rows(connection: duckdb.DuckDBPyConnection, layout: Layout, path: Path) -> str:
    """SQL: as `StorageKey.rows`, under the key in use."""
    return key(layout).rows(connection, path)


def write_table(
    connection: duckdb.DuckDBPyConnection, layout: Layout, query: str, out: Path
) -> None:
    """As `StorageKey.write_table`, under the key in use."""
    key(layout).write_table(connection, query, out)


def write_text(layout: Layout, path: Path, text: str) -> None:
    """Replace a small encrypted file, so that a crash leaves the old one or the new one."""
    replace_bytes(path, key(layout).seal(path.name, text))


def read_text(layout: Layout, path: Path) -> str | None:
    """The text of an encrypted file; None if there is no file.

    Raises:
        PolicyError: it was changed, or is under another key.
    """
    return key(layout).unseal(path.name, path.read_bytes()) if path.exists() else None
