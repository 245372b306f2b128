"""Erasure: plan → check holds and rules again → erase → verify → receipt.

Every step can be interrupted by a crash; the next run finds the journal and reaches the same end.
Each file is swapped only after its proof is on disk, so a receipt never claims more than was done,
and it is written only after the stores themselves were searched.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from pipeline.access import appointments, staff
from pipeline.classified import names, population
from pipeline.context import Context
from pipeline.errors import EngineError, ErasureError, PolicyError
from pipeline.published import row_history
from pipeline.raw import landing, register
from pipeline.retained import (
    backup,
    delivered,
    housekeeping,
    index,
    past_retention,
    plan,
    rebuild,
    receipts,
    verify,
)
from pipeline.retained.journal import PERSON, RETENTION, ErasureJob, Journal, fresh_name, pending
from pipeline.retained.past_retention import PlanItem
from pipeline.retained.person import classified_edits_of_person, edits_of_person
from pipeline.retained.remembered import require_remembered
from pipeline.retained.run_storage import RunStorage
from pipeline.storage import encryption
from pipeline.storage.engine import engine
from pipeline.storage.file_edit import EditResult, FileEdit, apply_edit
from pipeline.storage.files import fsync
from pipeline.storage.layout import Layout
from pipeline.storage.sql import Sql
from pipeline.subjects import legal_holds, request_register, restrictions, tombstones
from pipeline.subjects.identity import Subject, find, references


def _open(
    connection: duckdb.DuckDBPyConnection, layout: Layout, job: ErasureJob, records: Sql
) -> Journal:
    """Store the work list and then the job; from here on the erasure will be executed."""
    journal = Journal(layout, job.name)
    journal.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    listed = f"SELECT record_key, deliveries, period FROM {records} WHERE NOT held"
    encryption.write_table(connection, layout, listed, journal.work_list)
    fsync(journal.folder)
    journal.open(job)
    return journal


def _apply(
    connection: duckdb.DuckDBPyConnection, layout: Layout, journal: Journal, edits: list[FileEdit]
) -> None:
    """Apply file edits, each recorded in the journal before it takes effect."""

    def before_swap(done: EditResult, fresh: Path) -> None:
        population.change(connection, layout, layout.root / done.file, fresh)
        journal.record_edit(done)

    for edit in edits:
        apply_edit(connection, layout, edit, before_swap)


def _noted(journal: Journal) -> Callable[[EditResult, Path], None]:
    """Record an edit in the journal before it takes effect."""
    return lambda done, _: journal.record_edit(done)


def _erase_stores(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    journal: Journal,
    subject: Subject | None,
) -> None:
    """Erase from the canonical, classified and pseudonymized stores, and from the row history.

    The rules and holds of this moment apply to the rows of this moment. The classified rows of a
    record go last, so until they are gone they show what there is to erase.
    """
    layout, now = context.layout, journal.job().now
    if subject is None:
        records = past_retention.select_past_retention(connection, context, now)
    else:
        records = plan.of_person(connection, context, subject).records
    if subject is None:
        edits = past_retention.canonical_edits(connection, layout, context.rules, records, now)
        classified = rebuild.classified_edits(connection, layout, records)
    else:
        edits = edits_of_person(layout, subject)
        classified = classified_edits_of_person(layout, subject)
    population.take(connection, layout)
    _apply(connection, layout, journal, edits)
    _apply(connection, layout, journal, classified)
    population.sum_up(connection)
    small = rebuild.small_departments(
        connection, layout, population.PEOPLE, context.data_map.least_people
    )
    _apply(connection, layout, journal, small)
    population.put(connection, layout)
    if subject is None:
        # Only now is it known which roster rows resolve no record any more.
        rows = past_retention.roster_edits(connection, layout, context.rules, now)
        _apply(connection, layout, journal, rows)
    if subject is None:
        rows_that_stay = row_history.past_retention(connection, context, now)
    else:
        rows_that_stay = row_history.without(connection, layout, subject.ids)
    row_history.rewrite(connection, layout, rows_that_stay, _noted(journal))
    months = _months_affected(connection, layout, journal)
    rebuild.rebuild_pseudonymized(
        connection, context, months, now, journal, expired_only=subject is None
    )


def _months_affected(
    connection: duckdb.DuckDBPyConnection, layout: Layout, journal: Journal
) -> set[str]:
    """Folders of the months that the work list names or an edit has changed."""
    work_list = encryption.rows(connection, layout, journal.work_list)
    return rebuild.months(connection, f"SELECT DISTINCT period FROM {work_list}") | {
        done.file.split("/")[2]
        for done in journal.edits()
        if done.file.startswith("store/classified/period=")
    }


def _publish(connection: duckdb.DuckDBPyConnection, context: Context, erasure: str) -> None:
    """Publish the tables without what was erased, through the gate."""
    rebuild.rebuild_reference_values(connection, context)
    rebuild.publish_survivors(connection, context, erasure)


def _raw_deliveries(context: Context, journal: Journal, subject: Subject | None) -> None:
    """Remove raw deliveries: those past retention, or those that name the person.

    A refused delivery that names the person is removed, too: what it holds of others its source can
    deliver again.

    Raises:
        ErasureError: a delivery that names the person was never read, so its contents are nowhere
            else.
    """
    layout = context.layout
    if subject is None:
        found, _ = past_retention.raw_deliveries(layout, context.rules, journal.job().now)
    else:
        found = landing.deliveries_naming(layout, subject.free_text)
    unread = [delivery for delivery in found if not register.is_done_with(layout, delivery)]
    if unread:
        raise ErasureError(
            "raw deliveries: never ingested, run the pipeline for them first: "
            + ", ".join(map(str, unread))
        )
    # A removal that was interrupted can have left files that do not name the person.
    noted = journal.noted("raw deliveries")
    begun = {delivery for delivery in landing.deliveries(layout) if str(delivery) in noted}
    for delivery in sorted({*found, *begun}):
        journal.note("raw deliveries", str(delivery))
        landing.remove(layout, delivery)


def _erase_registers(context: Context, subject: Subject, today: dt.date) -> None:
    """Erase a person from the registers, also of backups, and leave a tombstone."""
    tombstones.add(context, subject.ids, today, subject.windows + subject.shared)
    for layout in (context.layout, *backup.copies(context.layout)):
        for person in subject.people:
            restrictions.release(layout, person)
            restrictions.withdraw(layout, person)
        legal_holds.forget(layout, subject.ids, today)
        request_register.forget(layout, subject.ids)
        staff.forget(layout, subject.ids)
        appointments.forget(layout, subject.ids)


def _erase_runs(
    context: Context, journal: Journal, runs: RunStorage, subject: Subject | None, pattern: str
) -> None:
    """Delete old Dagster runs, and those that name the person."""
    pruned = runs.prune(past_retention.runs_before(context.rules, journal.job().now))
    journal.note("Dagster runs", "past retention", pruned)
    if subject is not None:
        journal.note("Dagster runs", "naming the person", runs.forget(pattern))


@dataclass
class _Stopwatch:
    """How long the parts of an erasure take, in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)
    last: float = field(default_factory=time.perf_counter)

    def lap(self, part: str) -> None:
        """Everything since the last lap was this part."""
        now = time.perf_counter()
        self.seconds[part], self.last = now - self.last, now


