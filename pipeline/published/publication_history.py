"""The publication history of the coaching tables: every period's figures are published once and
then carried forward as they are.

So no two releases can be subtracted from each other, whoever joined, left, was corrected or erased
in between. Only a signed correction, once, withdraws a period's figures and publishes others of
which the subtraction says too little (pipeline/disclosure/correction.py). When a period's records
are erased, its figures stay (aggregate, then erase: they passed the disclosure rules, so they
identify nobody; GDPR recital 26). The history contains what was published and nothing else.

The folder:
    <table>.parquet  the published rows of one coaching table
    ledger.json      what noise on the figures has cost (pipeline/published/noise.py)
    corrections.json period to the signed correction of its figures
    periods.json     period to the run that published it; a period stays here when its rows go
    rules.json       period to the rule that its figures keep to: the strictest of policy's since
    number.json      how often the history was written; a release says how often by then
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from pipeline.access.corrections import SignedCorrection
from pipeline.classified import population, run_snapshot
from pipeline.classified.sensitivity import course_sensitivity
from pipeline.context import Context
from pipeline.keys.ring import KeyRing
from pipeline.policy.data_map import DataMap
from pipeline.policy.disclosure import Coaching, DisclosureRule, OncePublished
from pipeline.policy.fields import Audience
from pipeline.policy.retention import Action, RecordType, RetentionRules, StorageRule
from pipeline.policy.windows import cutoff
from pipeline.published import PACKAGE, noise, withdrawn
from pipeline.published.coaching import CELL
from pipeline.published.tables import attached
from pipeline.storage import encryption
from pipeline.storage.engine import count
from pipeline.storage.files import atomic_build
from pipeline.storage.hashing import file_sha256
from pipeline.storage.layout import Layout
from pipeline.storage.manifest import manifest
from pipeline.storage.relations import parquet, subquery, temp_table
from pipeline.storage.schema import PARQUET
from pipeline.storage.sql import Sql, dates, identifier, identifiers, literal, render

PERIODS, NUMBER, CORRECTIONS = "periods.json", "number.json", "corrections.json"
RULES = "rules.json"
ORDINARY = "sensitivity IS NULL"  # SQL, of `_courses`
BY_COURSE = tuple(table for table, cell in CELL.items() if "course_code" in cell)
COUNTED_RECORDS = (RecordType.MILESTONE_FLAG, RecordType.ASSESSMENT_RECORD)


def periods(layout: Layout) -> dict[str, str]:
    """Period (its first day) to the run that published it; never to be published again."""
    path = layout.publication_history / PERIODS
    found: dict[str, str] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def rules(layout: Layout) -> dict[str, DisclosureRule]:
    """Period (its first day) to the rule that its figures keep to."""
    path = layout.publication_history / RULES
    found = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return {period: DisclosureRule(**rule) for period, rule in found.items()}


def corrections(layout: Layout) -> dict[str, dict[str, Any]]:
    """Period (its first day) to the correction of its figures, as it was signed."""
    path = layout.publication_history / CORRECTIONS
    found: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def write_staged_correction(layout: Layout, partition: str, made: SignedCorrection) -> None:
    """Put a correction beside the tables that are staged for it."""
    path = layout.staged(partition) / CORRECTIONS
    path.write_text(made.model_dump_json(), "utf-8")


def staged_correction(layout: Layout, partition: str) -> SignedCorrection | None:
    """The correction that the staged tables are for."""
    path = layout.staged(partition) / CORRECTIONS
    return SignedCorrection.model_validate_json(path.read_text("utf-8")) if path.exists() else None


def periods_to_publish(
    connection: duckdb.DuckDBPyConnection,
    rows: Sql,
    layout: Layout,
    rules: Coaching,
    last_expired: dt.date,
) -> list[dt.date]:
    """First days of the periods that are closed, not published so far and not past retention.

    Args:
        rows: coaching's pseudonymized rows.
        last_expired: as `last_expired_day` returns it.
    """
    before = closed_before(layout, rules)
    published = periods(layout)
    found = connection.execute(
        f"SELECT DISTINCT date_trunc({literal(rules.period)}, period)::DATE AS period "
        f"FROM {rows} WHERE period IS NOT NULL ORDER BY period"
    ).fetchall()
    return [
        period
        for (period,) in found
        if last_expired < period < before and str(period) not in published
    ]


def closed_before(layout: Layout, rules: OncePublished) -> dt.date:
    """Periods that begin before this day are closed, by the newest delivery of the run."""
    deliveries = [day for day in run_snapshot.read(layout).deliveries if day[:1].isdigit()]
    newest = dt.date.fromisoformat(max(deliveries)) if deliveries else None
    return rules.closed_before(newest) if newest else dt.date.min


def last_expired_day(rules: RetentionRules, until: dt.datetime) -> dt.date:
    """Figures of periods that begin on this day or before are not published any more: they are past
    the retention of aggregates, or of records that must not leave any aggregates behind.

    Args:
        until: the instant up to which the release is good.
    """
    windows = [rules.storage[StorageRule.AGGREGATES].duration] + [
        rules.records[one].duration
        for one in COUNTED_RECORDS
        if rules.records[one].action is Action.ERASE
    ]
    return max(cutoff(rules, None, until, window) for window in windows)


def carry_forward(
    connection: duckdb.DuckDBPyConnection, context: Context, tables: tuple[str, ...] = tuple(CELL)
) -> dict[str, Sql]:
    """The published rows that are carried forward into the next release as they are.

    Left out: periods past retention, teams of a manager whom no record names any more, courses that
    are not ordinary and figures of fewer than k people by now; and of the latter two whatever else
    would give them back. A team's pseudonym follows its manager into a new key epoch.

    Returns:
        Coaching table to a temporary table of its rows, with the table's published columns.
    """
    of = _of_history(connection, context)
    now = _shown(connection, context, of, "now", ORDINARY)
    return {table: now[table] for table in tables}


def waiting(connection: duckdb.DuckDBPyConnection, context: Context) -> dict[str, Sql]:
    """The published rows that are left out since a course waits for a decision again. No release
    shows them, and the history keeps them, since figures that were published once are never made
    again.

    Returns:
        As `carry_forward`; no table where no course of the history waits.
    """
    if not _waits(connection, context):
        return {}
    return _carried_and_waiting(connection, context, _of_history(connection, context))[1]


def _waits(connection: duckdb.DuckDBPyConnection, context: Context) -> bool:
    """Does a course of the history wait for a decision?"""
    known = " UNION ALL ".join(
        f"SELECT course_code FROM {literal(path)}" for path in _files_by_course(context.layout)
    )
    if not known:
        return False
    courses = _courses(connection, context)
    unreviewed = f"FROM {courses} WHERE NOT reviewed AND course_code IN ({known})"
    return count(connection, f"SELECT count(*) {unreviewed}") > 0


def _carried_and_waiting(
    connection: duckdb.DuckDBPyConnection, context: Context, of: _History
) -> tuple[dict[str, Sql], dict[str, Sql]]:
    """As `carry_forward` and as `waiting` return them."""
    now = _shown(connection, context, of, "now", ORDINARY)
    later = _shown(connection, context, of, "later", f"{ORDINARY} OR NOT reviewed")
    return now, {
        table: temp_table(
            connection, f"{table}_waiting", f"FROM {later[table]} EXCEPT ALL FROM {now[table]}"
        )
        for table in CELL
    }


@dataclass(frozen=True)
class _History:
    """The rows that are not past retention by coaching table, and all courses by now: course_code,
    sensitivity, reviewed."""

    rows: dict[str, Sql]
    courses: Sql


def _of_history(connection: duckdb.DuckDBPyConnection, context: Context) -> _History:
    """The history as temporary tables."""
    layout, data_map = context.layout, context.data_map
    last_expired = last_expired_day(context.rules, run_snapshot.read(layout).until)
    teams = _team_pseudonyms(connection, layout, context.ring)
    rows = {
        table: temp_table(
            connection,
            f"{table}_history",
            _history_sql(layout, data_map, table, teams, last_expired),
        )
        for table in CELL
    }
    return _History(rows, _courses(connection, context))


def _shown(
    connection: duckdb.DuckDBPyConnection, context: Context, of: _History, name: str, which: str
) -> dict[str, Sql]:
    """What of the history may be shown.

    Args:
        name: of the temporary tables.
        which: SQL, the courses that may be.
    """
    courses = subquery(f"SELECT course_code FROM {of.courses} WHERE {which}")
    rule = context.disclosure.rule(context.data_map)
    known = rules(context.layout)
    return withdrawn.shown(connection, of.rows, courses, rule, known, name)


def _courses(connection: duckdb.DuckDBPyConnection, context: Context) -> Sql:
    """A temporary table of all courses of the store and the history, as decided by now:
    course_code, sensitivity, reviewed."""
    stored = population.load_titles(connection, context.layout)
    titles = [f"SELECT course_code, course_title FROM {stored}"] + [
        f"SELECT DISTINCT course_code, NULL FROM {literal(path)}"
        for path in _files_by_course(context.layout)
    ]
    found = course_sensitivity(connection, context, subquery(" UNION ALL ".join(titles)))
    return temp_table(connection, "courses_by_now", f"FROM {found}")


def _files_by_course(layout: Layout) -> list[Path]:
    """The files of the history whose rows name courses."""
    files = [layout.publication_history / f"{table}.parquet" for table in BY_COURSE]
    return [path for path in files if path.exists()]


def _history_sql(
    layout: Layout, data_map: DataMap, table: str, teams: Sql, last_expired: dt.date
) -> Sql:
    """One table's published rows that are not past retention."""
    columns = data_map.published[table].columns
    path = layout.publication_history / f"{table}.parquet"
    types = {name: data_map.columns[name].type for name in columns}
    history = Sql(parquet([path] if path.exists() else [], types))
    if "team_ref" in CELL[table]:
        others = tuple(name for name in columns if name != "team_ref")
        current = render(PACKAGE, "team_history.sql", history=history, teams=teams, columns=others)
        history = Sql(f"({current})")
    return render(
        PACKAGE,
        "carried_forward.sql",
        columns=columns,
        history=history,
        last_expired=last_expired,
    )


