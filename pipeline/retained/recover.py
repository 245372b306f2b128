"""Taking back what must not be forgotten, or accepting that it is lost."""

from __future__ import annotations

from pipeline.access import account, audit, courses
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.policy.fields import Audience
from pipeline.published import gate, publication_history, row_history
from pipeline.raw import register
from pipeline.retained import backup
from pipeline.retained.remembered import (
    expected_cases,
    expected_decisions,
    lost_figures,
    lost_rows,
    missing,
)
from pipeline.storage import cases
from pipeline.storage.engine import engine
from pipeline.storage.manifest import MANIFEST


def recover(context: Context) -> list[str]:
    """Take back what the current release and the backups in the data folder have; returns what is
    still missing, in words.

    Coaching figures are taken from the release if it is whole: it shows all that was published.
    Analysts' rows are taken from backups only: a release does not say whose they are.
    """
    layout = context.layout
    with layout.locked(), engine(layout.work) as connection:
        if lost_figures(layout) and _release_is_whole(context):
            publication_history.take_from_release(connection, context)
        for copy in reversed(backup.copies(layout)):
            if missing(layout):
                backup.remember(connection, context, copy)
        return missing(layout) + [f"the delivery of {day}" for day in register.lost(layout)]


def accept(context: Context, because: str) -> list[str]:
    """Accept that what cannot be recovered is lost; returns what that is. Periods that were
    published stay published: their figures are not made again. Courses that were decided to be
    ordinary before a lost decision are to be decided again.

    Raises:
        PolicyError: there is no reason.
    """
    if not because.strip():
        raise PolicyError("recover: to accept a loss, a reason is required")
    layout, lost = context.layout, recover(context)
    with layout.locked():
        have = cases.numbers(layout)
        for name, times in expected_cases(layout).items():
            path = layout.vault / name
            if have.get(name, 0) < times:
                if name.startswith(cases.REQUESTS):
                    cases.remove(layout, path)
                else:
                    cases.write(layout, path, cases.read(layout, path) or "", times)
        if lost_figures(layout):
            publication_history.accept_loss(layout)
        if lost_rows(layout):
            row_history.accept_loss(layout)
        if courses.number(layout) < expected_decisions(layout):
            courses.accept_loss(layout, expected_decisions(layout))
        for day in register.lost(layout):
            register.withdraw(layout, day, f"accepted as lost: {because}", account.actor(layout))
    for one in lost:
        audit.note_change(context, f"accepted as lost: {one}; {because}")
    return lost


def _release_is_whole(context: Context) -> bool:
    """Are the coaching tables those that were released?"""
    files = {spec.file for spec in context.data_map.tables_of(Audience.COACHING).values()}
    there = (context.layout.current / MANIFEST).exists()
    return there and all(gate.unchanged(context.layout, name) for name in files)
