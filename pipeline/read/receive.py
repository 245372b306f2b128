"""Handing a role its files, logged before they are there."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.access import approval, audit, staff
from pipeline.access.authorize import AccessDenied, AccessRequest, entitled, own_reports
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.published.exports import FOLDER, names
from pipeline.published.reports import coaching_page
from pipeline.storage.engine import engine
from pipeline.storage.files import atomic_build
from pipeline.storage.sql import identifier


def _files(context: Context, ask: AccessRequest, own_ref: str | None) -> Iterator[tuple[Path, str]]:
    """The files that a role receives for the stated purpose, and under which name."""
    audience = context.governance.purposes[ask.purpose].audience
    folder = context.layout.current / FOLDER / ask.role.value
    own = audience in context.access.own_reports
    for name in names(context, audience):
        # Who is in a pilot gets the pilot's file (pipeline/governance/pilot.py).
        piloted = sorted(context.layout.pilot.glob(f"*/{ask.actor}/{ask.role.value}/{name}"))
        usual = folder / (f"{own_ref}.duckdb" if own else name)
        yield (piloted[-1] if piloted else usual), name


def receive(context: Context, ask: AccessRequest, own_ref: str | None, to: Path) -> list[Path]:
    """Hand an actor the files of one purpose; logged before they are there.

    Args:
        ask: with any table of the audience.
        own_ref: the actor's pseudonym in the audience.

    Returns:
        The files written.

    Raises:
        Refused: the role does not receive the audience as files.
        PolicyError: nothing is published, or a file of that name exists.
    """
    member = staff.find(context.layout, ask.actor)
    try:
        approval.require_open(context.layout, context.access, context.version)
        rule, audience = entitled(context, ask, member, dt.datetime.now(dt.UTC))
        if audience not in rule.receives:
            raise AccessDenied(f"{ask.role.value} does not receive {audience.value}")
        own = own_reports(context, audience, own_ref)
        files = list(_files(context, ask, own_ref))
        if not all(path.exists() for path, _ in files):
            raise PolicyError("there is no such file yet; the next night makes it")
        if any((to / name).exists() for _, name in files):
            raise PolicyError("the folder has a file of that name already")
    except PolicyError as refusal:
        audit.note(context, ask, (), decision=f"refused: {refusal}")
        raise
    spec = context.data_map.published[ask.table]
    for path in (path for path, name in files if name != coaching_page.PAGE):
        with engine(context.layout.work, path, read_only=True) as connection:
            ((rows,),) = connection.sql(f"SELECT count(*) FROM {identifier(ask.table)}").fetchall()
            refs = (
                connection.sql(f"SELECT DISTINCT learner_ref FROM {identifier(ask.table)}")
                .fetchall() if own else []
            )  # fmt: skip
        everybody = not own and "learner_ref" in spec.columns
        people = [str(ref) for (ref,) in refs]
        audit.note(context, ask, people, fields=spec.columns, rows=int(rows), everybody=everybody)
    to.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path, name in files:
        with atomic_build(to / name, to) as beside:
            shutil.copyfile(path, beside)
    return [to / name for _, name in files]
