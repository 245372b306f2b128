"""Is it gone? Asked of the stores themselves, not of what the erasure believes to have done."""

from __future__ import annotations

from collections import Counter

import duckdb

from pipeline.classified.models import RECORD_KEY
from pipeline.context import Context
from pipeline.errors import ErasureError
from pipeline.published import gate
from pipeline.retained import past_retention
from pipeline.retained.data_inventory import undeclared_files
from pipeline.retained.journal import ErasureJob, Journal
from pipeline.retained.residue_scan import scan
from pipeline.retained.run_storage import RunStorage
from pipeline.storage import encryption, relations
from pipeline.storage.engine import count
from pipeline.storage.file_edit import affected
from pipeline.storage.schema import CANONICAL
from pipeline.subjects.identity import Subject


def still_due(
    connection: duckdb.DuckDBPyConnection, context: Context, order: ErasureJob
) -> dict[str, int]:
    """Everything past its window that is still there and not held, by place."""
    past_retention.select_past_retention(connection, context, order.now)
    found = {"classified": count(connection, "SELECT count(*) FROM due WHERE NOT held")}
    for edit in past_retention.edits(connection, context, order.now):
        name = "roster" if edit.path.name.startswith("roster") else "canonical records"
        found[name] = found.get(name, 0) + affected(connection, edit)[1]
    taken, _ = past_retention.raw_deliveries(context, order.now)
    found["raw deliveries"] = len(taken)
    return found


def work_list_left(
    connection: duckdb.DuckDBPyConnection, context: Context, journal: Journal
) -> dict[str, int]:
    """Records of the work list that any revision in the store still has, and that no hold keeps."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE listed AS SELECT record_key::UUID AS record_key, deliveries FROM "
        f"{encryption.rows(connection, context.layout, journal.work_list)}"
    )
    deliveries = {
        str(d)
        for (d,) in connection.sql("SELECT DISTINCT unnest(deliveries) FROM listed").fetchall()
    }
    deliveries.add("rectified")
    files = [
        f for f in relations.files(context.layout, "records") if f.parent.parent.name in deliveries
    ]
    rows = relations.parquet(files, CANONICAL)
    return {
        "canonical records": count(
            connection,
            f"SELECT count(*) FROM {rows} WHERE problem IS NULL "
            f"AND {RECORD_KEY} IN (SELECT record_key FROM listed)",
        ),
        "classified": count(
            connection,
            f"SELECT count(*) FROM {relations.classified(context.layout)} "
            "WHERE record_key IN (SELECT record_key FROM listed)",
        ),
    }


def housekeeping(context: Context) -> dict[str, int]:
    """Undeclared files, old releases, changed release files, leftovers of construction."""
    layout = context.layout
    found = {f"not on the list: {name}": 1 for name in undeclared_files(layout)}
    releases = [p for p in layout.releases.glob("*") if not p.is_symlink()]
    found["releases"] = max(0, len(releases) - 1)
    if (layout.current / gate.MANIFEST).exists():
        told = gate.manifest(layout)["sha256"]
        assert isinstance(told, dict)
        found["releases"] += sum(not gate.unchanged(layout, name) for name in told)
    found["work"] = sum(p.is_file() for p in layout.work.rglob("*"))
    return found


def require_gone(
    connection: duckdb.DuckDBPyConnection, context: Context, order: ErasureJob, journal: Journal,
    subject: Subject | None, pattern: str, runs: RunStorage | None,
) -> dict[str, int]:  # fmt: skip
    """What is left by place, all nought.

    Raises:
        ErasureError: something is left; the order stays open.
    """
    found = Counter(housekeeping(context))
    if subject is None:
        found.update(still_due(connection, context, order))
    else:
        found.update(work_list_left(connection, context, journal))
        found.update(scan(context.layout, subject, pattern, leave_out=journal.folder))
        if runs is not None:
            found.update({"Dagster": runs.hits(pattern)})
    left = {place: n for place, n in found.items() if n}
    if left:
        told = ", ".join(f"{place} {n}" for place, n in sorted(left.items()))
        raise ErasureError(f"erasure {order.name} is not complete, there is still: {told}")
    return dict(sorted(found.items()))
