"""After records are erased: rebuilding what was made from them, where it is affected.

Only the months affected are rewritten in the classified and pseudonymized stores, only audiences
that lost something are staged again, and they pass through the same gate, with the same checks, as
in any run. The result equals what a run over the remaining records would make.
"""

from __future__ import annotations

import datetime as dt
import re
import shutil
import uuid
from dataclasses import replace
from pathlib import Path

import duckdb

from expectations.published import validate_and_seal
from pipeline.access.corrections import SignedCorrection
from pipeline.classified import population, run_snapshot
from pipeline.classified.reference_values import write
from pipeline.classified.sensitivity import fingerprint_of_hidden
from pipeline.context import Context
from pipeline.errors import ErasureError
from pipeline.policy.fields import Audience
from pipeline.policy.retention import RecordType
from pipeline.policy.windows import Cutoffs, make_cutoffs, published_until, with_due
from pipeline.pseudonymized import unchanged_months
from pipeline.pseudonymized.pseudonymize import (
    eligible_rows,
    load_references,
    period_names,
    write_period,
)
from pipeline.pseudonymized.training_states import make_states
from pipeline.published import gate, publication_history, risk, risk_report, row_history
from pipeline.published.reconciliation import (
    published_rows,
    reconcile,
    unbalanced,
    write_reconciliation,
)
from pipeline.published.stage import stage_database
from pipeline.retained import course_tags
from pipeline.retained.journal import Journal
from pipeline.retained.past_retention import months_past_retention
from pipeline.retained.remembered import require_remembered
from pipeline.retained.residue_scan import text_with
from pipeline.storage import encryption, relations
from pipeline.storage.engine import count
from pipeline.storage.file_edit import EditResult, FileEdit, fresh_path, same_rows, swap
from pipeline.storage.files import atomic_build, fsync
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from pipeline.storage.schema import CLASSIFIED
from pipeline.storage.sql import Sql, literal
from pipeline.subjects.restrictions import make_restrictions

# Whose tables repeat what was published, whatever they would be made of now.
PUBLISHED_ONCE = (Audience.COACHING, Audience.ANALYTICS)


def small_departments(
    connection: duckdb.DuckDBPyConnection, layout: Layout, people: Sql, least_people: int
) -> list[FileEdit]:
    """Edits that clear departments which fell below the minimum number of people, in all months.
    They read a temporary table of the connection.

    Args:
        people: the population counts: person and department.
    """
    small = Sql("small_departments")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {small} AS SELECT department FROM {people} "
        "WHERE department IS NOT NULL GROUP BY department "
        f"HAVING count(DISTINCT person) < {least_people}"
    )
    if not count(connection, f"SELECT count(*) FROM {small}"):
        return []
    return [
        FileEdit(path, set_null_where={"department": f"department IN (FROM {small})"})
        for path in relations.period_files(layout.classified)
    ]


def _expired(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    audience: Audience,
    then: dt.datetime,
    until: dt.datetime,
) -> set[str]:
    """Months with a row that could be published at `then`, and cannot any more at `until`."""
    if then == until:
        return set()
    rules, data_map = context.rules, context.data_map
    before = make_cutoffs(connection, "cutoffs_before", rules, data_map, then, audience)
    after = make_cutoffs(connection, "cutoffs_after", rules, data_map, until, audience)

    def both(path: Path) -> str:
        was = with_due(relations.parquet([path], CLASSIFIED), before, "was_due")
        return with_due(was, after, "is_due")

    return {
        path.parent.name
        for record in RecordType
        for path in months_past_retention(context, until, record, audience)
        if count(
            connection,
            f"SELECT count(*) FROM {both(path)} "
            f"WHERE record_type = {literal(record)} AND is_due AND NOT was_due",
        )
    }


