"""Tombstones: an erased person does not come back by a repeated export or a restored backup.

Only a keyed hash of each identifier is kept (HMAC-SHA256 under a key of its own), so the list
reveals nothing without the key ring, and an identifier can still be compared with it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from pathlib import Path

import duckdb

from pipeline.context import Context
from pipeline.keys.ring import KeyRing
from pipeline.storage import cases
from pipeline.storage.file_edit import FileEdit, apply_edit
from pipeline.storage.layout import Layout
from pipeline.storage.relations import (
    files,
    holds,
    parquet,
    records,
    roster_history,
    subquery,
)
from pipeline.storage.schema import ROSTER
from pipeline.storage.sql import Sql, literal, literals, render
from pipeline.subjects.identity import Window

FILE = "tombstones.json.enc"


def entries(layout: Layout) -> list[dict[str, str]]:
    """Keyed hash (`hmac`) and day (`made_on`) of every erased identifier; the days (`since`,
    `until`) of those that others had at other times; of an address that became known later, the
    delivery whose roster lists it (`had_on`)."""
    found: list[dict[str, str]] = json.loads(cases.read(layout, layout.vault / FILE) or "[]")
    return found


def write(layout: Layout, changed: list[dict[str, str]]) -> None:
    """Replace the list."""
    cases.write(layout, layout.vault / FILE, json.dumps(changed))


def add(
    context: Context, identifiers: Iterable[str], today: dt.date, shared: Iterable[Window] = ()
) -> None:
    """Set a tombstone for every identifier of an erased person; a repeated call changes nothing.

    Args:
        shared: what others had as well, with the days on which it is or may be the person's.
    """
    context.ring.create()
    ring = context.ring
    known = {_stone(one) for one in entries(context.layout)}
    wanted: list[tuple[str, str | None, str | None]]
    wanted = [(one, None, None) for one in identifiers]
    wanted += [(*window,) for window in shared]
    added = [
        {"hmac": ring.own_tombstone(identifier), "made_on": today.isoformat()}
        | ({"since": since, "until": until} if since and until else {})
        for identifier, since, until in wanted
        if not {(one, since, until) for one in ring.tombstone([identifier])} & known
    ]
    unite(context.layout, sorted(added, key=str))


def _stone(entry: dict[str, str]) -> tuple[str, str | None, str | None]:
    """What distinguishes a tombstone: the hash, and the days if there are any."""
    return entry["hmac"], entry.get("since"), entry.get("until")


@cases.changes
def unite(layout: Layout, added: Iterable[dict[str, str]]) -> None:
    """Add tombstones that are not there, such as those of a backup."""
    there = entries(layout)
    known = {_stone(one) for one in there}
    new = {_stone(one): one for one in added if _stone(one) not in known}
    if new:
        write(layout, [*there, *new.values()])


def hashes(layout: Layout) -> set[str]:
    """The keyed hashes of identifiers that meant erased people at any time."""
    return {one["hmac"] for one in entries(layout) if "since" not in one}


def windows(layout: Layout) -> set[Window]:
    """The keyed hashes, in the place of the identifiers, of what others had at other times."""
    return {
        Window(one["hmac"], one["since"], one["until"]) for one in entries(layout) if "since" in one
    }


# An identifier, and every employee's that it can be read as.
READINGS = """
    SELECT identifier, list_distinct([identifier, employee_identifier(said)]
        || list_transform(number_readings(employee_number(said)), LAMBDA one: 'emp:' || one))
    FROM (
        SELECT identifier, CASE
            WHEN starts_with(identifier, 'emp:') THEN substr(identifier, 5)
            WHEN account_page(identifier) IN ({pages}) THEN account_name(identifier)
        END AS said
        FROM (
            SELECT learner_id AS identifier FROM {file} UNION SELECT manager_id FROM {file}
        )
        WHERE identifier IS NOT NULL
    )