def _erase(
    context: Context,
    journal: Journal,
    runs: RunStorage | None,
    clock: dt.datetime,
    watch: _Stopwatch,
) -> tuple[Subject | None, str]:
    """Erase everything that the job is about; returns the person and the pattern of everything that
    refers to them, for the erasure of a person."""
    layout, job = context.layout, journal.job()
    subject, pattern = journal.subject() if job.identifier is not None else (None, "")
    with engine(layout.work) as connection:
        if subject is not None:
            _erase_registers(context, subject, clock.date())
        _erase_stores(connection, context, journal, subject)
        if subject is not None:
            for copy in backup.copies(layout):
                _apply(connection, layout, journal, edits_of_person(copy, subject))
                theirs = row_history.without(connection, copy, subject.ids)
                row_history.rewrite(connection, layout, theirs, _noted(journal))
        watch.lap("stores")
        _publish(connection, context, job.name)
        watch.lap("release")
        rebuild.forget_identities(connection, layout)
        names.refresh(connection, context)
    _raw_deliveries(context, journal, subject)
    if subject is None:
        housekeeping.clear(context, job.now, journal.note)
    if runs is not None:
        _erase_runs(context, journal, runs, subject, pattern)
    if subject is not None:
        rebuild.forget_packages(layout, pattern)
    rebuild.empty_work(layout)
    return subject, pattern