def _rebuild_month(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    audience: Audience,
    cutoffs: Cutoffs,
    pseudonyms: Sql,
    period: str,
    journal: Journal,
) -> bool:
    """Rebuild one month of one audience; true if that changed it.

    Args:
        cutoffs: which records may be published.
        pseudonyms: the audience's, as `load_references` returns them.

    Raises:
        ErasureError: the rebuilt month is not what is left of it.
    """
    classified = relations.classified(layout, period)
    path = unchanged_months.file(layout.pseudonymized_for(audience), period)
    fresh = fresh_path(layout, path)
    write_period(connection, classified, audience, cutoffs, pseudonyms, fresh)
    eligible = eligible_rows(classified, audience, cutoffs)
    expected = count(connection, f"SELECT count(*) FROM {eligible}")
    rows = count(connection, f"SELECT count(*) FROM {literal(fresh)}")
    if rows != expected:
        raise ErasureError(
            f"{audience.value}: a rebuilt month does not contain all remaining records"
        )
    old = file_sha256(path) if path.exists() else ""
    # What came by an exchange has the same rows in other pages.
    if old and (old == file_sha256(fresh) or same_rows(connection, path, fresh)):
        fresh.unlink()
        return False
    before = count(connection, f"SELECT count(*) FROM {literal(path)}") if old else 0
    name = path.relative_to(layout.root).as_posix()
    journal.record_edit(EditResult(name, before, rows, 0, old, file_sha256(fresh)))
    swap(fresh, path)
    return True


def rebuild_pseudonymized(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    months: set[str],
    now: dt.datetime,
    journal: Journal,
    *,
    expired_only: bool = False,
) -> None:
    """Rebuild the months affected for every audience, then move the run snapshot to `now`. Affected
    are also those with a course that became sensitive since they were classified.

    What the last run did not publish, because it was about to pass retention, is in none of them.

    Args:
        expired_only: nothing is gone but what is past retention.
    """
    layout = context.layout
    make_restrictions(connection, context)
    made = run_snapshot.read(layout)
    until = made.until if now <= made.until else published_until(context.rules, now)
    courses = course_tags.hidden(connection, context)
    tags = fingerprint_of_hidden(connection, courses)
    # No row is read where the courses are those that the rows were classified by.
    same_courses = tags == made.courses
    if not same_courses:
        months = months | course_tags.write(connection, layout, courses, journal)
    for audience in Audience:
        if not layout.references(audience).exists():
            # There has been no run so far: nothing is pseudonymized.
            continue
        cutoffs = make_cutoffs(
            connection, "cutoffs", context.rules, context.data_map, until, audience
        )
        pseudonyms = load_references(connection, layout, audience)
        affected = months | _expired(connection, context, audience, made.until, until)
        if audience is Audience.MANAGER and affected:
            if expired_only and same_courses and until == made.until:
                # It had left the managers' rows with the last run, so these are as they were.
                continue
            # What is gone may have decided which record of another month shows the state.
            make_states(connection, context, cutoffs)
            affected |= {*period_names(layout)}
        for period in sorted(affected):
            _rebuild_month(connection, layout, audience, cutoffs, pseudonyms, period, journal)
    fresh = layout.work / "run_snapshot.fresh"
    fresh.write_text(replace(made, as_of=now, until=until, courses=tags).text(), "utf-8")
    swap(fresh, layout.classified / run_snapshot.NAME)


