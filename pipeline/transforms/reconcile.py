"""Counts from raw to published: in = quarantined + superseded + suppressed + published.

Every term is counted by itself from the stored data, none is a difference of others, so the
equation can fail, and then the run does.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

import duckdb

from pipeline.engine import count, identifier, literal
from pipeline.layout import Layout, built_beside
from pipeline.policy.data_map import DataMap, Published, Purpose
from pipeline.policy.retention import RetentionRules
from pipeline.policy.windows import due_sql
from pipeline.subjects.withheld import make_withheld
from pipeline.transforms import basis, kept
from pipeline.transforms.classify import SUPERSEDED
from pipeline.transforms.pseudonymize import filters
from pipeline.transforms.publish import CELL
from pipeline.transforms.stored import classified, pseudonymized, records, rejects


@dataclass(frozen=True)
class TableCount:
    """One table's way from raw to published, in records.

    `suppressed` is by reason: withheld by policy (sensitive course, message, no manager), without
    a value for the cell, or in a cell of fewer than k people.
    """

    table: str
    received: int
    quarantined: int
    superseded: int
    suppressed: dict[str, int] = field(default_factory=dict)
    published: int = 0

    @property
    def holds(self) -> bool:
        told = self.quarantined + self.superseded + sum(self.suppressed.values()) + self.published
        return told == self.received

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "holds": self.holds}


def write_story(layout: Layout, partition: str, counts: list[TableCount]) -> None:
    """Store a night's counts."""
    with built_beside(layout.reconciliation / f"{partition}.json", layout.work) as beside:
        beside.write_text(json.dumps([one.as_dict() for one in counts], indent=1), "utf-8")


def _withheld(
    connection: duckdb.DuckDBPyConnection, rows: str, purpose: Purpose, due: str
) -> dict[str, int]:
    """Classified rows that the purpose may not see, by the first filter that withholds them."""
    branches = " ".join(
        f"WHEN NOT coalesce({test}, false) THEN {literal(reason)}"
        for reason, test in filters(purpose, due).items()
    )
    found = connection.sql(
        f"SELECT CASE {branches} END AS reason, count(*) FROM {rows} "
        "GROUP BY reason HAVING reason IS NOT NULL ORDER BY reason"
    ).fetchall()
    return {str(reason): int(rows) for reason, rows in found}


def _cells(
    connection: duckdb.DuckDBPyConnection, layout: Layout, table: str, spec: Published, rows: str
) -> dict[str, int]:
    cell = CELL[table]
    told = {}
    if table == kept.TABLE:
        apart = f"{cell} IN {kept.months(layout)}"
        told["month kept as aggregate"] = count(
            connection, f"SELECT count(*) FROM {rows} WHERE {apart}"
        )
        rows = f"(FROM {rows} WHERE NOT coalesce({apart}, false))"
    return told | {
        "no cell": count(connection, f"SELECT count(*) FROM {rows} WHERE {cell} IS NULL"),
        f"fewer than {spec.k} people": count(
            connection,
            f"SELECT sum(n) FROM (SELECT count(*) AS n FROM {rows} "
            f"WHERE {cell} IS NOT NULL GROUP BY {cell} "
            f"HAVING count(DISTINCT learner_ref) < {spec.k})",
        ),
    }


def reconcile(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    data_map: DataMap,
    rules: RetentionRules,
    partition: str,
) -> list[TableCount]:
    """Count every staged table's way, over all drops in the store."""
    make_withheld(connection, layout)
    now = basis.read(layout).as_of
    rows = records(layout)
    lines = count(connection, f"SELECT count(*) FROM {rejects(layout)}")
    total = count(connection, f"SELECT count(*) FROM {rows}")
    bad = count(connection, f"SELECT count(*) FROM {rows} WHERE problem IS NOT NULL")
    superseded = count(connection, SUPERSEDED.format(rows=rows))
    withheld = {
        p: _withheld(connection, classified(layout), p, due_sql(rules, data_map, now, p))
        for p in Purpose
    }
    counts = []
    for table, spec in data_map.published.items():
        suppressed = dict(withheld[spec.purpose])
        if spec.k:
            suppressed |= _cells(
                connection, layout, table, spec, pseudonymized(layout, spec.purpose)
            )
        database = layout.staged(partition) / f"{spec.database}.duckdb"
        told = "sum(records)" if spec.k else "count(*)"
        connection.execute(f"ATTACH {literal(database)} AS counted (READ_ONLY)")
        own = f"WHERE period NOT IN {kept.months(layout)}" if table == kept.TABLE else ""
        published = count(connection, f"SELECT {told} FROM counted.{identifier(table)} {own}")
        connection.execute("DETACH counted")
        counts.append(
            TableCount(table, total + lines, bad + lines, superseded, suppressed, published)
        )
    return counts
