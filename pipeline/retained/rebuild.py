"""After records are gone: everything that was made from them, made again where it is touched.

Only touched months of the classified and pseudonymized stores are rewritten, only audiences that
lost something are staged again, and they leave through the same gate, with the same checks, as
on any night. What is left equals what a night over the survivors would make.
"""

from __future__ import annotations

import datetime as dt
import re
import shutil
import uuid
from dataclasses import replace

import duckdb

from expectations import boundaries
from pipeline.classified import population, run_snapshot
from pipeline.classified.reference_values import write
from pipeline.context import Context
from pipeline.errors import ErasureError
from pipeline.policy.fields import Audience
from pipeline.policy.retention import RecordType
from pipeline.policy.windows import due_sql, published_until
from pipeline.pseudonymized import unchanged_months
from pipeline.pseudonymized.pseudonymize import filters, load_references, write_period
from pipeline.published import gate, publication_history, risk, risk_report
from pipeline.published.reconciliation import (
    published_rows,
    reconcile,
    unbalanced,
    write_reconciliation,
)
from pipeline.published.stage import stage_database
from pipeline.retained.journal import Journal
from pipeline.retained.past_retention import months_past_retention
from pipeline.retained.residue_scan import text_with
from pipeline.storage import encryption, relations
from pipeline.storage.engine import count
from pipeline.storage.file_edit import EditResult, FileEdit, fresh_path, same_rows, swap
from pipeline.storage.files import atomic_build, fsync
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from pipeline.storage.schema import CLASSIFIED
from pipeline.storage.sql import literal
from pipeline.subjects.restrictions import make_restrictions


def small_departments(connection: duckdb.DuckDBPyConnection, context: Context) -> list[FileEdit]:
    """Departments that fell below k people are departments no more, in no month; asks the census
    on the connection."""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE fallen AS SELECT department FROM {population.PEOPLE} "
        "WHERE department IS NOT NULL GROUP BY department "
        f"HAVING count(DISTINCT person) < {context.data_map.least_people}"
    )
    if not count(connection, "SELECT count(*) FROM fallen"):
        return []
    return [
        FileEdit(path, set_null_where={"department": "department IN (FROM fallen)"})
        for path in relations.period_files(context.layout.classified)
    ]


def _expired(
    connection: duckdb.DuckDBPyConnection, context: Context, audience: Audience,
    then: dt.datetime, until: dt.datetime,
) -> set[str]:  # fmt: skip
    """Months in which some row was to be published, and is not any more."""
    if then == until:
        return set()
    before = due_sql(context.rules, context.data_map, then, audience)
    after = due_sql(context.rules, context.data_map, until, audience)
    return {
        path.parent.name
        for record in RecordType
        for path in months_past_retention(context, until, record, audience)
        if count(
            connection,
            f"SELECT count(*) FROM {relations.parquet([path], CLASSIFIED)} "
            f"WHERE record_type = {literal(record)} AND ({after}) AND NOT ({before})",
        )
    }


def _remake(
    connection: duckdb.DuckDBPyConnection, context: Context, audience: Audience, due: str,
    period: str, journal: Journal,
) -> bool:  # fmt: skip
    """Make one month of one audience again; true if that changed it."""
    layout = context.layout
    classified = relations.classified(layout, period)
    path = unchanged_months.file(layout.pseudonymized_for(audience), period)
    fresh = fresh_path(layout, path)
    write_period(connection, classified, audience, due, fresh)
    passing = " AND ".join(filters(audience, due).values())
    expected = count(connection, f"SELECT count(*) FROM {classified} WHERE {passing}")
    rows = count(connection, f"SELECT count(*) FROM {literal(fresh)}")
    if rows != expected:
        raise ErasureError(f"{audience.value}: a month made again does not hold the survivors")
    old = file_sha256(path) if path.exists() else ""
    # What came by an exchange has the same rows in other pages.
    if old and (old == file_sha256(fresh) or same_rows(connection, path, fresh)):
        fresh.unlink()
        return False
    before = count(connection, f"SELECT count(*) FROM {literal(path)}") if old else 0
    journal.record_edit(EditResult(path.relative_to(layout.root).as_posix(), before, rows, 0, old,
                            file_sha256(fresh)))  # fmt: skip
    swap(fresh, path)
    return True


def rebuild_pseudonymized(
    connection: duckdb.DuckDBPyConnection, context: Context, months: set[str], now: dt.datetime,
    journal: Journal,
) -> None:  # fmt: skip
    """Make the touched months of every audience again, then move the store's moment to `now`.

    What the last night did not publish, because it would soon be due, is in none of these months.
    """
    layout = context.layout
    make_restrictions(connection, context)
    made = run_snapshot.read(layout)
    until = made.until if now <= made.until else published_until(context.rules, now)
    for audience in Audience:
        if not layout.references(audience).exists():
            # No night has come so far: there is nothing under a pseudonym.
            continue
        due = due_sql(context.rules, context.data_map, until, audience)
        load_references(connection, layout, audience)
        expired = _expired(connection, context, audience, made.until, until)
        for period in sorted(months | expired):
            _remake(connection, context, audience, due, period, journal)
    fresh = layout.work / "basis.fresh"
    fresh.write_text(replace(made, as_of=now, until=until).text(), "utf-8")
    swap(fresh, layout.classified / run_snapshot.NAME)


