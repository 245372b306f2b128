"""Tables as Parquet with modular encryption (AES-256-GCM, footer and all columns).

pyarrow writes them and opens them for DuckDB's queries, which still read only the columns and row
groups that they need; nothing is decrypted to a file. DuckDB 2.0 itself cannot write encrypted
files without an extension that it has to download, and fails with a wrong tag when it filters
files that others wrote.
"""

from __future__ import annotations

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from pyarrow.parquet.encryption import create_decryption_properties, create_encryption_properties

from pipeline.errors import EngineError
from pipeline.storage.sql import identifier

KEY_BYTES = 32
GROUP = 122_880  # rows; DuckDB's own row group


def read(connection: duckdb.DuckDBPyConnection, key: bytes, url: str) -> str:
    """SQL: the relation of an encrypted table, which this registers with the connection.

    Args:
        key: 256 bits.
        url: a path or an fsspec URL, of a file or of a folder of files.

    Raises:
        EngineError: it does not exist, is not encrypted, was changed, is under another key, or
            its files have different columns.
    """
    # Loaded here: it brings pandas, and most commands read no encrypted table.
    import pyarrow.dataset as ds

    system, path = fsspec.core.url_to_fs(url)
    options = ds.ParquetFragmentScanOptions(decryption_properties=create_decryption_properties(key))
    try:
        table = ds.dataset(
            path,
            format=ds.ParquetFileFormat(default_fragment_scan_options=options),
            # pyarrow reads local files itself, without Python in between.
            filesystem=None if isinstance(system, LocalFileSystem) else system,
        )
        # For a folder, pyarrow assumes that all files have the columns of the first.
        others = list(table.get_fragments())[1:]
        alike = all(one.physical_schema.equals(table.schema) for one in others)
    except (OSError, pa.ArrowInvalid):
        raise EngineError(
            f"encrypted table {_name(path)}: it cannot be opened with this key"
        ) from None
    if not alike:
        raise EngineError(f"encrypted table {_name(path)}: its files have different columns")
    connection.register(f"encrypted {url}", table)
    return identifier(f"encrypted {url}")


def write(connection: duckdb.DuckDBPyConnection, key: bytes, query: str, url: str) -> None:
    """Write a query's rows, in its order; arguments as `read`."""
    # Otherwise a UUID would be read back as text.
    connection.execute("SET arrow_lossless_conversion = true")
    batches = connection.sql(query).to_arrow_reader(GROUP)
    properties = create_encryption_properties(key)
    with (
        fsspec.open(url, "wb") as stream,
        pq.ParquetWriter(
            stream, batches.schema, compression="zstd", encryption_properties=properties
        ) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1].removesuffix(".parquet")
