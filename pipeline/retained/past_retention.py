"""What is due: the temporary tables and the strokes of a deletion by rule.

The classified store is the index: each of its rows names the record through all its revisions
(`milestone`) and the drops that hold one. So only months that can be due are read, and only drops
that hold something due are rewritten.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.classified.classify import MILESTONE, PERIOD
from pipeline.context import Ground
from pipeline.policy.fields import Purpose
from pipeline.policy.retention import Keeping, RecordType
from pipeline.policy.windows import cutoff, due_sql, kept_until, latest_due, record_cutoff
from pipeline.raw import deliveries
from pipeline.storage import relations
from pipeline.storage.engine import literal
from pipeline.storage.file_edit import Stroke
from pipeline.storage.relations import CLASSIFIED, parquet
from pipeline.subjects import legal_holds


@dataclass(frozen=True)
class Line:
    """One line of a plan: how much of what is due, by which rule, and where it lies."""

    place: str
    what: str
    rule: str
    due: int
    held: int
    where: str

    @property
    def by_record(self) -> bool:
        """Does the line count records, each once, and not stored rows or files?"""
        return self.rule.startswith(("records.", "overrides."))


def day(ground: Ground, keeping: Keeping, now: dt.datetime) -> dt.date:
    """What was made on this day or before is past its window."""
    return cutoff(ground.rules, None, now, ground.rules.keeping[keeping].duration).day


def months_due(
    ground: Ground, now: dt.datetime, record: RecordType, purpose: Purpose | None = None
) -> list[Path]:
    """Files of the classified store that can hold a record of the type past its window, oldest
    first."""
    horizon = latest_due(ground.rules, ground.data_map, now, record, purpose)
    return [
        path
        for path in relations.period_files(ground.layout.classified)
        if horizon is None
        or dt.date.fromisoformat(path.parent.name.removeprefix("period=")) <= horizon.date()
    ]


def runs_before(ground: Ground, now: dt.datetime) -> dt.datetime:
    """Dagster runs that were made before this aware instant are past their window."""
    rule = ground.rules.keeping[Keeping.DAGSTER_RUNS]
    return cutoff(ground.rules, None, now, rule.duration).instant.replace(tzinfo=dt.UTC)


def list_due(connection: duckdb.DuckDBPyConnection, rows: str, held: str) -> None:
    """Make the table `due` of classified rows: milestone, drops, period, record_type, region,
    person, held."""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE due AS SELECT milestone, drops, {PERIOD} AS period, "
        f"record_type, region, person, ({held}) AS held FROM {rows}"
    )


def select_due(connection: duckdb.DuckDBPyConnection, ground: Ground, now: dt.datetime) -> None:
    """Make the table `due` of what is past its window, held or not."""
    due = due_sql(ground.rules, ground.data_map, now)
    # Type by type: a month that holds none of a type is passed over by the statistics in its file.
    rows = " UNION ALL ".join(
        f"FROM {parquet(months_due(ground, now, record), CLASSIFIED)} "
        f"WHERE record_type = {literal(record)} AND {due}"
        for record in RecordType
    )
    list_due(connection, f"({rows})", legal_holds.held_sql(ground.layout))


def record_lines(
    connection: duckdb.DuckDBPyConnection, ground: Ground, now: dt.datetime
) -> Iterator[Line]:
    """Plan lines of `due`, per record type and region."""
    groups = connection.sql(
        "SELECT record_type, region, count(*) FILTER (NOT held), count(*) FILTER (held), "
        "count(DISTINCT person), list_sort(list_distinct(flatten(list(drops)))), "
        "min(period), max(period) FROM due GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    for kind, region, due, held, people, drops, first, last in groups:
        record = RecordType(kind)
        rule = ground.rules.records[record]
        at = record_cutoff(ground.rules, record, region, now, rule.duration)
        _, name = kept_until(ground.rules, record, region, rule.duration, at.day)
        yield Line(
            "canonical records",
            f"{kind}, {region or 'no region'}, {people} people, {rule.action}",
            name,
            due,
            held,
            f"months {first:%Y-%m} to {last:%Y-%m}; {_several('drop', [str(d) for d in drops])}",
        )


def _several(what: str, names: list[str]) -> str:
    if len(names) <= 3:
        return f"{what}s {', '.join(names)}"
    return f"{len(names)} {what}s, {names[0]} to {names[-1]}"


def raw_drops(ground: Ground, now: dt.datetime) -> tuple[list[dt.date], list[dt.date]]:
    """Delivered drops past their window: those that the store has taken in, and those that it
    has not, which are kept and told, since nothing else holds what they brought."""
    last = day(ground, Keeping.RAW_DROPS, now)
    old = [drop for drop in deliveries.drops(ground.layout) if drop <= last]
    taken = [d for d in old if deliveries.taken_in(ground.layout, d)]
    return taken, [drop for drop in old if drop not in taken]


def canonical_strokes(
    connection: duckdb.DuckDBPyConnection, ground: Ground, now: dt.datetime
) -> list[Stroke]:
    """What is to leave the canonical store, file by file; asks `due`."""
    layout = ground.layout
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE leaving_milestones AS "
        "SELECT DISTINCT milestone FROM due WHERE NOT held"
    )
    touched = {
        str(drop)
        for (drop,) in connection.sql(
            "SELECT DISTINCT unnest(drops) FROM due WHERE NOT held"
        ).fetchall()
    }
    quarantined = day(ground, Keeping.QUARANTINE, now)
    # A voiding statement goes together with what it voids, or that would come back to life.
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE void AS SELECT DISTINCT source, record_id "
        f"FROM {relations.records(layout)} WHERE status = 'voided' AND problem IS NULL "
        f"AND record_id IS NOT NULL AND drop_date <= DATE '{quarantined}'"
    )
    voiding = {str(s) for (s,) in connection.sql("SELECT DISTINCT source FROM void").fetchall()}
    strokes, files = [], relations.files(layout, "records")
    bad = {*_holding(connection, _until(files, quarantined), "problem IS NOT NULL")}
    for path in files:
        drop = path.parent.parent.name
        gone = []
        # Corrections lie apart, under the date of the drop that they correct.
        if drop in touched or not deliveries.DATED.fullmatch(drop):
            gone.append(f"problem IS NULL AND {MILESTONE} IN (FROM leaving_milestones)")
        if path in bad:
            gone.append("problem IS NOT NULL")
        if path.stem.removeprefix("records-").rsplit("-", 1)[0] in voiding:
            gone.append(
                "problem IS NULL AND (source, record_id) IN (SELECT (source, record_id) FROM void)"
            )
        if gone:
            strokes.append(Stroke(path, " OR ".join(f"({test})" for test in gone)))
    rejects = _until(relations.reject_files(layout), quarantined)
    return strokes + [Stroke(path, "true") for path in _holding(connection, rejects, "true")]


def _until(files: list[Path], last: dt.date) -> list[Path]:
    """Those of dated drops up to a day."""
    return [
        path
        for path in files
        if deliveries.DATED.fullmatch(drop := path.parent.parent.name)
        and dt.date.fromisoformat(drop) <= last
    ]


def _holding(connection: duckdb.DuckDBPyConnection, files: list[Path], test: str) -> list[Path]:
    """Those that hold a row that passes the test. Of years of drops most hold none any more, which
    one query over all of them finds sooner than one for each."""
    if not files:
        return []
    found = connection.sql(
        f"SELECT DISTINCT filename FROM {parquet(files, {})} WHERE {test}"
    ).fetchall()
    return sorted(Path(name) for (name,) in found)


def roster_strokes(
    connection: duckdb.DuckDBPyConnection, ground: Ground, now: dt.datetime
) -> list[Stroke]:
    """Superseded roster rows, and rows past the roster's own window; none of held people."""
    layout = ground.layout
    history, whole = day(ground, Keeping.ROSTER_HISTORY, now), day(ground, Keeping.ROSTER, now)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE latest AS SELECT learner_id, max(drop_date) AS newest "
        f"FROM {relations.roster_history(layout)} GROUP BY ALL"
    )
    people = {p for hold in legal_holds.live(layout) for p in hold.people}
    kept = ", ".join(literal(p) for p in sorted(people)) or "NULL"
    gone = (
        f"coalesce(learner_id NOT IN ({kept}), true) AND (drop_date <= DATE '{whole}' OR "
        f"(drop_date <= DATE '{history}' AND (learner_id, drop_date) NOT IN "
        "(SELECT (learner_id, newest) FROM latest)))"
    )
    old = _until(relations.files(layout, "roster"), max(history, whole))
    return [Stroke(path, gone) for path in _holding(connection, old, gone)]


def strokes(
    connection: duckdb.DuckDBPyConnection, ground: Ground, now: dt.datetime
) -> list[Stroke]:
    """Everything that is to leave the canonical store; asks `due`."""
    return [
        *canonical_strokes(connection, ground, now),
        *roster_strokes(connection, ground, now),
    ]
