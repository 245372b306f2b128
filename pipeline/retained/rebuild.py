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
from pipeline.classified.reference_values import write_known
from pipeline.context import Ground
from pipeline.policy.fields import Purpose
from pipeline.policy.retention import RecordType
from pipeline.policy.windows import due_sql, published_until
from pipeline.pseudonymized import unchanged_months
from pipeline.pseudonymized.pseudonymize import filters, load_references, write_period
from pipeline.published import gate, publication_history, risk, risk_report
from pipeline.published.gate import digest
from pipeline.published.reconciliation import reconcile, write_story
from pipeline.published.stage import stage_database
from pipeline.retained.journal import Journal
from pipeline.retained.past_retention import months_due
from pipeline.retained.residue_scan import text_with
from pipeline.storage import encryption, relations
from pipeline.storage.engine import count, literal
from pipeline.storage.file_edit import Done, ErasureError, Stroke, fresh_path, same_rows, swap
from pipeline.storage.layout import Layout, built_beside, settle
from pipeline.subjects.restrictions import make_withheld


def small_departments(connection: duckdb.DuckDBPyConnection, ground: Ground) -> list[Stroke]:
    """Departments that fell below k people are departments no more, in no month; asks the census
    on the connection."""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE fallen AS SELECT department FROM {population.PEOPLE} "
        "WHERE department IS NOT NULL GROUP BY department "
        f"HAVING count(DISTINCT person) < {ground.data_map.least_people}"
    )
    if not count(connection, "SELECT count(*) FROM fallen"):
        return []
    return [
        Stroke(path, blank={"department": "department IN (FROM fallen)"})
        for path in relations.period_files(ground.layout.classified)
    ]


def _expired(
    connection: duckdb.DuckDBPyConnection, ground: Ground, purpose: Purpose,
    then: dt.datetime, until: dt.datetime,
) -> set[str]:  # fmt: skip
    """Months in which some row was to be published, and is not any more."""
    if then == until:
        return set()
    before = due_sql(ground.rules, ground.data_map, then, purpose)
    after = due_sql(ground.rules, ground.data_map, until, purpose)
    return {
        path.parent.name
        for record in RecordType
        for path in months_due(ground, until, record, purpose)
        if count(
            connection,
            f"SELECT count(*) FROM {relations.parquet([path], relations.CLASSIFIED)} "
            f"WHERE record_type = {literal(record)} AND ({after}) AND NOT ({before})",
        )
    }


def _remake(
    connection: duckdb.DuckDBPyConnection, ground: Ground, purpose: Purpose, due: str,
    period: str, journal: Journal,
) -> bool:  # fmt: skip
    """Make one month of one purpose again; true if that changed it."""
    layout = ground.layout
    classified = relations.classified(layout, period)
    path = unchanged_months.file(layout.pseudonymized_for(purpose), period)
    fresh = fresh_path(layout, path)
    write_period(connection, classified, purpose, due, fresh)
    passing = " AND ".join(filters(purpose, due).values())
    expected = count(connection, f"SELECT count(*) FROM {classified} WHERE {passing}")
    rows = count(connection, f"SELECT count(*) FROM {literal(fresh)}")
    if rows != expected:
        raise ErasureError(f"{purpose.value}: a month made again does not hold the survivors")
    old = digest(path) if path.exists() else ""
    # What came by an exchange has the same rows in other pages.
    if old and (old == digest(fresh) or same_rows(connection, path, fresh)):
        fresh.unlink()
        return False
    before = count(connection, f"SELECT count(*) FROM {literal(path)}") if old else 0
    journal.write_down(Done(path.relative_to(layout.root).as_posix(), before, rows, 0, old,
                            digest(fresh)))  # fmt: skip
    swap(fresh, path)
    return True


def remake_pseudonymized(
    connection: duckdb.DuckDBPyConnection, ground: Ground, months: set[str], now: dt.datetime,
    journal: Journal,
) -> None:  # fmt: skip
    """Make the touched months of every purpose again, then move the store's moment to `now`.

    What the last night did not publish, because it would soon be due, is in none of these months.
    """
    layout = ground.layout
    make_withheld(connection, ground)
    made = run_snapshot.read(layout)
    until = made.until if now <= made.until else published_until(ground.rules, now)
    for purpose in Purpose:
        if not layout.references(purpose).exists():
            # No night has come so far: there is nothing under a pseudonym.
            continue
        due = due_sql(ground.rules, ground.data_map, until, purpose)
        load_references(connection, layout, purpose)
        expired = _expired(connection, ground, purpose, made.until, until)
        for period in sorted(months | expired):
            _remake(connection, ground, purpose, due, period, journal)
    fresh = layout.work / "basis.fresh"
    fresh.write_text(replace(made, as_of=now, until=until).text(), "utf-8")
    swap(fresh, layout.classified / run_snapshot.NAME)


