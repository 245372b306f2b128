"""What each role receives as files of its own, so that no SQL in them reaches any further.

exports/<role>/<database>.duckdb      the published file itself, under one more name
exports/<role>/coaching.html          the coaching figures as a page to read
exports/manager/<manager_ref>.duckdb  the reports of one manager, by the reporting line that the
                                      night resolved; for managers on the staff list only

They are part of a release: written before it leaves, gone with it.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb

from pipeline.access import approval, audit, staff
from pipeline.access.authorize import Ask, Refused, entitled, own_reports
from pipeline.context import Ground
from pipeline.policy.base import PolicyError
from pipeline.policy.fields import Purpose
from pipeline.published.reports import coaching_page
from pipeline.published.tables import attached
from pipeline.storage import encryption
from pipeline.storage.engine import engine, identifier, literal
from pipeline.storage.layout import built_beside

FOLDER = "exports"


def _databases(ground: Ground, audience: Purpose) -> dict[str, list[str]]:
    """Database to its tables, of one audience."""
    found: dict[str, list[str]] = {}
    for table, spec in ground.data_map.tables_of(audience).items():
        found.setdefault(spec.database, []).append(table)
    return found


def _managers(connection: duckdb.DuckDBPyConnection, ground: Ground, audience: Purpose) -> set[str]:
    """Pseudonyms of the managers on the staff list who are known to the night."""
    people = [one.person for one in staff.everyone(ground.layout).values() if one.person]
    path = ground.layout.references(audience)
    if not people or not path.exists():
        return set()
    found = connection.execute(
        f"SELECT ref FROM {encryption.rows(connection, ground.layout, path)} "
        "WHERE person IN (SELECT unnest($people))",
        {"people": people},
    ).fetchall()
    return {str(ref) for (ref,) in found}


def _own_reports(ground: Ground, staged: Path, audience: Purpose, folder: Path) -> None:
    """One file a manager, with their own reports and nothing of anybody else's."""
    with engine(ground.layout.work) as connection:
        managers = _managers(connection, ground, audience)
        for tables in _databases(ground, audience).values():
            with attached(connection, ground, staged, tables[0], "all_reports"):
                for ref in sorted(managers):
                    out = folder / f"{ref}.duckdb"
                    connection.execute(f"ATTACH {literal(out)} AS own (BLOCK_SIZE 16384)")
                    for table in map(identifier, tables):
                        connection.execute(
                            f"CREATE TABLE own.{table} AS FROM all_reports.{table} "
                            f"WHERE manager_ref = {literal(ref)} ORDER BY ALL"
                        )
                    connection.execute("DETACH own")


def names(ground: Ground, audience: Purpose) -> list[str]:
    """What a role that receives an audience gets, as files."""
    files = [f"{database}.duckdb" for database in _databases(ground, audience)]
    return [*files, coaching_page.PAGE] if audience is Purpose.COACHING else files


def write(ground: Ground, staged: Path, partition: str) -> None:
    """Put every role's files beside the staged tables; their checks have passed on these."""
    shutil.rmtree(staged / FOLDER, ignore_errors=True)
    coaching_page.write(ground, staged, partition)
    for role, rule in ground.access.roles.items():
        folder = staged / FOLDER / role.value
        folder.mkdir(parents=True, mode=0o700)
        for audience in rule.receives:
            if audience in ground.access.own_reports:
                _own_reports(ground, staged, audience, folder)
                continue
            for name in names(ground, audience):
                # One more name for the same bytes: nothing is copied, nothing can differ.
                os.link(staged / name, folder / name)


def withdraw(ground: Ground, ref: str | None) -> None:
    """Remove a manager's file at once, when the role is taken away."""
    if ref is not None:
        for path in (ground.layout.current / FOLDER).glob(f"*/{ref}.duckdb"):
            path.unlink()


def _files(ground: Ground, ask: Ask, own_ref: str | None) -> Iterator[tuple[Path, str]]:
    """The files that a role receives for the stated purpose, and under which name."""
    audience = ground.governance.purposes[ask.purpose].audience
    folder = ground.layout.current / FOLDER / ask.role.value
    own = audience in ground.access.own_reports
    for name in names(ground, audience):
        # Who is in a pilot gets the pilot's file (pipeline/governance/pilot.py).
        piloted = sorted(ground.layout.pilot.glob(f"*/{ask.actor}/{ask.role.value}/{name}"))
        usual = folder / (f"{own_ref}.duckdb" if own else name)
        yield (piloted[-1] if piloted else usual), name


def receive(ground: Ground, ask: Ask, own_ref: str | None, to: Path) -> list[Path]:
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
    member = staff.find(ground.layout, ask.actor)
    try:
        approval.require_open(ground.layout, ground.access, ground.version)
        rule, audience = entitled(ground, ask, member, dt.datetime.now(dt.UTC))
        if audience not in rule.receives:
            raise Refused(f"{ask.role.value} does not receive {audience.value}")
        own = own_reports(ground, audience, own_ref)
        files = list(_files(ground, ask, own_ref))
        if not all(path.exists() for path, _ in files):
            raise PolicyError("there is no such file yet; the next night makes it")
        if any((to / name).exists() for _, name in files):
            raise PolicyError("the folder has a file of that name already")
    except PolicyError as refusal:
        audit.note(ground, ask, (), decision=f"refused: {refusal}")
        raise
    spec = ground.data_map.published[ask.table]
    for path in (path for path, name in files if name != coaching_page.PAGE):
        with engine(ground.layout.work, path, read_only=True) as connection:
            ((rows,),) = connection.sql(f"SELECT count(*) FROM {identifier(ask.table)}").fetchall()
            refs = (
                connection.sql(f"SELECT DISTINCT learner_ref FROM {identifier(ask.table)}")
                .fetchall() if own else []
            )  # fmt: skip
        everybody = not own and "learner_ref" in spec.columns
        people = [str(ref) for (ref,) in refs]
        audit.note(ground, ask, people, fields=spec.columns, rows=int(rows), everybody=everybody)
    to.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path, name in files:
        with built_beside(to / name, to) as beside:
            shutil.copyfile(path, beside)
    return [to / name for _, name in files]
