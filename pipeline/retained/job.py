"""Deletion: plan → look at holds and rules again → erase → verify → receipt.

Every step can be cut off by a crash; one more run finds the journal and reaches the same end.
Each file is swapped only after its proof is on disk, so a receipt never says more than was done,
and it is written only after the stores themselves were asked.
"""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Any

import duckdb

from pipeline.access import staff
from pipeline.classified import population
from pipeline.context import Context
from pipeline.errors import ErasureError
from pipeline.raw import deliveries as landing
from pipeline.retained import backup, housekeeping, past_retention, plan, rebuild, receipts, verify
from pipeline.retained.journal import PERSON, RETENTION, ErasureJob, Journal, fresh_name, pending
from pipeline.retained.past_retention import PlanItem
from pipeline.retained.person import classified_edits_of_person, edits_of_person
from pipeline.retained.run_storage import RunStorage
from pipeline.storage import encryption
from pipeline.storage.engine import engine
from pipeline.storage.file_edit import EditResult, FileEdit, apply_edit
from pipeline.storage.files import fsync
from pipeline.subjects import legal_holds, request_register, restrictions, tombstones
from pipeline.subjects.identity import Subject, find, references


def dry_run(context: Context, now: dt.datetime) -> list[PlanItem]:
    """What a deletion at `now` would do. Changes nothing."""
    with engine(context.layout.work) as connection:
        return plan.by_rule(connection, context, now)


def _open(connection: duckdb.DuckDBPyConnection, context: Context, order: ErasureJob) -> Journal:
    """Store the work list and then the order; from here on the deed will be done."""
    journal = Journal(context.layout, order.name)
    journal.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    listed = "SELECT record_key, deliveries, period FROM due WHERE NOT held"
    encryption.write_table(connection, context.layout, listed, journal.work_list)
    fsync(journal.folder)
    journal.open(order)
    return journal


def _edits_of(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    order: ErasureJob,
    subject: Subject | None,
) -> list[FileEdit]:
    if subject is None:
        return past_retention.edits(connection, context, order.now)
    return edits_of_person(context.layout, subject)


def _apply(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    journal: Journal,
    edits: list[FileEdit],
) -> None:
    layout = context.layout

    def before_swap(done: EditResult, fresh: Path) -> None:
        population.change(connection, layout, layout.root / done.file, fresh)
        journal.record_edit(done)

    for edit in edits:
        apply_edit(connection, layout, edit, before_swap)


def _select_again(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    order: ErasureJob,
    subject: Subject | None,
) -> None:
    """Just before the deed: the rules and holds of this moment over the rows of this moment.

    The classified rows go last of a record, so until they are gone they tell what is due.
    """
    if subject is None:
        past_retention.select_past_retention(connection, context, order.now)
    else:
        plan.of_person(connection, context, subject)


def _erase_stores(
    connection: duckdb.DuckDBPyConnection, context: Context, order: ErasureJob, journal: Journal,
    subject: Subject | None,
) -> None:  # fmt: skip
    layout = context.layout
    _select_again(connection, context, order, subject)
    population.take(connection, layout)
    _apply(connection, context, journal, _edits_of(connection, context, order, subject))
    if subject is None:
        gone = "record_key IN (SELECT record_key FROM due WHERE NOT held)"
        touched = rebuild.months(connection, "SELECT DISTINCT period FROM due WHERE NOT held")
        edits = rebuild.classified_edits(context, touched, gone)
    else:
        edits = classified_edits_of_person(layout, subject)
    _apply(connection, context, journal, edits)
    population.sum_up(connection)
    _apply(connection, context, journal, rebuild.small_departments(connection, context))
    population.put(connection, layout)
    work_list = encryption.rows(connection, layout, journal.work_list)
    listed = f"SELECT DISTINCT period FROM {work_list}"
    months = rebuild.months(connection, listed) | {
        done.file.split("/")[2]
        for done in journal.edits()
        if done.file.startswith("store/classified/")
    }
    rebuild.rebuild_pseudonymized(connection, context, months, order.now, journal)


def _publish(connection: duckdb.DuckDBPyConnection, context: Context, order: ErasureJob) -> None:
    """The released tables without what went, through the gate."""
    rebuild.rebuild_reference_values(connection, context)
    rebuild.publish_survivors(connection, context, order.name)


