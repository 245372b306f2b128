"""The row history: analysts' rows of a period are published once, all of them together, and then
repeated as they are.

So two releases cannot be subtracted from each other: late records, corrections, joiners and leavers
change nothing. What leaves, leaves by whole classes, of at least k people: at the earliest window
of any record in it, when one of its people may not be in the table any more, when a delivery that
brought one of its records is withdrawn, when a course is not ordinary any more, and when policy
asks for more people than it has. Only an erasure (GDPR Art. 17)
takes a single person's rows.

For that the history knows whose row it is, by the identifier of the classified store: it survives a
new key and a restored backup. It is encrypted, and nothing of it but the published columns leaves.

The folder:
    <period>.parquet  one row per record that the period covered; HISTORY says of what columns
    periods.json      period to the run that published it; a period stays here when its rows go
    number.json       how often the history was written; a release says how often by then
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
from dateutil.relativedelta import relativedelta

from pipeline.classified import population, run_snapshot
from pipeline.classified.sensitivity import course_sensitivity
from pipeline.context import Context
from pipeline.policy.disclosure import MONTHS, ClassRule
from pipeline.policy.fields import Audience
from pipeline.policy.windows import Cutoffs, make_cutoffs, with_due
from pipeline.published import (
    PACKAGE,
    equivalence_classes,
    publication_history,
    shuffled_details,
)
from pipeline.published.tables import attached
from pipeline.raw import register
from pipeline.storage import encryption, relations
from pipeline.storage.engine import count
from pipeline.storage.file_edit import EditResult, fresh_path, swap
from pipeline.storage.files import atomic_build, replace_text
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from pipeline.storage.manifest import manifest
from pipeline.storage.relations import classified, subquery, temp_table, temp_view
from pipeline.storage.sql import Sql, identifier, literal, literals, render
from pipeline.subjects.restrictions import RESTRICTIONS, make_restrictions

PERIODS, NUMBER = "periods.json", "number.json"
# Of every record: its row's class (NULL if suppressed), and whether it is the one that the row
# shows; then what says when it is past its window, and the lot in which its details were shuffled.
# The published columns follow, as published_<name>, of the record that the row shows.
HISTORY: dict[str, str] = {
    "record_key": "UUID",
    "person": "VARCHAR",
    "team": "VARCHAR",
    "period": "DATE",
    "course_code": "VARCHAR",
    "class": "UBIGINT",
    "shown": "BOOLEAN",
    "record_type": "VARCHAR",
    "region": "VARCHAR",
    "event_on": "DATE",
    "started_on": "DATE",
    "assigned_on": "DATE",
    "first_seen": "DATE",
    "left_on": "DATE",
    "on_roster": "BOOLEAN",
    **shuffled_details.LOT,
}
HISTORY_ROWS, LIVE = "row_history", "live_classes"


def _as_published(name: str) -> str:
    return f"published_{name}"


def periods(layout: Layout) -> dict[str, str]:
    """Period (its first day) to the run that published it; never to be published again."""
    path = layout.row_history / PERIODS
    found: dict[str, str] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def number(layout: Layout) -> int:
    """How often the history was written; 0 if there is none."""
    path = layout.row_history / NUMBER
    return int(json.loads(path.read_text("utf-8"))) if path.exists() else 0


def files(layout: Layout) -> list[Path]:
    """The history's files, oldest period first."""
    return sorted(layout.row_history.glob("*.parquet"))


def _columns(context: Context) -> dict[str, str]:
    """The columns of the history under today's data map, with their types."""
    ((_, spec),) = context.data_map.tables_of(Audience.ANALYTICS).items()
    types = {_as_published(n): context.data_map.columns[n].type for n in spec.columns}
    return HISTORY | types