def _team_pseudonyms(connection: duckdb.DuckDBPyConnection, layout: Layout, ring: KeyRing) -> Sql:
    """A temporary table of every pseudonym, former or current, under which a living team can have
    been published: former_ref, current_ref."""
    living, teams = Sql("living_references"), Sql("team_pseudonyms")
    query = render(
        PACKAGE,
        "living_references.sql",
        refs=Sql(encryption.rows(connection, layout, layout.references(Audience.COACHING))),
        people=population.load_people(connection, layout),
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {living} AS {query}")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {teams} AS "
        f"SELECT ref AS former_ref, ref AS current_ref FROM {living}"
    )
    for key in ring.former(Audience.COACHING):
        connection.execute(
            f"INSERT INTO {teams} SELECT {key.hmac_sql('person')}, ref FROM {living}",
            key.parameters(),
        )
    connection.execute(f"DROP TABLE {living}")
    return teams


def record(connection: duckdb.DuckDBPyConnection, context: Context, partition: str) -> None:
    """Add what is about to be published: the staged coaching tables and their new periods.

    Comes before the release, never after it: what has been published must be known to the next
    run even if this one is interrupted in between.
    """
    layout = context.layout
    folder = layout.staged(partition)
    kept = waiting(connection, context)
    with atomic_build(layout.publication_history, layout.work, durable=True) as beside:
        beside.mkdir(mode=0o700)
        _write_tables(connection, context, folder, beside, kept)
        ledger = noise.read_ledger(folder) or noise.read_ledger(layout.publication_history)
        noise.write_ledger(beside, ledger)
        published = dict.fromkeys(new_periods(layout, partition), partition) | periods(layout)
        _write_periods(beside, published, number(layout) + 1)
        corrected, known = corrections(layout), rules(layout)
        if made := staged_correction(layout, partition):
            corrected |= {str(made.correction.period): made.model_dump(mode="json")}
            known.pop(str(made.correction.period), None)
        _write_corrections(beside, corrected)
        now = context.disclosure.rule(context.data_map)
        _write_rules(beside, {one: now.strictest(known.get(one, now)) for one in published})
    (folder / CORRECTIONS).unlink(missing_ok=True)  # a release has nobody's reasons in it