def _raw_deliveries(
    context: Context, order: ErasureJob, journal: Journal, subject: Subject | None
) -> None:
    """Remove raw deliveries: those past their window, or those that name the person.

    Raises:
        ErasureError: a delivery that names the person was never ingested; nothing else holds it.
    """
    layout = context.layout
    if subject is None:
        deliveries, _ = past_retention.raw_deliveries(context, order.now)
    else:
        deliveries = landing.deliveries_naming(layout, subject.free_text)
    unread = [d for d in deliveries if not landing.is_ingested(layout, d)]
    if unread:
        raise ErasureError(
            "raw deliveries: never ingested, run them first: " + ", ".join(map(str, unread))
        )
    # A removal that was cut off can have left files that do not name the person.
    begun = {
        delivery
        for delivery in landing.deliveries(layout)
        if str(delivery) in journal.noted("raw deliveries")
    }
    for delivery in sorted({*deliveries, *begun}):
        journal.note("raw deliveries", str(delivery))
        landing.remove(layout, delivery)


def _execute(
    context: Context, journal: Journal, runs: RunStorage | None, clock: dt.datetime
) -> dict[str, Any]:
    layout, order = context.layout, journal.order()
    if receipts.path(layout, order.name).exists():
        # Killed between receipt and closing: everything was done and verified.
        journal.close()
        return receipts.read(layout, order.name)
    seconds = {}
    start = time.perf_counter()
    with engine(layout.work) as connection:
        subject, pattern = None, ""
        if order.identifier is not None:
            subject, pattern = journal.subject()
            tombstones.add(context, subject.ids, clock.date())
            restrictions.release(layout, subject.person)
            restrictions.withdraw(layout, subject.person)
            request_register.forget(layout, subject.ids)
            staff.forget(layout, subject.ids)
        _erase_stores(connection, context, order, journal, subject)
        if subject is not None:
            for copy in backup.copies(layout):
                _apply(connection, context, journal, edits_of_person(copy, subject))
        seconds["stores"] = time.perf_counter() - start
        _publish(connection, context, order)
        seconds["release"] = time.perf_counter() - start - seconds["stores"]
        rebuild.forget_identities(connection, context)
        _raw_deliveries(context, order, journal, subject)
        if subject is None:
            housekeeping.clear(context, order.now, journal.note)
        if runs is not None:
            pruned = runs.prune(past_retention.runs_before(context, order.now))
            journal.note("Dagster runs", "past their window", pruned)
            if subject is not None:
                journal.note("Dagster runs", "naming the person", runs.forget(pattern))
        if subject is not None:
            rebuild.forget_packages(layout, pattern)
    rebuild.empty_work(layout)
    with engine(layout.work) as connection:
        left = verify.require_gone(connection, context, order, journal, subject, pattern, runs)
    seconds["verification and rest"] = time.perf_counter() - start - sum(seconds.values())
    receipts.write(layout, order.name, receipts.contents(order, journal, left, seconds))
    journal.close()
    return receipts.read(layout, order.name)


def resume(context: Context, runs: RunStorage | None, clock: dt.datetime) -> list[dict[str, Any]]:
    """Finish every erasure that was cut off; returns their receipts."""
    cut_off = pending(context.layout)
    if cut_off:
        population.forget(context.layout)
    return [_execute(context, one, runs, clock) for one in cut_off]


def retain(
    context: Context, now: dt.datetime, runs: RunStorage | None = None
) -> list[dict[str, Any]]:
    """The scheduled deletion: finish what was cut off, then erase what is past its window.

    Returns:
        Receipts, the last one this run's own.

    Raises:
        PolicyError: a stale hold, or a store that no night has classified.
        ErasureError: something is left; the order stays open and the next run goes on.
    """
    with context.layout.locked():
        legal_holds.require_reviewed(context.layout, now.date())
        done = resume(context, runs, now)
        with engine(context.layout.work) as connection:
            lines = plan.by_rule(connection, context, now)
            order = ErasureJob(fresh_name(), RETENTION, now.isoformat(), context.rules_sha256, None,
                          None, [vars(line) for line in lines])  # fmt: skip
            journal = _open(connection, context, order)
        return [*done, _execute(context, journal, runs, now)]


def erase_person(
    context: Context, identifier: str | None, request: str | None, now: dt.datetime,
    runs: RunStorage | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Erase everything of one person (GDPR Art. 17); the vault's entry goes last.

    Raises:
        PolicyError: a hold keeps some of it.
        ErasureError: as `retain`.
    """
    with context.layout.locked():
        resume(context, runs, now)
        done = receipts.of_request(context.layout, request) if request else None
        if done:
            # This very request was cut off, and has been finished by this run or another.
            return done
        if identifier is None:
            raise ErasureError("the request's person was forgotten, and no receipt tells of it")
        with engine(context.layout.work) as connection:
            subject = find(connection, context.layout, identifier)
            lines = plan.of_person(connection, context, subject)
            order = ErasureJob(fresh_name(), PERSON, now.isoformat(), context.rules_sha256,
                          identifier, request, [vars(line) for line in lines])  # fmt: skip
            folder = Journal(context.layout, order.name)
            folder.keep_subject(subject, references(connection, context.layout, subject))
            journal = _open(connection, context, order)
        return _execute(context, journal, runs, now)