def stored(connection: duckdb.DuckDBPyConnection, context: Context, found: Iterable[Path]) -> Sql:
    """The rows of some files of the history, as a temporary view, so that a query decrypts only the
    columns that it reads. A column of today is empty in what was published without it, and so are
    the details that too few people share for the policy of today."""
    ((table, _),) = context.data_map.tables_of(Audience.ANALYTICS).items()
    wanted, rule = _columns(context), context.disclosure.classes[table]
    nothing = ", ".join(f"NULL::{kind} AS {identifier(name)}" for name, kind in wanted.items())
    parts = [f"SELECT {nothing} WHERE false"]
    for path in found:
        rows = encryption.rows(connection, context.layout, path)
        there = set(connection.sql(f"FROM {rows} LIMIT 0").columns)
        chosen = ", ".join(
            f"{identifier(name) if name in there else 'NULL'}::{kind} AS {identifier(name)}"
            for name, kind in wanted.items()
        )
        parts.append(f"SELECT {chosen} FROM {rows}")
    details = ", ".join(
        f"{shuffled_details.shown_sql(name, identifier(column), rule)} AS {identifier(column)}"
        for name, column in ((one, _as_published(one)) for one in shuffled_details.SHUFFLED)
        if column in wanted
    )
    query = f"SELECT * REPLACE ({details}) FROM ({' UNION ALL '.join(parts)})"
    return temp_view(connection, HISTORY_ROWS, query)


def staged_files(layout: Layout, partition: str) -> list[Path]:
    """The history's files of the periods that the staged table publishes for the first time; those
    that a killed release has recorded already are in the history."""
    known = periods(layout)
    found = layout.staged_rows(partition).glob("*.parquet")
    return sorted(path for path in found if path.stem not in known)


def new_periods(layout: Layout, partition: str) -> list[dt.date]:
    """First days of the periods that the staged table publishes for the first time."""
    return [dt.date.fromisoformat(path.stem) for path in staged_files(layout, partition)]


def periods_to_publish(
    connection: duckdb.DuckDBPyConnection, layout: Layout, rows: Sql, rule: ClassRule
) -> list[dt.date]:
    """First days of the periods that are closed, and of which nothing is published so far. Periods
    of another length, from before a change of policy, count by the days that they covered.

    Args:
        rows: the analysts' pseudonymized rows.
    """
    before, covered = publication_history.closed_before(layout, rule), _covered(connection, layout)
    found = connection.execute(
        f"SELECT DISTINCT date_trunc({literal(rule.period)}, period)::DATE AS period "
        f"FROM {rows} WHERE period IS NOT NULL ORDER BY period"
    ).fetchall()
    months = relativedelta(months=MONTHS[rule.period])
    return [
        period
        for (period,) in found
        if period < before
        and not any(first < period + months and period <= last for first, last in covered)
    ]


def _covered(
    connection: duckdb.DuckDBPyConnection, layout: Layout
) -> list[tuple[dt.date, dt.date]]:
    """The first day of every published period, and the last one of which it has a record."""
    firsts = [dt.date.fromisoformat(period) for period in periods(layout)]
    last = {first: first for first in firsts}
    for path in files(layout):
        rows = encryption.rows(connection, layout, path)
        found = f"SELECT period, max(coalesce(event_on, assigned_on)) FROM {rows} GROUP BY period"
        last |= dict(connection.execute(found).fetchall())
    return list(last.items())


def live_classes(connection: duckdb.DuckDBPyConnection, context: Context, history: Sql) -> Sql:
    """A temporary table of the classes (period, class) that may be published now.

    Args:
        history: as `stored` returns it.
    """
    ((table, _),) = context.data_map.tables_of(Audience.ANALYTICS).items()
    rule, until = context.disclosure.classes[table], run_snapshot.read(context.layout).until
    make_restrictions(connection, context)
    cutoffs = make_cutoffs(
        connection, "row_cutoffs", context.rules, context.data_map, until, Audience.ANALYTICS
    )
    query = render(
        PACKAGE,
        "live_classes.sql",
        history=_with_windows(connection, context.layout, history, cutoffs),
        restrictions=Sql(RESTRICTIONS),
        audience=Audience.ANALYTICS.value,
        courses=_ordinary_courses(connection, context, history),
        withdrawn=register.withdrawn(context.layout),
        classified=classified(context.layout),
        holding=holding_sql(history, "(period, class)", rule),
    )
    return temp_table(connection, LIVE, query)


def holding_sql(history: Sql, group: str, rule: ClassRule) -> Sql:
    """SQL: the groups (id) of a history's rows that may be published.

    Args:
        group: SQL, what groups them.
    """
    members = render(PACKAGE, "members_of_history.sql", history=history, unit=Sql(group))
    return equivalence_classes.holding_sql(members, rule)


