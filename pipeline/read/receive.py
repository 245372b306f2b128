"""Handing a role its files, logged before they are handed over."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.access import audit, go_live, staff
from pipeline.access.authorize import AccessDenied, AccessRequest, entitled, own_reports
from pipeline.classified import managers
from pipeline.context import Context
from pipeline.errors import PolicyError
from pipeline.policy.fields import Audience
from pipeline.published.exports import FOLDER, names
from pipeline.published.reports import coaching_page
from pipeline.read.service import reference
from pipeline.storage.engine import engine
from pipeline.storage.files import atomic_build
from pipeline.storage.sql import identifier


def _files(
    context: Context, request: AccessRequest, own_ref: str | None
) -> Iterator[tuple[Path, str]]:
    """The files that a role receives for the stated purpose, and under which name."""
    audience = context.governance.purposes[request.purpose].audience
    folder = context.layout.current / FOLDER / request.role.value
    own = audience in context.access.own_reports
    for name in names(context, audience):
        # Who is in a pilot gets the pilot's file (pipeline/governance/pilot.py).
        pilots = context.layout.pilot.glob(f"*/{request.actor}/{request.role.value}/{name}")
        usual = folder / (f"{own_ref}.duckdb" if own else name)
        yield max(pilots, default=usual), name


def receive(
    context: Context,
    request: AccessRequest,
    own_ref: str | None,
    to: Path,
    *,
    replace: bool = False,
) -> list[Path]:
    """Hand an actor the files of one purpose; logged before they are there.

    Args:
        request: with any table of the audience.
        own_ref: the actor's pseudonym in the audience.
        to: folder for the files; made if it does not exist.
        replace: files of these names that are there, each in one step: whoever reads one has the
            old release's or the new one's.

    Returns:
        The files written.

    Raises:
        AccessDenied: the role does not receive the audience as files.
        PolicyError: nothing is published, or a file of that name exists and is not replaced.
    """
    member = managers.member(context, request.actor)
    try:
        files, own = _granted(context, request, member, own_ref)
        if not replace and any((to / name).exists() for _, name in files):
            raise PolicyError("the folder already contains a file of that name; see --replace")
    except PolicyError as refusal:
        audit.note(context, request, (), decision=f"refused: {refusal}")
        raise
    for path in (path for path, name in files if name.endswith(".duckdb")):
        _log(context, request, path, own=own)
    to.mkdir(parents=True, exist_ok=True, mode=0o700)
    team = _own_team(context, request, member)
    usual = context.layout.current / FOLDER / request.role.value
    for path, name in files:
        with atomic_build(to / name, to) as beside:
            if team and name in coaching_page.pages(context) and path.parent == usual:
                database = next(p for p, n in files if n.endswith(".duckdb"))
                page = coaching_page.of_manager(context, database, name, team)
                beside.write_text(page, "utf-8")
            else:
                shutil.copyfile(path, beside)
    return [to / name for _, name in files]


def _own_team(context: Context, request: AccessRequest, member: staff.Member | None) -> str | None:
    """The pseudonym of the team that reports to the actor, for a role with own reports."""
    audiences = {Audience.COACHING, *context.access.roles[request.role].receives}
    if member is None or not audiences & set(context.access.own_reports):
        return None
    return reference(context, member.person, Audience.COACHING)


def _granted(
    context: Context,
    request: AccessRequest,
    member: staff.Member | None,
    own_ref: str | None,
) -> tuple[list[tuple[Path, str]], bool]:
    """The files with their names, and whether they show the actor's own reports only.

    Raises:
        PolicyError: as `receive`.
    """
    go_live.require_open(context.layout, context.access, context.version)
    rule, audience = entitled(context, request, member, dt.datetime.now(dt.UTC))
    if audience not in rule.receives:
        raise AccessDenied(f"{request.role.value} does not receive {audience.value}")
    own = own_reports(context, audience, own_ref)
    files = list(_files(context, request, own_ref))
    if not all(path.exists() for path, _ in files):
        raise PolicyError("these files do not exist yet; the next run creates them")
    return files, own


def _log(context: Context, request: AccessRequest, path: Path, *, own: bool) -> None:
    """Write down that a database is handed over, and whose rows are in it."""
    spec, table = context.data_map.published[request.table], identifier(request.table)
    refs: list[tuple[object, ...]] = []
    with engine(context.layout.work, path, read_only=True) as connection:
        ((rows,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
        if own:
            refs = connection.execute(f"SELECT DISTINCT learner_ref FROM {table}").fetchall()
    audit.note(
        context,
        request,
        [str(ref) for (ref,) in refs],
        fields=spec.columns,
        rows=int(rows),
        everybody=not own and "learner_ref" in spec.columns,
    )