def forget_identities(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Drop the vault's entries of people that no classified row names any more."""
    layout = context.layout
    population.load(connection, layout)
    unnamed = f"ANTI JOIN {population.PEOPLE} USING (person)"
    for audience in Audience:
        path = layout.references(audience)
        if not path.exists():
            continue
        rows = encryption.rows(connection, layout, path)
        if count(connection, f"SELECT count(*) FROM {rows} {unnamed}"):
            fresh = fresh_path(layout, path)
            living = f"FROM {rows} SEMI JOIN {population.PEOPLE} USING (person) ORDER BY ref"
            encryption.write_table(connection, layout, living, fresh)
            swap(fresh, path)


def rebuild_reference_values(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Make the leak checks' comparison file again; its deny-list names people."""
    layout = context.layout
    with atomic_build(layout.reference_values, layout.work) as beside:
        write(connection, context, beside)
    fsync(layout.vault)


def publish_survivors(connection: duckdb.DuckDBPyConnection, context: Context, order: str) -> None:
    """Release the survivors through the gate; audiences that lost nothing keep their very file.

    Raises:
        ErasureError: a check failed or the counts do not reconcile; the old release stays.
    """
    layout, data_map = context.layout, context.data_map
    if not (layout.current / gate.MANIFEST).exists():
        return
    current, changed = gate.manifest(layout), changed_audiences(connection, context)
    if changed and current.get("erasure") != order:
        partition = str(current["partition"])
        shutil.rmtree(layout.staged(partition), ignore_errors=True)
        layout.staged(partition).mkdir(parents=True, mode=0o700)
        for audience in Audience:
            if audience in changed:
                stage_database(connection, context, audience, partition, publish_new=False)
        gate.carry_over(layout, data_map, partition)
        failed = [
            table
            for table, spec in data_map.published.items()
            if spec.audience in changed and not boundaries.sealed(context, partition, table).passed
        ]
        if failed:
            raise ErasureError(f"checks failed on the survivors of {', '.join(failed)}")
        counts = reconcile(connection, context, partition)
        if odd := unbalanced(counts):
            raise ErasureError(f"the remaining records do not reconcile: {', '.join(odd)}")
        write_reconciliation(layout, partition, counts)
        found = risk.measure(connection, context, partition, counts)
        risk_report.write(found, context.disclosure, partition, layout.staged(partition))
        if Audience.COACHING in changed:
            publication_history.record(connection, context, partition)
        # A name of its own: the folder that readers have open is never the one being filled.
        gate.release(context, partition, uuid.uuid4().hex, published_rows(counts), erasure=order)
    gate.remove_old(layout)


def changed_audiences(connection: duckdb.DuckDBPyConnection, context: Context) -> set[Audience]:
    """Purposes of which the release shows something that is not to be shown any more: made from
    other pseudonymized rows, or, for coaching, told of a period or a team that is gone."""
    layout = context.layout
    made_from = gate.manifest(layout).get("made_from", {})
    assert isinstance(made_from, dict)
    changed: set[Audience] = {
        p
        for p in Audience
        if p is not Audience.COACHING and made_from.get(p.value) != gate.made_from(layout, p)
    }
    if publication_history.outdated(connection, context):
        changed.add(Audience.COACHING)
    return changed


def empty_work(layout: Layout) -> None:
    """Nothing under construction outlives an erasure: staged tables, spill, fresh files."""
    for path in layout.work.glob("*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    for path in layout.root.rglob(".*.beside"):
        path.unlink()


def months(connection: duckdb.DuckDBPyConnection, query: str) -> set[str]:
    """Folders of the periods that a query of one column gives."""
    return {f"period={month}" for (month,) in connection.sql(query).fetchall()}


def classified_edits(context: Context, touched: set[str], gone: str) -> list[FileEdit]:
    """The files of some months, with the rows that go."""
    return [
        FileEdit(path, gone)
        for path in relations.period_files(context.layout.classified)
        if path.parent.name in touched
    ]


def forget_packages(layout: Layout, pattern: str) -> None:
    """Remove answers to access requests that name the person."""
    compiled = re.compile(pattern.encode())
    for folder in layout.vault.glob("packages/*"):
        if any(text_with(layout, path, compiled) for path in folder.rglob("*") if path.is_file()):
            shutil.rmtree(folder)
