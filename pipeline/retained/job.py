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
from pipeline.context import Ground
from pipeline.raw import deliveries
from pipeline.retained import backup, housekeeping, past_retention, plan, rebuild, receipts, verify
from pipeline.retained.journal import PERSON, RETENTION, Journal, Order, fresh_name, pending
from pipeline.retained.past_retention import Line
from pipeline.retained.person import classified_strokes_of_person, strokes_of_person
from pipeline.retained.run_storage import RunStorage
from pipeline.storage import encryption
from pipeline.storage.engine import engine
from pipeline.storage.file_edit import Done, ErasureError, Stroke, strike
from pipeline.storage.layout import settle
from pipeline.subjects import legal_holds, request_register, restrictions, tombstones
from pipeline.subjects.identity import Subject, find, references


def dry_run(ground: Ground, now: dt.datetime) -> list[Line]:
    """What a deletion at `now` would do. Changes nothing."""
    with engine(ground.layout.work) as connection:
        return plan.by_rule(connection, ground, now)


def _open(connection: duckdb.DuckDBPyConnection, ground: Ground, order: Order) -> Journal:
    """Store the work list and then the order; from here on the deed will be done."""
    journal = Journal(ground.layout, order.name)
    journal.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    listed = "SELECT milestone, drops, period FROM due WHERE NOT held"
    encryption.write_table(connection, ground.layout, listed, journal.work_list)
    settle(journal.folder)
    journal.open(order)
    return journal


def _strokes_of(
    connection: duckdb.DuckDBPyConnection, ground: Ground, order: Order, subject: Subject | None
) -> list[Stroke]:
    if subject is None:
        return past_retention.strokes(connection, ground, order.now)
    return strokes_of_person(ground.layout, subject)


def _apply(
    connection: duckdb.DuckDBPyConnection, ground: Ground, journal: Journal, strokes: list[Stroke]
) -> None:
    layout = ground.layout

    def before_swap(done: Done, fresh: Path) -> None:
        population.change(connection, layout, layout.root / done.file, fresh)
        journal.write_down(done)

    for stroke in strokes:
        strike(connection, layout, stroke, before_swap)


def _select_again(
    connection: duckdb.DuckDBPyConnection, ground: Ground, order: Order, subject: Subject | None
) -> None:
    """Just before the deed: the rules and holds of this moment over the rows of this moment.

    The classified rows go last of a record, so until they are gone they tell what is due.
    """
    if subject is None:
        past_retention.select_due(connection, ground, order.now)
    else:
        plan.of_person(connection, ground, subject)


def _erase_stores(
    connection: duckdb.DuckDBPyConnection, ground: Ground, order: Order, journal: Journal,
    subject: Subject | None,
) -> None:  # fmt: skip
    layout = ground.layout
    _select_again(connection, ground, order, subject)
    population.take(connection, layout)
    _apply(connection, ground, journal, _strokes_of(connection, ground, order, subject))
    if subject is None:
        gone = "milestone IN (SELECT milestone FROM due WHERE NOT held)"
        touched = rebuild.months(connection, "SELECT DISTINCT period FROM due WHERE NOT held")
        strokes = rebuild.classified_strokes(ground, touched, gone)
    else:
        strokes = classified_strokes_of_person(layout, subject)
    _apply(connection, ground, journal, strokes)
    population.sum_up(connection)
    _apply(connection, ground, journal, rebuild.small_departments(connection, ground))
    population.put(connection, layout)
    work_list = encryption.rows(connection, layout, journal.work_list)
    listed = f"SELECT DISTINCT period FROM {work_list}"
    months = rebuild.months(connection, listed) | {
        done.file.split("/")[2]
        for done in journal.strokes()
        if done.file.startswith("store/classified/")
    }
    rebuild.remake_pseudonymized(connection, ground, months, order.now, journal)


def _publish(connection: duckdb.DuckDBPyConnection, ground: Ground, order: Order) -> None:
    """The released tables without what went, through the gate."""
    rebuild.remake_known(connection, ground)
    rebuild.publish_survivors(connection, ground, order.name)