def forget_identities(connection: duckdb.DuckDBPyConnection, ground: Ground) -> None:
    """Drop the vault's entries of people that no classified row names any more."""
    layout = ground.layout
    population.load(connection, layout)
    unnamed = f"ANTI JOIN {population.PEOPLE} USING (person)"
    for purpose in Purpose:
        path = layout.references(purpose)
        if not path.exists():
            continue
        rows = encryption.rows(connection, layout, path)
        if count(connection, f"SELECT count(*) FROM {rows} {unnamed}"):
            fresh = fresh_path(layout, path)
            living = f"FROM {rows} SEMI JOIN {population.PEOPLE} USING (person) ORDER BY ref"
            encryption.write_table(connection, layout, living, fresh)
            swap(fresh, path)


def remake_known(connection: duckdb.DuckDBPyConnection, ground: Ground) -> None:
    """Make the leak checks' comparison file again; its deny-list names people."""
    layout = ground.layout
    with built_beside(layout.known, layout.work) as beside:
        write_known(connection, ground, beside)
    settle(layout.vault)


def publish_survivors(connection: duckdb.DuckDBPyConnection, ground: Ground, order: str) -> None:
    """Release the survivors through the gate; audiences that lost nothing keep their very file.

    Raises:
        ErasureError: a check failed or the counts do not reconcile; the old release stays.
    """
    layout, data_map = ground.layout, ground.data_map
    if not (layout.current / gate.MANIFEST).exists():
        return
    current, changed = gate.manifest(layout), changed_audiences(connection, ground)
    if changed and current.get("erasure") != order:
        partition = str(current["partition"])
        shutil.rmtree(layout.staged(partition), ignore_errors=True)
        layout.staged(partition).mkdir(parents=True, mode=0o700)
        for purpose in Purpose:
            if purpose in changed:
                stage_database(connection, ground, purpose, partition, tell=False)
        gate.carry_over(layout, data_map, partition)
        failed = [
            table
            for table, spec in data_map.published.items()
            if spec.purpose in changed and not boundaries.sealed(ground, partition, table).passed
        ]
        if failed:
            raise ErasureError(f"checks failed on the survivors of {', '.join(failed)}")
        counts = reconcile(connection, ground, partition)
        torn = [one.table for one in counts if not one.holds]
        if torn:
            raise ErasureError(f"survivors do not reconcile: {', '.join(torn)}")
        write_story(layout, partition, counts)
        found = risk.measure(connection, ground, partition, counts)
        risk_report.write(found, ground.disclosure, partition, layout.staged(partition))
        rows = {one.table: one.published for one in counts}
        if Purpose.COACHING in changed:
            publication_history.remember(connection, ground, partition)
        # A name of its own: the folder that readers have open is never the one being filled.
        gate.release(ground, partition, uuid.uuid4().hex, rows, erasure=order)
    gate.remove_old(layout)


def changed_audiences(connection: duckdb.DuckDBPyConnection, ground: Ground) -> set[Purpose]:
    """Purposes of which the release shows something that is not to be shown any more: made from
    other pseudonymized rows, or, for coaching, told of a period or a team that is gone."""
    layout = ground.layout
    made_from = gate.manifest(layout).get("made_from", {})
    assert isinstance(made_from, dict)
    changed: set[Purpose] = {
        p
        for p in Purpose
        if p is not Purpose.COACHING and made_from.get(p.value) != gate.made_from(layout, p)
    }
    if publication_history.outdated(connection, ground):
        changed.add(Purpose.COACHING)
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


def classified_strokes(ground: Ground, touched: set[str], gone: str) -> list[Stroke]:
    """The files of some months, with the rows that go."""
    return [
        Stroke(path, gone)
        for path in relations.period_files(ground.layout.classified)
        if path.parent.name in touched
    ]


def forget_packages(layout: Layout, pattern: str) -> None:
    """Remove answers to access requests that name the person."""
    compiled = re.compile(pattern.encode())
    for folder in layout.vault.glob("packages/*"):
        if any(text_with(layout, path, compiled) for path in folder.rglob("*") if path.is_file()):
            shutil.rmtree(folder)
