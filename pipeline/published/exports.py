"""What each role receives as files of its own, so that no SQL in them can reach any further.

exports/<role>/<database>.duckdb      the published file itself, as a hard link
exports/<role>/<table>.parquet        each of its tables once more, for tools that read no DuckDB
exports/<role>/coaching.html          the coaching figures as a page to read, in the first of the
                                      languages that policy names; coaching.<language>.html in
                                      the others
exports/manager/<manager_ref>.duckdb  the reports of one manager, by the reporting line that the
                                      run resolved; for managers on the staff list, and by the
                                      roster if policy says so (pipeline/classified/managers.py)

They are part of a release: written before it is published and removed with it. Before the company
is live there are none.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb

from pipeline.access import staff
from pipeline.classified import managers
from pipeline.context import Context
from pipeline.policy.fields import Audience
from pipeline.published.reports import coaching_page
from pipeline.published.tables import READABLE, attached, describe
from pipeline.storage import encryption
from pipeline.storage.engine import engine
from pipeline.storage.sql import identifier, literal, literals

FOLDER = "exports"
SMALL = f"BLOCK_SIZE 16384, {READABLE}"


def _databases(context: Context, audience: Audience) -> dict[str, list[str]]:
    """An audience's databases, and the tables of each."""
    found: dict[str, list[str]] = {}
    for table, spec in context.data_map.with_dimensions(audience).items():
        found.setdefault(spec.database, []).append(table)
    return found


def _managers(
    connection: duckdb.DuckDBPyConnection, context: Context, audience: Audience
) -> dict[str, list[str] | None]:
    """Pseudonyms of the managers who have records; of those by the roster each with the pseudonyms
    of the reports that it shows, and of those on the staff list with None."""
    listed = [one.person for one in staff.everyone(context.layout).values() if one.person]
    by_roster = managers.reports_of_everyone(connection, context)
    path = context.layout.references(audience)
    if not (listed or by_roster) or not path.exists():
        return {}
    people = {*listed, *(one for line in by_roster for one in line)}
    refs = dict(
        connection.execute(
            f"SELECT person, ref FROM {encryption.rows(connection, context.layout, path)} "
            "WHERE person IN (SELECT unnest($people))",
            {"people": sorted(people)},
        ).fetchall()
    )
    found: dict[str, list[str] | None] = {}
    for manager, learner in by_roster:
        if manager in refs and learner in refs:
            of = found.setdefault(refs[manager], [])
            assert of is not None
            of.append(refs[learner])
    return found | {refs[one]: None for one in listed if one in refs}


def _own_reports(context: Context, staged: Path, audience: Audience, folder: Path) -> None:
    """One file per manager, with their own reports only."""
    with engine(context.layout.work) as connection:
        everyone = _managers(connection, context, audience)
        for tables in _databases(context, audience).values():
            with attached(connection, context, staged, tables[0], "all_reports"):
                for ref, only in sorted(everyone.items()):
                    reports = "" if only is None else f" AND learner_ref IN ({literals(only)})"
                    out = folder / f"{ref}.duckdb"
                    connection.execute(f"ATTACH {literal(out)} AS own ({SMALL})")
                    for table in tables:
                        connection.execute(
                            f"CREATE TABLE own.{identifier(table)} AS "
                            f"FROM all_reports.{identifier(table)} "
                            f"WHERE manager_ref = {literal(ref)}{reports} ORDER BY ALL"
                        )
                        describe(connection, "own", table, context.data_map)
                    connection.execute("DETACH own")


def names(context: Context, audience: Audience) -> list[str]:
    """The files that a role receives for an audience."""
    databases = _databases(context, audience)
    files = [f"{database}.duckdb" for database in databases]
    if audience in context.access.own_reports:
        return files
    files += [f"{table}.parquet" for tables in databases.values() for table in tables]
    return [*files, *coaching_page.pages(context)] if audience is Audience.COACHING else files


def remove(folder: Path) -> None:
    """Remove every role's files, and the pages, from a release or from among staged tables."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    for page in folder.glob(coaching_page.EVERY):
        page.unlink(missing_ok=True)


def _as_parquet(context: Context, staged: Path, audience: Audience, folder: Path) -> None:
    """The same tables as Parquet, for tools that read no DuckDB."""
    with engine(context.layout.work) as connection:
        for tables in _databases(context, audience).values():
            with attached(connection, context, staged, tables[0], "published"):
                for table in tables:
                    connection.execute(
                        f"COPY published.{identifier(table)} TO "
                        f"{literal(folder / f'{table}.parquet')} (FORMAT parquet)"
                    )


def write(context: Context, staged: Path, partition: str) -> None:
    """Put every role's files beside the staged tables; their checks have passed on these."""
    remove(staged)
    coaching_page.write(context, staged, partition)
    parquet: dict[Audience, Path] = {}  # where an audience's tables were written as Parquet
    for role, rule in context.access.roles.items():
        folder = staged / FOLDER / role.value
        folder.mkdir(parents=True, mode=0o700)
        for audience in rule.receives:
            if audience in context.access.own_reports:
                _own_reports(context, staged, audience, folder)
                continue
            if audience not in parquet:
                parquet[audience] = folder
                _as_parquet(context, staged, audience, folder)
            for name in names(context, audience):
                made = parquet[audience] if name.endswith(".parquet") else staged
                if made != folder:
                    # A hard link: nothing is copied, so nothing can differ.
                    os.link(made / name, folder / name)


def withdraw(context: Context, ref: str | None) -> None:
    """Remove a manager's file at once, when the role is revoked."""
    if ref is not None:
        for path in (context.layout.current / FOLDER).glob(f"*/{ref}.duckdb"):
            path.unlink()
