"""The one place where published tables are read. The detailed view is closed by default."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.engine import engine, identifier
from pipeline.layout import Layout
from pipeline.policy.data_map import DataMap, PolicyError, Purpose


@dataclass(frozen=True)
class Page:
    """Rows of a published table, and how many there are in all."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    total: int


def read(layout: Layout, data_map: DataMap, table: str, limit: int) -> Page:
    """The first rows of one published table.

    Raises:
        PolicyError: unknown table, nothing published, or the HR/legal detail, which has no
            opening without a stated purpose and a sign-off.
    """
    spec = data_map.published.get(table)
    if spec is None:
        raise PolicyError(f"no published table of that name; there are "
                          f"{', '.join(data_map.published)}")  # fmt: skip
    if spec.purpose is Purpose.HR_LEGAL:
        raise PolicyError(f"{table}: closed. It opens only to a stated purpose with a sign-off.")
    database = layout.current / f"{spec.database}.duckdb"
    if not database.exists():
        raise PolicyError("nothing is published yet")
    with engine(layout.work, database, read_only=True) as connection:
        name = identifier(table)
        ((total,),) = connection.sql(f"SELECT count(*) FROM {name}").fetchall()
        columns = ", ".join(identifier(column) for column in spec.columns)
        rows = connection.sql(f"SELECT {columns} FROM {name} LIMIT {int(limit)}").fetchall()
    return Page(spec.columns, rows, int(total))