def _write_tables(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    folder: Path,
    out: Path,
    kept: dict[str, Sql],
) -> None:
    """Copy the coaching tables of a release, staged or published, into a history.

    Args:
        kept: rows of a table that the history keeps beside those of the release.
    """
    with attached(connection, context, folder, next(iter(CELL)), "staged"):
        for table in CELL:
            connection.execute(
                f"COPY (FROM staged.{identifier(table)} {_and_kept(kept, table)} ORDER BY ALL) "
                f"TO {literal(out / f'{table}.parquet')} ({PARQUET})"
            )


def _write_periods(folder: Path, published: dict[str, str], times: int) -> None:
    """Write what a history contains into its folder, which is under construction."""
    (folder / PERIODS).write_text(json.dumps(published, indent=1, sort_keys=True), "utf-8")
    (folder / NUMBER).write_text(json.dumps(times), "utf-8")


def _write_rules(folder: Path, kept: Mapping[str, DisclosureRule]) -> None:
    found = {period: asdict(rule) for period, rule in kept.items()}
    (folder / RULES).write_text(json.dumps(found, indent=1, sort_keys=True), "utf-8")


def _write_corrections(folder: Path, corrected: Mapping[str, object]) -> None:
    (folder / CORRECTIONS).write_text(json.dumps(corrected, indent=1, sort_keys=True), "utf-8")


