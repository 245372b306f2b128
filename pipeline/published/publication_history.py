"""What coaching was told, remembered: every period's figures are told once and stay as they were.

So no two nights can be subtracted from each other, whoever joined, left, was corrected or erased
between them; and when a period's records are erased, its figures stay (aggregate, then erase:
they passed the disclosure rules, so they tell of nobody; GDPR recital 26). Remembered is what was
published and nothing else.

The folder:
    <table>.parquet  the published rows of one coaching table
    ledger.json      what noise on the figures has cost (pipeline/published/noise.py)
    periods.json     period to the night that told it; a period stays here when its rows go
"""

from __future__ import annotations

import datetime as dt
import json

import duckdb

from pipeline.classified import population, run_snapshot
from pipeline.context import Context
from pipeline.policy.disclosure import DisclosureRules
from pipeline.policy.fields import Audience
from pipeline.policy.retention import Action, RecordType, StorageRule
from pipeline.policy.windows import cutoff
from pipeline.published import noise
from pipeline.published.coaching import CELL
from pipeline.published.tables import attached
from pipeline.storage import encryption
from pipeline.storage.engine import count
from pipeline.storage.files import atomic_build
from pipeline.storage.layout import Layout
from pipeline.storage.schema import PARQUET
from pipeline.storage.sql import dates, identifier, literal

PERIODS = "periods.json"
COUNTED_RECORDS = (RecordType.MILESTONE_FLAG, RecordType.ASSESSMENT_RECORD)


def periods(layout: Layout) -> dict[str, str]:
    """Period (its first day) to the night that told it; never to be told again."""
    path = layout.publication_history / PERIODS
    found: dict[str, str] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def to_publish(layout: Layout, rules: DisclosureRules) -> str:
    """SQL test over `{period}`: closed, and not told so far."""
    deliveries = [day for day in run_snapshot.read(layout).deliveries if day[:1].isdigit()]
    if not deliveries:
        return "false"
    before = rules.coaching.closed_before(dt.date.fromisoformat(max(deliveries)))
    known = dates(periods(layout))
    return f"({{period}} < DATE '{before}' AND coalesce({{period}} NOT IN ({known}), true))"


def last_expired_day(context: Context) -> dt.date:
    """Figures of periods that begin on this day or before are told no longer: past the window of
    aggregates, or of records that are to go without leaving any."""
    rules, until = context.rules, run_snapshot.read(context.layout).until
    windows = [rules.storage[StorageRule.AGGREGATES].duration] + [
        rules.records[one].duration
        for one in COUNTED_RECORDS
        if rules.records[one].action is Action.ERASE
    ]
    return max(cutoff(rules, None, until, window).day for window in windows)


def carry_forward(connection: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Make `kept_<table>`, the remembered rows that are told again tonight as they were.

    Left out: periods that begin on the day `last_gone` or before, courses that count as sensitive
    by now, and teams of a manager whom no record names any more. A team's pseudonym follows its
    manager into a new key epoch.
    """
    layout, data_map, gone = context.layout, context.data_map, last_expired_day(context)
    population.load(connection, layout)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE living_ref AS "
        "SELECT person, ref FROM "
        f"{encryption.rows(connection, layout, layout.references(Audience.COACHING))} "
        f"SEMI JOIN {population.PEOPLE} USING (person);"
        "CREATE OR REPLACE TEMP TABLE team_now AS SELECT ref AS old, ref AS now FROM living_ref"
    )
    for key in context.ring.former(Audience.COACHING):
        connection.execute(
            f"INSERT INTO team_now SELECT {key.hmac_sql('person')}, ref FROM living_ref",
            key.parameters(),
        )
    codes = ", ".join(map(literal, sorted(data_map.course_sensitivity.codes))) or "NULL"
    patterns = map(literal, data_map.course_sensitivity.patterns.values())
    sensitive = " OR ".join(
        [f"course_code IN ({codes})", *(f"regexp_matches(course_code, {p})" for p in patterns)]
    )
    for table, cell in CELL.items():
        columns = ", ".join(data_map.published[table].columns)
        path = layout.publication_history / f"{table}.parquet"
        if path.exists():
            now = "* REPLACE (now AS team_ref)" if "team_ref" in cell else "*"
            join = "JOIN team_now ON team_ref = old" if "team_ref" in cell else ""
            test = f"NOT coalesce({sensitive}, false)" if "course_code" in cell else "true"
            query = (
                f"SELECT {columns} FROM (SELECT {now} FROM {literal(path)} {join} "
                f"WHERE period > DATE '{gone}' AND {test})"
            )
        else:
            kinds = ", ".join(
                f"NULL::{data_map.columns[c].type} AS {c}"
                for c in data_map.published[table].columns
            )
            query = f"SELECT {kinds} WHERE false"
        connection.execute(f"CREATE OR REPLACE TEMP TABLE kept_{table} AS {query}")


def remember(connection: duckdb.DuckDBPyConnection, context: Context, partition: str) -> None:
    """Remember what is about to be published: the staged coaching tables and their periods.

    Comes before the release, never after it: what was once published must be known to the next
    night even if this one is cut off in between.
    """
    layout = context.layout
    folder = layout.staged(partition)
    with atomic_build(layout.publication_history, layout.work) as beside:
        beside.mkdir(mode=0o700)
        known = dict(periods(layout))
        for table in CELL:
            with attached(connection, context, folder, table, "telling"):
                connection.execute(
                    f"COPY (FROM telling.{identifier(table)} ORDER BY ALL) "
                    f"TO {literal(beside / f'{table}.parquet')} ({PARQUET})"
                )
        staged = noise.read_ledger(folder)
        noise.write_ledger(beside, staged or noise.read_ledger(layout.publication_history))
        for period in new_periods(layout, partition):
            known.setdefault(period, partition)
        (beside / PERIODS).write_text(json.dumps(known, indent=1, sort_keys=True), "utf-8")


def new_periods(layout: Layout, partition: str) -> list[str]:
    """Periods that the staged tables tell for the first time, those included of which nothing
    can be told."""
    path = layout.staged(partition) / PERIODS
    found: list[str] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return found


def outdated(connection: duckdb.DuckDBPyConnection, context: Context) -> int:
    """Remembered rows that are not to be told any more, or not under this name."""
    layout = context.layout
    carry_forward(connection, context)
    found = 0
    for table in CELL:
        path = layout.publication_history / f"{table}.parquet"
        if path.exists():
            columns = ", ".join(context.data_map.published[table].columns)
            found += count(
                connection,
                f"SELECT count(*) FROM (SELECT {columns} FROM {literal(path)} "
                f"EXCEPT ALL FROM kept_{table})",
            )
    return found