def _execute(
    context: Context, journal: Journal, runs: RunStorage | None, clock: dt.datetime
) -> dict[str, Any]:
    """Erase, verify and write the receipt.

    Raises:
        ErasureError: something is left; the erasure stays open and the next run continues it.
    """
    layout, job = context.layout, journal.job()
    if receipts.path(layout, job.name).exists():
        # Killed between receipt and closing: everything was done and verified.
        journal.close()
        return receipts.read(layout, job.name)
    watch = _Stopwatch()
    subject, pattern = _erase(context, journal, runs, clock, watch)
    with engine(layout.work) as connection:
        left = verify.require_gone(connection, context, journal, subject, pattern, runs)
    watch.lap("verification and rest")
    contents = receipts.contents(job, journal, left, watch.seconds)
    receipts.write(layout, job.name, contents)
    journal.close()
    return receipts.read(layout, job.name)


def resume(context: Context, runs: RunStorage | None, clock: dt.datetime) -> list[dict[str, Any]]:
    """Finish every erasure that was interrupted; returns the receipts of those that are complete.

    One that cannot be completed is set aside: it stays open with its reason, and keeps nothing else
    from being erased. `set_aside` lists them.
    """
    done = []
    for one in pending(context.layout):
        population.forget(context.layout)
        try:
            done.append(_execute(context, one, runs, clock))
        except (PolicyError, ErasureError, EngineError) as error:
            one.set_aside(str(error))
    return done


def _resume_request(
    context: Context, request: str | None, runs: RunStorage | None, clock: dt.datetime
) -> None:
    """Finish the erasure of this very request, if it was interrupted.

    Raises:
        ErasureError: it cannot be completed.
    """
    for one in pending(context.layout):
        if request is not None and one.job().request == request:
            population.forget(context.layout)
            _execute(context, one, runs, clock)


def set_aside(layout: Layout) -> dict[str, str]:
    """Erasures that could not be completed, by the request or else their own name: the reason."""
    return {
        one.job().request or one.job().name: reason
        for one in pending(layout)
        if (reason := one.reason())
    }


def abandon(layout: Layout, request: str) -> None:
    """Leave the erasure of a request as far as it got. The caller holds the lock."""
    for one in pending(layout):
        if one.job().request == request:
            population.forget(layout)
            one.close()


def _new_job(
    context: Context,
    kind: str,
    now: dt.datetime,
    items: list[PlanItem],
    identifier: str | None = None,
    request: str | None = None,
) -> ErasureJob:
    """A job under a fresh name."""
    return ErasureJob(
        name=fresh_name(),
        kind=kind,
        as_of=now.isoformat(),
        rules_sha256=context.rules_sha256,
        identifier=identifier,
        request=request,
        plan=[vars(item) for item in items],
    )


def retain(
    context: Context, now: dt.datetime, runs: RunStorage | None = None
) -> list[dict[str, Any]]:
    """The scheduled erasure: finish what was interrupted, then erase what is past retention.

    Returns:
        Receipts, this run's own last.

    Raises:
        PolicyError: a hold is overdue for review, or the store is not classified yet.
        ErasureError: something is left; the erasure stays open and the next run continues it.
    """
    index.refresh(context, now)
    with context.layout.locked():
        require_remembered(context.layout)
        legal_holds.require_reviewed(context.layout, now.date())
        done = resume(context, runs, now)
        with engine(context.layout.work) as connection:
            found = plan.by_rule(connection, context, now)
            job = _new_job(context, RETENTION, now, found.items)
            journal = _open(connection, context.layout, job, found.records)
        return [*done, _execute(context, journal, runs, now)]


def erase_person(
    context: Context,
    identifier: str | None,
    request: str | None,
    now: dt.datetime,
    runs: RunStorage | None = None,
    also: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Erase everything of one person (GDPR Art. 17); the vault's entry goes last.

    Args:
        also: further identifiers of the same person.

    Raises:
        PolicyError: a hold applies to some of it.
        BadInput: nothing is stored about this person, and no delivered file names them.
        ErasureError: as `retain`.
    """
    layout = context.layout
    index.refresh(context, now)
    with layout.locked():
        require_remembered(layout)
        _resume_request(context, request, runs, now)
        resume(context, runs, now)
        done = receipts.of_request(layout, request) if request else None
        if done:
            # This very request was interrupted, and has been finished by this run or another.
            return done
        if identifier is None:
            raise ErasureError("the request's person is already erased, but there is no receipt")
        with engine(layout.work) as connection:
            subject = find(connection, layout, identifier, *also)
            delivered.require_somebody(connection, layout, subject)
            found = plan.of_person(connection, context, subject)
            job = _new_job(context, PERSON, now, found.items, identifier, request)
            refs = references(connection, layout, subject)
            Journal(layout, job.name).keep_subject(subject, refs)
            journal = _open(connection, layout, job, found.records)
        return _execute(context, journal, runs, now)