def forget_identities(connection: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Remove the vault's entries of people whom no classified row names any more."""
    people = population.load_people(connection, layout)
    unnamed = f"ANTI JOIN {people} USING (person)"
    for audience in Audience:
        path = layout.references(audience)
        if not path.exists():
            continue
        rows = encryption.rows(connection, layout, path)
        if count(connection, f"SELECT count(*) FROM {rows} {unnamed}"):
            fresh = fresh_path(layout, path)
            living = f"FROM {rows} SEMI JOIN {people} USING (person) ORDER BY ref"
            encryption.write_table(connection, layout, living, fresh)
            swap(fresh, path)


def rebuild_reference_values(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Rebuild the reference values of the leak checks; their denylist names people."""
    layout = context.layout
    with atomic_build(layout.reference_values, layout.work) as beside:
        write(connection, context, beside)
    fsync(layout.vault)


def publish_survivors(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    erasure: str,
    correction: SignedCorrection | None = None,
) -> None:
    """Release what is left through the gate; audiences that lost nothing keep their file. What a
    run has staged meanwhile was made from more than is left, and is discarded.

    Args:
        erasure: name of the erasure job, or of what else is the reason.
        correction: of a period's figures, which takes effect with it.

    Raises:
        ErasureError: a check failed or the counts do not reconcile; the old release stays.
    """
    layout, data_map = context.layout, context.data_map
    gate.discard_staged(layout)
    if not (layout.current / gate.MANIFEST).exists():
        return
    require_remembered(layout)
    current, changed = gate.manifest(layout), changed_audiences(connection, context)
    if (changed or correction) and current.get("erasure") != erasure:
        partition = str(current["partition"])
        layout.staged(partition).mkdir(parents=True, mode=0o700)
        if correction is not None:
            changed.add(Audience.COACHING)
            publication_history.write_staged_correction(layout, partition, correction)
        for audience in Audience:
            if audience in changed:
                stage_database(connection, context, audience, partition, publish_new=False)
        gate.carry_over(layout, data_map, partition)
        failed = [
            f"{table} ({', '.join((*found.broken, *found.missing))})"
            for audience in Audience
            if audience in changed
            for table, found in validate_and_seal(context, partition, audience).items()
            if not found.passed
        ]
        if failed:
            raise ErasureError(f"checks failed on the remaining records of {', '.join(failed)}")
        analysts = row_history.with_staged(connection, context, partition)
        counts = reconcile(connection, context, partition, analysts)
        if odd := unbalanced(counts):
            raise ErasureError(f"the remaining records do not reconcile: {', '.join(odd)}")
        write_reconciliation(layout, partition, counts)
        measured = risk.measure(connection, context, partition, counts, analysts)
        risk_report.write(measured, context.disclosure, partition, layout.staged(partition))
        if Audience.COACHING in changed:
            publication_history.record(connection, context, partition)
        # A name of its own: the folder that readers have open is never the one being filled.
        gate.release(context, partition, uuid.uuid4().hex, published_rows(counts), erasure=erasure)
    gate.remove_old(layout)


def changed_audiences(connection: duckdb.DuckDBPyConnection, context: Context) -> set[Audience]:
    """Audiences whose released tables show something that they must not show any more: they were
    made from other pseudonymized rows, contain a period or team that is gone (coaching), or another
    choice of classes than may be published now (analytics)."""
    layout = context.layout
    made_from = gate.manifest(layout).get("made_from", {})
    assert isinstance(made_from, dict)
    changed: set[Audience] = {
        p
        for p in Audience
        if p not in PUBLISHED_ONCE and made_from.get(p.value) != gate.made_from(layout, p)
    }
    if row_history.outdated(connection, context):
        changed.add(Audience.ANALYTICS)
    shown = gate.manifest(layout).get("history", {})
    assert isinstance(shown, dict)
    # A run or a correction can have been killed before what it had recorded was released.
    behind = shown.get("number", 0) < publication_history.number(layout)
    if behind or publication_history.outdated(connection, context):
        changed.add(Audience.COACHING)
    return changed


def empty_work(layout: Layout) -> None:
    """Remove everything under construction: staged tables, spill, fresh files."""
    for path in layout.work.glob("*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    for path in layout.root.rglob(".*.beside"):
        path.unlink()


def months(connection: duckdb.DuckDBPyConnection, query: str) -> set[str]:
    """Folders of the periods that a query of one column gives."""
    return {f"period={month}" for (month,) in connection.execute(query).fetchall()}


def classified_edits(
    connection: duckdb.DuckDBPyConnection, layout: Layout, records: Sql
) -> list[FileEdit]:
    """Edits of the classified months that delete the records to erase. They read `records`.

    Args:
        records: as `past_retention.list_records` makes it.
    """
    gone = f"record_key IN (SELECT record_key FROM {records} WHERE NOT held)"
    affected = months(connection, f"SELECT DISTINCT period FROM {records} WHERE NOT held")
    return [
        FileEdit(path, gone)
        for path in relations.period_files(layout.classified)
        if path.parent.name in affected
    ]


def forget_packages(layout: Layout, pattern: str) -> None:
    """Remove answers to access requests that name the person."""
    compiled = re.compile(pattern.encode())
    for folder in layout.vault.glob("packages/*"):
        if any(text_with(layout, path, compiled) for path in folder.rglob("*") if path.is_file()):
            shutil.rmtree(folder)