def _raw_drops(ground: Ground, order: Order, journal: Journal, subject: Subject | None) -> None:
    """Remove delivered drops: those past their window, or those that name the person.

    Raises:
        ErasureError: a drop that names the person was never taken in; nothing else holds it.
    """
    layout = ground.layout
    if subject is None:
        drops, _ = past_retention.raw_drops(ground, order.now)
    else:
        drops = deliveries.naming(layout, subject.free_text)
    unread = [d for d in drops if not deliveries.taken_in(layout, d)]
    if unread:
        raise ErasureError(
            "raw drops: never taken in, run their nights first: " + ", ".join(map(str, unread))
        )
    # A removal that was cut off can have left files that do not name the person.
    begun = {drop for drop in deliveries.drops(layout) if str(drop) in journal.noted("raw drops")}
    for drop in sorted({*drops, *begun}):
        journal.note("raw drops", str(drop))
        deliveries.remove(layout, drop)


def _carry_out(
    ground: Ground, journal: Journal, runs: RunStorage | None, clock: dt.datetime
) -> dict[str, Any]:
    layout, order = ground.layout, journal.order()
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
            tombstones.add(ground, subject.ids, clock.date())
            restrictions.release(layout, subject.person)
            restrictions.withdraw(layout, subject.person)
            request_register.forget(layout, subject.ids)
            staff.forget(layout, subject.ids)
        _erase_stores(connection, ground, order, journal, subject)
        if subject is not None:
            for copy in backup.copies(layout):
                _apply(connection, ground, journal, strokes_of_person(copy, subject))
        seconds["stores"] = time.perf_counter() - start
        _publish(connection, ground, order)
        seconds["release"] = time.perf_counter() - start - seconds["stores"]
        rebuild.forget_identities(connection, ground)
        _raw_drops(ground, order, journal, subject)
        if subject is None:
            housekeeping.clear(ground, order.now, journal.note)
        if runs is not None:
            pruned = runs.prune(past_retention.runs_before(ground, order.now))
            journal.note("Dagster runs", "past their window", pruned)
            if subject is not None:
                journal.note("Dagster runs", "naming the person", runs.forget(pattern))
        if subject is not None:
            rebuild.forget_packages(layout, pattern)
    rebuild.empty_work(layout)
    with engine(layout.work) as connection:
        left = verify.require_gone(connection, ground, order, journal, subject, pattern, runs)
    seconds["verification and rest"] = time.perf_counter() - start - sum(seconds.values())
    receipts.write(layout, order.name, receipts.told(order, journal, left, seconds))
    journal.close()
    return receipts.read(layout, order.name)


def resume(ground: Ground, runs: RunStorage | None, clock: dt.datetime) -> list[dict[str, Any]]:
    """Finish every erasure that was cut off; returns their receipts."""
    cut_off = pending(ground.layout)
    if cut_off:
        population.forget(ground.layout)
    return [_carry_out(ground, one, runs, clock) for one in cut_off]


def retain(
    ground: Ground, now: dt.datetime, runs: RunStorage | None = None
) -> list[dict[str, Any]]:
    """The scheduled deletion: finish what was cut off, then erase what is past its window.

    Returns:
        Receipts, the last one this run's own.

    Raises:
        PolicyError: a stale hold, or a store that no night has classified.
        ErasureError: something is left; the order stays open and the next run goes on.
    """
    with ground.layout.locked():
        legal_holds.require_reviewed(ground.layout, now.date())
        done = resume(ground, runs, now)
        with engine(ground.layout.work) as connection:
            lines = plan.by_rule(connection, ground, now)
            order = Order(fresh_name(), RETENTION, now.isoformat(), ground.rules_sha256, None,
                          None, [vars(line) for line in lines])  # fmt: skip
            journal = _open(connection, ground, order)
        return [*done, _carry_out(ground, journal, runs, now)]


def erase_person(
    ground: Ground, identifier: str | None, request: str | None, now: dt.datetime,
    runs: RunStorage | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Erase everything of one person (GDPR Art. 17); the vault's entry goes last.

    Raises:
        PolicyError: a hold keeps some of it.
        ErasureError: as `retain`.
    """
    with ground.layout.locked():
        resume(ground, runs, now)
        done = receipts.of_request(ground.layout, request) if request else None
        if done:
            # This very request was cut off, and has been finished by this run or another.
            return done
        if identifier is None:
            raise ErasureError("the request's person was forgotten, and no receipt tells of it")
        with engine(ground.layout.work) as connection:
            subject = find(connection, ground.layout, identifier)
            lines = plan.of_person(connection, ground, subject)
            order = Order(fresh_name(), PERSON, now.isoformat(), ground.rules_sha256,
                          identifier, request, [vars(line) for line in lines])  # fmt: skip
            folder = Journal(ground.layout, order.name)
            folder.keep_subject(subject, references(connection, ground.layout, subject))
            journal = _open(connection, ground, order)
        return _carry_out(ground, journal, runs, now)