"""


def _refused(
    connection: duckdb.DuckDBPyConnection,
    ring: KeyRing,
    known: set[str],
    dated: set[Window],
    pages: tuple[str, ...],
    rows: Sql,
) -> tuple[list[str], list[Window]]:
    """Learner and manager identifiers of some rows that have a tombstone: at any time, and on some
    days."""
    whole: list[str] = []
    some: list[Window] = []
    ours = ", ".join(f"home_page({literal(page)})" for page in pages) or "NULL"
    query = READINGS.format(file=rows, pages=ours)
    for identifier, readings in connection.execute(query).fetchall():
        found = ring.tombstone(str(one) for one in readings or [identifier] if one)
        if found & known:
            whole.append(str(identifier))
        some += [one._replace(identifier=str(identifier)) for one in dated if one[0] in found]
    return whole, some


def _follow(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    ring: KeyRing,
    rosters: list[Path],
    pages: tuple[str, ...],
) -> None:
    """Set tombstones for addresses that rosters go on to list of erased employees, unless another
    employee has or had them: under a new address the person would come back as a stranger."""
    known = hashes(layout)
    if not known:
        return
    ids = {
        one
        for path in rosters
        for one in _refused(connection, ring, known, set(), pages, literal(path))[0]
    }
    if not ids:
        return
    rows, others = parquet(rosters, ROSTER), f"learner_id NOT IN ({literals(sorted(ids))})"
    found = connection.execute(
        "SELECT unnest(identifiers_of_address(email)), had_on "
        f"FROM (SELECT email, max(delivery_date)::VARCHAR AS had_on FROM {rows} "
        f"WHERE email IS NOT NULL AND NOT {others} "
        f"AND email NOT IN (SELECT email FROM {rows} WHERE email IS NOT NULL AND {others} UNION "
        f"SELECT email FROM {roster_history(layout)} WHERE email IS NOT NULL AND {others}) "
        "GROUP BY email)"
    ).fetchall()
    today = dt.datetime.now(dt.UTC).date().isoformat()
    new = sorted((one, had_on) for one, had_on in found if not ring.tombstone([one]) & known)
    unite(
        layout,
        [
            {"hmac": ring.own_tombstone(one), "made_on": today, "had_on": had_on}
            for one, had_on in new
        ],
    )


def _given_to_others(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    ring: KeyRing,
    ids: Iterable[str],
    rosters: list[Path],
    pages: tuple[str, ...],
) -> dict[str, Window]:
    """Of identifiers with a tombstone, the addresses that a roster since then lists for somebody
    else, who may be the same person under a new number; each with the days before it did. What
    comes later is no record of whoever was erased, unless these rosters still list both.

    Args:
        rosters: files that nobody was removed from yet.
    """
    made = {
        one["hmac"]: one.get("had_on", one["made_on"])
        for one in entries(layout)
        if "since" not in one
    }
    erased_on = [
        (one, dt.date.fromisoformat(min(made[stone] for stone in stones)))
        for one in sorted(ids)
        if one.startswith(("mbox:", "sha1:")) and (stones := ring.tombstone([one]) & made.keys())
    ]
    if not erased_on:
        return {}
    rows = subquery(
        f"FROM {parquet(rosters, ROSTER)} UNION ALL BY NAME FROM {roster_history(layout)}"
    )
    found = connection.execute(
        render(
            "pipeline.subjects",
            "given_to_others.sql",
            rosters=rows,
            erased=erased_among(connection, layout, ring, rows, pages),
            erased_on=erased_on,
        )
    ).fetchall()
    return {one: Window(one, "-infinity", until) for one, until in found}


def erased_among(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    ring: KeyRing,
    rows: Sql,
    pages: tuple[str, ...],
) -> list[str]:
    """The identifiers of some rows that meant an erased person at any time.

    Args:
        rows: relation with learner_id and manager_id. The others as `refuse`.
    """
    known = hashes(layout)
    return _refused(connection, ring, known, set(), pages, rows)[0] if known else []


def refuse(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    ring: KeyRing,
    files: Iterable[Path],
    pages: tuple[str, ...],
) -> int:
    """Remove erased people from record and roster files before anybody reads them.

    Args:
        layout: the files are below it.
        pages: home pages whose account names are the company's numbers.

    Returns:
        Rows removed.
    """
    removed, files = 0, list(files)
    rosters = [path for path in files if holds(path, "roster")]
    _follow(connection, layout, ring, rosters, pages)
    known, dated = hashes(layout), windows(layout)
    if not (known or dated):
        return 0
    found = {path: _refused(connection, ring, known, dated, pages, literal(path)) for path in files}
    named = {one for path in files if holds(path, "records") for one in found[path][0]}
    given = _given_to_others(connection, layout, ring, named, rosters, pages)
    for path, (ids, days) in found.items():
        if holds(path, "records"):
            mine = [window for one, window in given.items() if one in ids]
            edit = _without(path, [one for one in ids if one not in given], [*days, *mine])
        else:
            # A row of a roster names its employee by number, which is nobody else's.
            edit = _without(path, ids, [])
        result = apply_edit(connection, layout, edit)
        removed += result.before - result.after if result else 0
    return removed


def refuse_returned(
    connection: duckdb.DuckDBPyConnection, layout: Layout, ring: KeyRing, pages: tuple[str, ...]
) -> int:
    """Remove from the canonical store what an address of an erased person let in while it was
    somebody else's, and who has it can be said no more: the roster that said so was withdrawn or
    replaced. Arguments and result as `refuse`."""
    known = hashes(layout)
    if not known:
        return 0
    rows, rosters = records(layout), roster_history(layout)
    nobodys = render("pipeline.subjects", "nobodys_addresses.sql", records=rows, rosters=rosters)
    if not any(ring.tombstone([one]) & known for (one,) in connection.execute(nobodys).fetchall()):
        return 0
    return refuse(connection, layout, ring, files(layout, "records"), pages)


def _without(path: Path, ids: list[str], days: list[Window]) -> FileEdit:
    """The file without rows of these identifiers, also as somebody's manager."""

    def named(column: str) -> str:
        return " OR ".join([f"{column} IN ({literals(ids)})", *(one.sql(column) for one in days)])

    return FileEdit(path, named("learner_id"), {"manager_id": named("manager_id")})