def number(layout: Layout) -> int:
    """How often the history was written; 0 if there is none."""
    path = layout.publication_history / NUMBER
    return int(json.loads(path.read_text("utf-8"))) if path.exists() else 0


def statement(layout: Layout) -> dict[str, object]:
    """What a release says of the history by then: `number`, `periods`, `corrected` periods, the
    `rules` that the figures of periods keep to, and `sha256` per file."""
    files = sorted(layout.publication_history.glob("*"))
    return {
        "number": number(layout),
        "periods": periods(layout),
        "corrected": sorted(corrections(layout)),
        "rules": {period: asdict(rule) for period, rule in rules(layout).items()},
        "sha256": {path.name: file_sha256(path) for path in files},
    }


def missing(layout: Layout, released: dict[str, Any]) -> list[str]:
    """What the history lacks of what a release says of it, in words; nothing if it is whole.

    Args:
        released: as `statement` made it for the release.
    """
    times = number(layout)
    lost = sorted(set(released["periods"].items()) - set(periods(layout).items()))
    if lost:
        return [f"{len(lost)} of {len(released['periods'])} periods"]
    if uncorrected := set(released.get("corrected", ())) - set(corrections(layout)):
        return [f"{len(uncorrected)} corrections"]
    if times < released["number"]:
        return [f"{released['number'] - times} of {released['number']} changes"]
    changed = times == released["number"] and statement(layout) != released
    return ["figures, which are not those that were published"] if changed else []