def _with_windows(
    connection: duckdb.DuckDBPyConnection, layout: Layout, history: Sql, cutoffs: Cutoffs
) -> Sql:
    """The history with `due`; who has left since is known from the roster of today."""
    roster = relations.roster(layout)
    today = render(PACKAGE, "history_with_roster.sql", history=history, roster=roster)
    return with_due(subquery(today), cutoffs)


def _ordinary_courses(connection: duckdb.DuckDBPyConnection, context: Context, history: Sql) -> Sql:
    """The courses of the history (course_code) that are ordinary, as decided by now."""
    titles = population.load_titles(connection, context.layout)
    known = (
        f"SELECT course_code, course_title FROM {titles} UNION ALL "
        f"SELECT DISTINCT course_code, NULL FROM {history}"
    )
    decided = course_sensitivity(connection, context, subquery(known))
    return subquery(f"SELECT course_code FROM {decided} WHERE sensitivity IS NULL")


def published_before(connection: duckdb.DuckDBPyConnection, layout: Layout, live: Sql) -> Sql:
    """Of the live classes, those of periods that were published in an earlier run."""
    known = literals(map(dt.date.fromisoformat, periods(layout)))
    return temp_table(connection, f"{LIVE}_before", f"FROM {live} WHERE period IN ({known})")


def classes_too_small(
    connection: duckdb.DuckDBPyConnection,
    history: Sql,
    live: Sql,
    new: list[dt.date],
    rule: ClassRule,
    columns: tuple[str, ...],
) -> int:
    """How many classes do not hold, of those that are live or chosen for a new period, counted by
    the published values themselves and not by what they were chosen as."""
    key = ", ".join(_as_published(name) for name in equivalence_classes.class_key(columns))
    group = f"hash({key})"
    shown = subquery(
        f"FROM {history} WHERE shown AND class IS NOT NULL "
        f"AND (period IN ({literals(new)}) OR (period, class) IN (FROM {live}))"
    )
    return count(
        connection,
        f"SELECT count(DISTINCT {group}) FROM {shown} "
        f"WHERE {group} NOT IN ({holding_sql(shown, group, rule)})",
    )


def joined_by_content(
    connection: duckdb.DuckDBPyConnection,
    history: Sql,
    new: list[dt.date],
    rule: ClassRule,
    columns: tuple[str, ...],
) -> int:
    """How many rows of new periods say more of somebody than the result: their details were not
    drawn from people with the same result who are enough, counted anew."""
    of_new = f"FROM {history} WHERE shown AND period IN ({literals(new)})"
    # Who was suppressed is in a lot as well, and of these no detail is kept.
    members = Sql(
        "SELECT lot AS id, person, team, coalesce(published_status = 'failed', FALSE) "
        f"OR published_score_band IS DISTINCT FROM 'low' AS not_adverse {of_new}"
    )
    says = [f"{_as_published(n)} IS NOT NULL" for n in shuffled_details.LEFT_OUT if n in columns]
    more = " OR ".join([*says, "published_status = 'waived'"])
    holding = equivalence_classes.holding_sql(members, rule)
    return count(
        connection,
        f"SELECT count(*) {of_new} AND ({more}) AND (lot IS NULL OR lot NOT IN ({holding}))",
    )


def rows_sql(history: Sql, live: Sql, columns: tuple[str, ...], inner: tuple[str, ...] = ()) -> Sql:
    """The published rows of the live classes of a history, in the order of their values.

    Args:
        live: as `live_classes` returns it.
        columns: those of the published table.
        inner: columns of the history beside them, for measurements; none for what leaves.
    """
    chosen = [f"history.{identifier(name)}" for name in inner] + [
        f"history.{identifier(_as_published(name))} AS {identifier(name)}" for name in columns
    ]
    return render(
        PACKAGE,
        "rows_of_history.sql",
        history=history,
        live=live,
        columns=Sql(", ".join(chosen)),
    )


class StagedRows(NamedTuple):
    """What the staged table is made of: the history as `stored` returns it, and its live classes as
    `live_classes` does."""

    history: Sql
    live: Sql


def with_staged(
    connection: duckdb.DuckDBPyConnection, context: Context, partition: str
) -> StagedRows:
    """The history with the periods that the staged table publishes for the first time."""
    layout = context.layout
    history = stored(connection, context, [*files(layout), *staged_files(layout, partition)])
    return StagedRows(history, live_classes(connection, context, history))


