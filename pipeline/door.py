"""The one place where published tables are read. The detailed view is closed by default."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline import access
from pipeline.engine import engine, identifier
from pipeline.layout import Layout
from pipeline.policy.base import PolicyError
from pipeline.policy.data_map import DataMap, Published, Purpose


@dataclass(frozen=True)
class Page:
    """Rows of a published table, and how many there are in all."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    total: int


def read(
    layout: Layout, data_map: DataMap, table: str, limit: int, manager: str | None = None
) -> Page:
    """The first rows of one published table; of a manager's extract, that manager's rows only.

    Raises:
        PolicyError: unknown table, nothing published, an extract without its manager, or the
            HR/legal detail, which has no opening without a stated purpose and a sign-off.
    """
    spec = _open(layout, data_map, table)
    if spec.purpose is Purpose.MANAGER and manager is None:
        access.note(layout, table, spec.purpose.value, (), decision="refused: no manager named")
        raise PolicyError(f"{table}: holds one manager's reports at a time; name the manager_ref")
    chosen = "WHERE manager_ref = $manager" if spec.purpose is Purpose.MANAGER else ""
    bound = {"manager": manager} if chosen else {}
    database = layout.current / f"{spec.database}.duckdb"
    columns = ", ".join(identifier(column) for column in spec.columns)
    with engine(layout.work, database, read_only=True) as connection:
        relation = f"FROM {identifier(table)} {chosen}"
        ((total,),) = connection.execute(f"SELECT count(*) {relation}", bound).fetchall()
        rows = connection.execute(
            f"SELECT {columns} {relation} LIMIT {int(limit)}", bound
        ).fetchall()
    if spec.k is None:
        at = spec.columns.index("learner_ref")
        refs = (str(row[at]) for row in rows)
        access.note(layout, table, spec.purpose.value, refs, fields=spec.columns, rows=len(rows))
    return Page(spec.columns, rows, int(total))


def managers(layout: Layout, data_map: DataMap, table: str) -> list[str]:
    """The references of all managers who have an extract, those with most reports first.

    Raises:
        PolicyError: as `read`.
    """
    spec = _open(layout, data_map, table)
    with engine(layout.work, layout.current / f"{spec.database}.duckdb", read_only=True) as c:
        found = c.sql(
            f"SELECT manager_ref FROM {identifier(table)} GROUP BY manager_ref "
            "ORDER BY count(DISTINCT learner_ref) DESC, manager_ref"
        ).fetchall()
    return [str(ref) for (ref,) in found]


def _open(layout: Layout, data_map: DataMap, table: str) -> Published:
    spec = data_map.published.get(table)
    if spec is None:
        raise PolicyError(f"no published table of that name; there are "
                          f"{', '.join(data_map.published)}")  # fmt: skip
    if spec.purpose is Purpose.HR_LEGAL:
        access.note(layout, table, spec.purpose.value, (), decision="refused: closed")
        raise PolicyError(f"{table}: closed. It opens only to a stated purpose with a sign-off.")
    if not (layout.current / f"{spec.database}.duckdb").exists():
        raise PolicyError("nothing is published yet")
    return spec
