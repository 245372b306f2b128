"""Verification: is it gone? The stores themselves are searched, not the erasure's own notes."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import duckdb

from pipeline.classified import names
from pipeline.classified.models import RECORD_KEY
from pipeline.context import Context
from pipeline.errors import ErasureError
from pipeline.identity import models as identity
from pipeline.identity import store
from pipeline.published import gate, row_history
from pipeline.raw import landing
from pipeline.retained import past_retention
from pipeline.retained.data_inventory import UNDECLARED, entry_name, undeclared_files
from pipeline.retained.journal import Journal
from pipeline.retained.person import classified_edits_of_person, edits_of_person
from pipeline.retained.residue_scan import scan
from pipeline.retained.run_storage import RunStorage
from pipeline.storage import encryption, relations
from pipeline.storage.engine import count
from pipeline.storage.file_edit import affected
from pipeline.storage.layout import Layout
from pipeline.storage.relations import subquery
from pipeline.storage.schema import CANONICAL
from pipeline.subjects.identity import Subject


def still_past_retention(
    connection: duckdb.DuckDBPyConnection, context: Context, now: dt.datetime
) -> dict[str, int]:
    """Everything past retention that is still there and not held, by place."""
    records = past_retention.select_past_retention(connection, context, now)
    found = {"classified": count(connection, f"SELECT count(*) FROM {records} WHERE NOT held")}
    for edit in past_retention.edits(connection, context, records, now):
        name = "roster" if edit.path.name.startswith("roster") else "canonical records"
        found[name] = found.get(name, 0) + affected(connection, edit)[1]
    found["row history"] = len(row_history.past_retention(connection, context, now))
    ingested, _ = past_retention.raw_deliveries(context.layout, context.rules, now)
    found["raw deliveries"] = len(ingested)
    return found


def work_list_left(
    connection: duckdb.DuckDBPyConnection, layout: Layout, journal: Journal
) -> dict[str, int]:
    """Records of the work list that are still in the store, in any revision, by place."""
    listed = encryption.rows(connection, layout, journal.work_list)
    keys = f"SELECT record_key::UUID FROM {listed}"
    found = connection.execute(f"SELECT DISTINCT unnest(deliveries) FROM {listed}").fetchall()
    deliveries = {str(delivery) for (delivery,) in found} | {layout.rectified.name}
    files = [f for f in relations.files(layout, "records") if f.parent.parent.name in deliveries]
    rows = subquery(f"FROM {relations.parquet(files, CANONICAL)} WHERE problem IS NULL")
    canonical = f"({identity.resolved(rows, store.identifiers(layout))}) WHERE {RECORD_KEY}"
    classified = f"{relations.classified(layout)} WHERE record_key"
    return {
        "canonical records": count(connection, f"SELECT count(*) FROM {canonical} IN ({keys})"),
        "classified": count(connection, f"SELECT count(*) FROM {classified} IN ({keys})"),
    }


def rows_left(
    connection: duckdb.DuckDBPyConnection, layout: Layout, subject: Subject
) -> dict[str, int]:
    """Rows that the edits of the erasure would still change, by place: what deletes also
    verifies."""
    found: Counter[str] = Counter()
    for edit in [*edits_of_person(layout, subject), *classified_edits_of_person(layout, subject)]:
        _, deleted, blanked = affected(connection, edit)
        found[entry_name(edit.path.relative_to(layout.root).as_posix())] += deleted + blanked
    found["names"] = names.left(connection, layout, subject.people)
    found["row history"] = len(row_history.without(connection, layout, subject.ids))
    return dict(found)


def housekeeping(layout: Layout) -> dict[str, int]:
    """Undeclared files, old releases, changed release files, and files left under construction."""
    found = {f"{UNDECLARED}: {name}": 1 for name in undeclared_files(layout)}
    releases = [p for p in layout.releases.glob("*") if not p.is_symlink()]
    found["releases"] = max(0, len(releases) - 1)
    if (layout.current / gate.MANIFEST).exists():
        hashes = gate.manifest(layout)["sha256"]
        assert isinstance(hashes, dict)
        found["releases"] += sum(not gate.unchanged(layout, name) for name in hashes)
    found["work"] = sum(p.is_file() for p in layout.work.rglob("*"))
    return found


def _landing_left(layout: Layout, pattern: str) -> dict[str, int]:
    """What the scan of the data folder does not see: a landing folder elsewhere, and what links in
    it name."""
    found = {
        "links in the landing folder, to files elsewhere": landing.links_naming(layout, pattern)
    }
    if layout.landing_url is not None:
        found["raw deliveries"] = len(landing.deliveries_naming(layout, pattern))
    return found


def require_gone(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    journal: Journal,
    subject: Subject | None,
    pattern: str,
    runs: RunStorage | None,
) -> dict[str, int]:
    """What is left by place, all zero.

    Args:
        subject: the person, for the erasure of a person.
        pattern: everything that refers to the person, including pseudonyms.
        runs: where Dagster's runs are stored; None if they are not searched.

    Raises:
        ErasureError: something is left; the erasure stays open.
    """
    job = journal.job()
    found = Counter(housekeeping(context.layout))
    if subject is None:
        found.update(still_past_retention(connection, context, job.now))
    else:
        found.update(work_list_left(connection, context.layout, journal))
        found.update(rows_left(connection, context.layout, subject))
        found.update(scan(connection, context.layout, subject, pattern, leave_out=journal.folder))
        found.update(_landing_left(context.layout, pattern))
        if runs is not None:
            found.update({"Dagster": runs.hits(pattern)})
    left = {place: n for place, n in found.items() if n}
    if left:
        listed = ", ".join(f"{place} {n}" for place, n in sorted(left.items()))
        raise ErasureError(f"erasure {job.name} is not complete; still there: {listed}")
    return dict(sorted(found.items()))