def staged_sql(connection: duckdb.DuckDBPyConnection, context: Context, partition: str) -> Sql:
    """The rows that the staged table is to have."""
    ((_, spec),) = context.data_map.tables_of(Audience.ANALYTICS).items()
    return rows_sql(*with_staged(connection, context, partition), spec.columns)


def write_staged(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    partition: str,
    found: list[dt.date],
    rows: Sql | None,
) -> None:
    """Write what a run adds to the history beside the staged tables: a file per new period.

    Args:
        rows: the records of these periods: HISTORY and the published columns; None without one.
    """
    layout = context.layout
    if rows is None:
        shutil.rmtree(layout.staged_rows(partition), ignore_errors=True)
        return
    with atomic_build(layout.staged_rows(partition), layout.work) as beside:
        beside.mkdir(mode=0o700)
        for period in found:
            query = f"FROM {rows} WHERE period = {literal(period)} ORDER BY record_key"
            encryption.write_table(connection, layout, query, beside / f"{period}.parquet")


def record(layout: Layout, partition: str) -> None:
    """Add what is about to be published. Comes before the release, never after it: what has been
    published must be known to the next run even if this one is interrupted in between."""
    if added := staged_files(layout, partition):
        with atomic_build(layout.row_history, layout.work, durable=True) as beside:
            _begin(layout, beside)
            for path in added:
                os.link(path, beside / path.name)
            fresh = dict.fromkeys((path.stem for path in added), partition)
            _finish(beside, fresh | periods(layout), number(layout) + 1)
    shutil.rmtree(layout.staged_rows(partition), ignore_errors=True)


def _begin(layout: Layout, folder: Path, leave_out: Iterable[Path] = ()) -> None:
    """Fill a history under construction with the files of the one that is there."""
    folder.mkdir(mode=0o700)
    for path in set(files(layout)) - set(leave_out):
        os.link(path, folder / path.name)


def _finish(folder: Path, published: dict[str, str], times: int) -> None:
    (folder / PERIODS).write_text(json.dumps(published, indent=1, sort_keys=True), "utf-8")
    (folder / NUMBER).write_text(json.dumps(times), "utf-8")


def statement(layout: Layout) -> dict[str, object]:
    """What a release says of the history by then."""
    names = [path.name for path in files(layout)]
    return {"number": number(layout), "periods": periods(layout), "files": names}


def missing(layout: Layout, released: dict[str, Any]) -> list[str]:
    """What the history lacks of what a release says of it, in words; nothing if it is whole.

    Args:
        released: as `statement` made it for the release.
    """
    lost = sorted(set(released["periods"].items()) - set(periods(layout).items()))
    if lost:
        return [f"{len(lost)} of {len(released['periods'])} periods of rows"]
    times = number(layout)
    if times < released["number"]:
        return [f"{released['number'] - times} of {released['number']} changes of rows"]
    gone = set(released["files"]) - {path.name for path in files(layout)}
    return [f"{len(gone)} files of rows"] if times == released["number"] and gone else []


def accept_loss(layout: Layout) -> None:
    """Keep the rows that are there; the periods that were published are never published again, as
    `manifest` has them."""
    released = manifest(layout)["row_history"]
    assert isinstance(released, dict)
    with atomic_build(layout.row_history, layout.work, durable=True) as beside:
        _begin(layout, beside)
        _finish(beside, released["periods"] | periods(layout), released["number"] + 1)


def merge(layout: Layout, other: Layout) -> list[Path]:
    """Add the periods that only another history published: what was published once stays published.

    Returns:
        The files that were added, which can name people who were erased since.
    """
    mine, theirs = periods(layout), periods(other)
    if set(theirs) <= set(mine):
        return []
    added = [path for path in files(other) if path.stem not in mine]
    with atomic_build(layout.row_history, layout.work, durable=True) as beside:
        _begin(layout, beside)
        for path in added:
            (beside / path.name).write_bytes(path.read_bytes())
        _finish(beside, theirs | mine, max(number(layout), number(other)) + 1)
    return [layout.row_history / path.name for path in added]