def take_from_release(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Make the history anew from what the current release shows, as `manifest` has it.

    Raises:
        PolicyError: a released file is not the one that was released.
    """
    layout = context.layout
    released = manifest(layout)["history"]
    assert isinstance(released, dict)
    folder = layout.current.resolve()
    with atomic_build(layout.publication_history, layout.work, durable=True) as beside:
        beside.mkdir(mode=0o700)
        _write_tables(connection, context, folder, beside, {})
        noise.write_ledger(beside, noise.read_ledger(folder))
        _write_periods(beside, released["periods"] | periods(layout), released["number"] + 1)
        _write_corrections(beside, _corrected_at_least(layout, released))
        _write_rules(beside, {p: DisclosureRule(**r) for p, r in released["rules"].items()})


def accept_loss(layout: Layout) -> None:
    """Keep the figures that are there; the periods that were published are never published again,
    as `manifest` has them."""
    released = manifest(layout)["history"]
    assert isinstance(released, dict)
    here = layout.publication_history
    with atomic_build(here, layout.work, durable=True) as beside:
        beside.mkdir(mode=0o700)
        for path in here.glob("*.parquet"):
            os.link(path, beside / path.name)
        noise.write_ledger(beside, noise.read_ledger(here))
        _write_periods(beside, released["periods"] | periods(layout), released["number"] + 1)
        _write_corrections(beside, _corrected_at_least(layout, released))
        _write_rules(beside, rules(layout))


def _corrected_at_least(layout: Layout, released: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The corrections, with those that a release knows of; of lost ones nothing else is known."""
    return {one: {} for one in released.get("corrected", ())} | corrections(layout)


def merge(connection: duckdb.DuckDBPyConnection, layout: Layout, other: Layout) -> None:
    """Add what another history published: whatever was published once stays published.

    A period that both have keeps the figures that it has here, unless it was corrected there only.
    """
    here, there = layout.publication_history, other.publication_history
    if not there.exists():
        return
    mine, theirs = periods(layout), periods(other)
    corrected = set(corrections(other)) - set(corrections(layout))
    if here.exists() and set(theirs) <= set(mine) and not corrected:
        return
    taken = set(theirs) - set(mine) | corrected
    only_there = dates(sorted(taken))
    with atomic_build(here, layout.work, durable=True) as beside:
        beside.mkdir(mode=0o700)
        for name in sorted(
            {path.name for path in [*here.glob("*.parquet"), *there.glob("*.parquet")]}
        ):
            parts = (
                [f"FROM {literal(here / name)} WHERE coalesce(period NOT IN ({only_there}), true)"]
                if (here / name).exists()
                else []
            )
            if (there / name).exists():
                chosen = f"period IN ({only_there})" if here.exists() else "true"
                parts.append(f"FROM {literal(there / name)} WHERE {chosen}")
            rows = " UNION ALL BY NAME ".join(f"({part})" for part in parts)
            connection.execute(
                f"COPY (FROM ({rows}) ORDER BY ALL) TO {literal(beside / name)} ({PARQUET})"
            )
        spent = noise.read_ledger(here)
        spent += [one for one in noise.read_ledger(there) if one not in spent]
        noise.write_ledger(beside, spent)
        _write_periods(beside, theirs | mine, max(number(layout), number(other)) + 1)
        _write_corrections(beside, corrections(other) | corrections(layout))
        known = {period: rule for period, rule in rules(other).items() if period in taken}
        known |= {period: rule for period, rule in rules(layout).items() if period not in taken}
        _write_rules(beside, known)


def _and_kept(kept: dict[str, Sql], table: str) -> str:
    return f"UNION ALL FROM {kept[table]}" if table in kept else ""


def new_periods(layout: Layout, partition: str) -> list[str]:
    """Periods that the staged tables publish for the first time, including those of which every
    figure is suppressed."""
    path = layout.staged(partition) / PERIODS
    found: list[str] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return found


def outdated(connection: duckdb.DuckDBPyConnection, context: Context) -> bool:
    """Is there a row of the history that must not be published any more, or not under this
    pseudonym; or does the release show a course that is not ordinary by now?"""
    of = _of_history(connection, context)
    now, kept = _carried_and_waiting(connection, context, of)
    return any(
        _has_others(connection, context, table, f"FROM {carried} {_and_kept(kept, table)}")
        for table, carried in now.items()
    ) or _shows_hidden(connection, context, of.courses)


def _has_others(
    connection: duckdb.DuckDBPyConnection, context: Context, table: str, rows: str
) -> bool:
    """Has the history other rows of a table than these?"""
    path = context.layout.publication_history / f"{table}.parquet"
    if not path.exists():
        return False
    columns = identifiers(context.data_map.published[table].columns)
    others = f"SELECT {columns} FROM {literal(path)} EXCEPT ALL ({rows})"
    return count(connection, f"SELECT count(*) FROM ({others})") > 0


def _shows_hidden(connection: duckdb.DuckDBPyConnection, context: Context, courses: Sql) -> bool:
    """Does the release name a course that is not ordinary? The history may keep its figures, if it
    only waits for a decision.

    Args:
        courses: as `_courses` returns them.
    """
    hidden = subquery(f"SELECT course_code FROM {courses} WHERE NOT ({ORDINARY})")
    with attached(connection, context, context.layout.current, BY_COURSE[0], "released"):
        return any(
            count(
                connection,
                f"SELECT count(*) FROM released.{identifier(table)} SEMI JOIN {hidden} "
                "USING (course_code)",
            )
            for table in BY_COURSE
        )
