"""Opening what is encrypted at rest, with the key from its file and none of the product's code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pyarrow.parquet import encryption


def derived(key: str, use: str) -> bytes:
    """The key of one use, of a storage key as it is written down."""
    return HKDF(SHA256(), 32, None, f"milestones {use}".encode()).derive(bytes.fromhex(key))


def _key(home: Path, use: str) -> bytes:
    return derived((home / "vault" / "storage.key").read_text(), use)


def text_of(home: Path, path: Path) -> str:
    output = path.read_bytes()
    return (
        AESGCM(_key(home, "texts")).decrypt(output[:12], output[12:], path.name.encode()).decode()
    )


def relation(connection: duckdb.DuckDBPyConnection, home: Path, path: Path) -> str:
    """SQL: the rows of a Parquet file, encrypted or not, or of a folder of encrypted ones."""
    files = months(path) if path.is_dir() else [path]
    if not files[0].read_bytes().endswith(b"PARE"):
        return f"read_parquet('{path}')"
    key = encryption.create_decryption_properties(_key(home, "tables"))
    table = pa.concat_tables(pq.ParquetFile(one, decryption_properties=key).read() for one in files)
    connection.register(f"read {path}", table)
    return f'"read {path}"'


def months(folder: Path) -> list[Path]:
    """The files of a published table that lies by month."""
    return sorted(folder.glob("*.parquet"))


def attach(connection: duckdb.DuckDBPyConnection, home: Path, path: Path, name: str) -> None:
    """A released file's tables as `{name}.{table}`."""
    if path.suffix == ".duckdb":
        connection.execute(f"ATTACH '{path}' AS {name} (READ_ONLY)")
    else:
        connection.execute(f"ATTACH ':memory:' AS {name}")
        connection.execute(
            f"CREATE VIEW {name}.{path.stem} AS FROM {relation(connection, home, path)}"
        )


def released_files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.duckdb"), *folder.glob("*.parquet")])


@contextmanager
def released(home: Path, folder: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with every released file attached under its name and `_db`."""
    with duckdb.connect() as connection:
        for path in released_files(folder or home / "releases" / "current"):
            attach(connection, home, path, f"{path.stem}_db")
        yield connection


def everything(home: Path, path: Path) -> str:
    """All rows of a Parquet or DuckDB file, as one text, in an order of their own."""
    with duckdb.connect() as c:
        return everything_in(c, home, path)


def everything_in(connection: duckdb.DuckDBPyConnection, home: Path, path: Path) -> str:
    """As `everything`, by a connection that is there."""
    if path.suffix == ".parquet":
        rows = relation(connection, home, path)
        return str(connection.execute(f"FROM {rows} ORDER BY ALL").fetchall())
    connection.execute(f"ATTACH '{path}' AS d (READ_ONLY)")
    try:
        names = connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = 'd' ORDER BY ALL"
        ).fetchall()
        tables = [f"FROM d.{name} ORDER BY ALL" for (name,) in names]
        return str([connection.execute(rows).fetchall() for rows in tables])
    finally:
        connection.execute("DETACH d")


def texts(home: Path) -> dict[str, str]:
    """Everything that a data folder stores in a form which bytes do not show, by relative path."""
    found = {}
    with duckdb.connect() as c:
        for path in home.rglob("*"):
            name = path.relative_to(home).as_posix()
            if path.suffix == ".enc":
                found[name] = text_of(home, path)
            elif path.suffix in (".parquet", ".duckdb") and path.is_file():
                found[name] = everything_in(c, home, path)
    return found


@contextmanager
def altered(home: Path, path: Path, table: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that can change a staged table; what it did is in the file afterwards."""
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path)) as connection:
            yield connection
        return
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE {table} AS FROM {relation(connection, home, path)}")
        yield connection
        key = encryption.create_encryption_properties(_key(home, "tables"))
        for n, month in enumerate(months(path)):
            # All rows in the first one; the others stay, as there have to be as many.
            rows = connection.sql(f"FROM {table} WHERE {n} = 0").to_arrow_table()
            pq.write_table(rows, month, encryption_properties=key)


@contextmanager
def put_back(path: Path) -> Iterator[None]:
    """Have a file, or those of a folder, as they are now after the block."""
    clean = {one: one.read_bytes() for one in (path.iterdir() if path.is_dir() else [path])}
    try:
        yield
    finally:
        for one, content in clean.items():
            one.write_bytes(content)


def references(home: Path, person: str | None = None) -> set[str]:
    """Pseudonyms that the vault knows, of everybody or of one person."""
    found = set()
    with duckdb.connect() as c:
        for path in (home / "vault").glob("identities-*.parquet"):
            rows = c.execute(f"SELECT person, ref FROM {relation(c, home, path)}").fetchall()
            found |= {str(ref) for who, ref in rows if person in (None, who)}
    return found