def rewrite(
    connection: duckdb.DuckDBPyConnection,
    layout: Layout,
    survivors: dict[Path, str],
    before_swap: Callable[[EditResult, Path], None] | None = None,
) -> None:
    """Replace files of the history, or of a copy of it, by the rows that stay of them.

    Args:
        layout: of the data folder that the files are below.
        survivors: file to the query of its rows that stay.
        before_swap: called with what is done and the new file before the old one is replaced.
    """
    for folder in {path.parent for path in survivors}:
        # First the number: a history that differs from the release's is then known to be newer.
        times = int(json.loads((folder / NUMBER).read_text("utf-8")))
        replace_text(folder / NUMBER, json.dumps(times + 1))
    for path, query in survivors.items():
        fresh = fresh_path(layout, path)
        encryption.write_table(connection, layout, query, fresh)
        done = EditResult(
            path.relative_to(layout.root).as_posix(),
            _rows_in(connection, layout, path),
            _rows_in(connection, layout, fresh),
            0,
            file_sha256(path),
            file_sha256(fresh),
        )
        if before_swap:
            before_swap(done, fresh)
        swap(fresh, path)


def leaving(
    connection: duckdb.DuckDBPyConnection, layout: Layout, path: Path, survivors: str
) -> int:
    """How many records of a file of the history would go."""
    stay = count(connection, f"SELECT count(*) FROM ({survivors})")
    return _rows_in(connection, layout, path) - stay


def _rows_in(connection: duckdb.DuckDBPyConnection, layout: Layout, path: Path) -> int:
    return count(connection, f"SELECT count(*) FROM {encryption.rows(connection, layout, path)}")


def without(
    connection: duckdb.DuckDBPyConnection, layout: Layout, people: Iterable[str]
) -> dict[Path, str]:
    """What stays of the history without some people: of each file that names one, the query of the
    rows that stay. Whoever was in the team of one of them is in none that is known."""
    listed = literals(people)
    found = {}
    for path in files(layout):
        rows = encryption.rows(connection, layout, path)
        named = f"person IN ({listed}) OR team IN ({listed})"
        if count(connection, f"SELECT count(*) FROM {rows} WHERE {named}"):
            found[path] = (
                f"SELECT * REPLACE (CASE WHEN team NOT IN ({listed}) THEN team END AS team) "
                f"FROM {rows} WHERE person NOT IN ({listed})"
            )
    return found


def past_retention(
    connection: duckdb.DuckDBPyConnection, context: Context, now: dt.datetime
) -> dict[Path, str]:
    """What stays of the history when whatever is past its window at `now` is erased, with its whole
    class: as `without`."""
    layout = context.layout
    cutoffs = make_cutoffs(
        connection, "row_cutoffs", context.rules, context.data_map, now, Audience.ANALYTICS
    )
    found = {}
    for path in files(layout):
        rows = Sql(encryption.rows(connection, layout, path))
        due = temp_table(
            connection,
            f"due_rows_{path.stem}",
            render(
                PACKAGE,
                "due_rows.sql",
                history=_with_windows(connection, layout, rows, cutoffs),
            ),
        )
        if count(connection, f"SELECT count(*) FROM {due}"):
            found[path] = f"FROM {rows} WHERE record_key NOT IN (FROM {due})"
    return found


def outdated(connection: duckdb.DuckDBPyConnection, context: Context) -> bool:
    """Does the released table differ from what may be published of the history now?"""
    ((table, spec),) = context.data_map.tables_of(Audience.ANALYTICS).items()
    history = stored(connection, context, files(context.layout))
    rows = rows_sql(history, live_classes(connection, context, history), spec.columns)
    with attached(connection, context, context.layout.current, table, "released"):
        released = Sql(f"released.{identifier(table)}")
        of_before = tuple(connection.sql(f"FROM {released} LIMIT 0").columns) != spec.columns
        return of_before or bool(unlike(connection, rows, released))


def people(connection: duckdb.DuckDBPyConnection, context: Context) -> int:
    """How many people the published rows are about."""
    history = stored(connection, context, files(context.layout))
    rows = rows_sql(history, live_classes(connection, context, history), (), ("person",))
    return count(connection, f"SELECT count(DISTINCT person) FROM ({rows})")


def unlike(connection: duckdb.DuckDBPyConnection, rows: Sql, table: Sql) -> int:
    """In how many rows a table differs from those that it should have."""
    one, other = f"FROM ({rows})", f"FROM {table}"
    return count(
        connection,
        f"SELECT count(*) FROM ((({one}) EXCEPT ALL ({other})) UNION ALL "
        f"(({other}) EXCEPT ALL ({one})))",
    )
