"""Is it gone? Asked of the stores themselves, not of what the erasure believes to have done."""

from __future__ import annotations

from collections import Counter

import duckdb

from pipeline.classified.classify import MILESTONE
from pipeline.context import Ground
from pipeline.published import gate
from pipeline.raw.readers import canonical
from pipeline.retained import past_retention
from pipeline.retained.data_inventory import strangers
from pipeline.retained.journal import Journal, Order
from pipeline.retained.residue_scan import sweep
from pipeline.retained.run_storage import RunStorage
from pipeline.storage import encryption, relations
from pipeline.storage.engine import count
from pipeline.storage.file_edit import ErasureError, affected
from pipeline.subjects.identity import Subject


def still_due(
    connection: duckdb.DuckDBPyConnection, ground: Ground, order: Order
) -> dict[str, int]:
    """Everything past its window that is still there and not held, by place."""
    past_retention.select_due(connection, ground, order.now)
    found = {"classified": count(connection, "SELECT count(*) FROM due WHERE NOT held")}
    for stroke in past_retention.strokes(connection, ground, order.now):
        name = "roster" if stroke.path.name.startswith("roster") else "canonical records"
        found[name] = found.get(name, 0) + affected(connection, stroke)[1]
    taken, _ = past_retention.raw_drops(ground, order.now)
    found["raw drops"] = len(taken)
    return found


def work_list_left(
    connection: duckdb.DuckDBPyConnection, ground: Ground, journal: Journal
) -> dict[str, int]:
    """Records of the work list that any revision in the store still has, and that no hold keeps."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE listed AS SELECT milestone::UUID AS milestone, drops FROM "
        f"{encryption.rows(connection, ground.layout, journal.work_list)}"
    )
    drops = {
        str(d) for (d,) in connection.sql("SELECT DISTINCT unnest(drops) FROM listed").fetchall()
    }
    drops.add("rectified")
    files = [f for f in relations.files(ground.layout, "records") if f.parent.parent.name in drops]
    rows = relations.parquet(files, canonical.COLUMNS)
    return {
        "canonical records": count(
            connection,
            f"SELECT count(*) FROM {rows} WHERE problem IS NULL "
            f"AND {MILESTONE} IN (SELECT milestone FROM listed)",
        ),
        "classified": count(
            connection,
            f"SELECT count(*) FROM {relations.classified(ground.layout)} "
            "WHERE milestone IN (SELECT milestone FROM listed)",
        ),
    }


def housekeeping(ground: Ground) -> dict[str, int]:
    """Undeclared files, old releases, changed release files, leftovers of construction."""
    layout = ground.layout
    found = {f"not on the list: {name}": 1 for name in strangers(layout)}
    releases = [p for p in layout.releases.glob("*") if not p.is_symlink()]
    found["releases"] = max(0, len(releases) - 1)
    if (layout.current / gate.MANIFEST).exists():
        told = gate.manifest(layout)["sha256"]
        assert isinstance(told, dict)
        found["releases"] += sum(not gate.unchanged(layout, name) for name in told)
    found["work"] = sum(p.is_file() for p in layout.work.rglob("*"))
    return found


def require_gone(
    connection: duckdb.DuckDBPyConnection, ground: Ground, order: Order, journal: Journal,
    subject: Subject | None, pattern: str, runs: RunStorage | None,
) -> dict[str, int]:  # fmt: skip
    """What is left by place, all nought.

    Raises:
        ErasureError: something is left; the order stays open.
    """
    found = Counter(housekeeping(ground))
    if subject is None:
        found.update(still_due(connection, ground, order))
    else:
        found.update(work_list_left(connection, ground, journal))
        found.update(sweep(ground.layout, subject, pattern, leave_out=journal.folder))
        if runs is not None:
            found.update({"Dagster": runs.hits(pattern)})
    left = {place: n for place, n in found.items() if n}
    if left:
        told = ", ".join(f"{place} {n}" for place, n in sorted(left.items()))
        raise ErasureError(f"erasure {order.name} is not complete, there is still: {told}")
    return dict(sorted(found.items()))
