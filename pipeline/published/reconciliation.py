"""Counts from raw to published: in = quarantined + superseded + suppressed + published.

Every term is counted by itself from the stored data, none is a difference of others, so the
equation can fail, and then the run does.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

import duckdb

from pipeline.classified import run_snapshot
from pipeline.classified.classify import good_rows
from pipeline.classified.models import superseded_model
from pipeline.context import Context
from pipeline.policy.fields import Audience
from pipeline.policy.windows import Cutoffs, make_cutoffs
from pipeline.pseudonymized.models import eligible
from pipeline.published import equivalence_classes, publication_history
from pipeline.published.coaching import CELL
from pipeline.published.tables import attached
from pipeline.storage.engine import count
from pipeline.storage.files import atomic_build
from pipeline.storage.layout import Layout
from pipeline.storage.relations import classified, pseudonymized, records, rejects
from pipeline.storage.sql import dates, identifier
from pipeline.subjects.restrictions import make_restrictions


@dataclass(frozen=True)
class TableCount:
    """One table's way from raw to published, in records.

    `suppressed` is by reason: withheld by policy (sensitive course, message, no manager), of a
    period that was told before or is still open, or in a cell that could give people away.
    """

    table: str
    received: int
    quarantined: int
    superseded: int
    suppressed: dict[str, int] = field(default_factory=dict)
    published: int = 0

    @property
    def holds(self) -> bool:
        told = self.quarantined + self.superseded + sum(self.suppressed.values()) + self.published
        return told == self.received

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "holds": self.holds}


def write_reconciliation(layout: Layout, partition: str, counts: list[TableCount]) -> None:
    """Store a night's counts."""
    with atomic_build(layout.reconciliation / f"{partition}.json", layout.work) as beside:
        beside.write_text(json.dumps([one.as_dict() for one in counts], indent=1), "utf-8")


def _withheld(
    connection: duckdb.DuckDBPyConnection, rows: str, audience: Audience, cutoffs: Cutoffs
) -> dict[str, int]:
    """Classified rows that the audience may not see, by the first reason for it."""
    found = connection.sql(
        f"SELECT withheld, count(*) FROM {eligible(rows, audience, cutoffs)} "
        "WHERE withheld IS NOT NULL GROUP BY withheld ORDER BY withheld"
    ).fetchall()
    return {str(reason): int(rows) for reason, rows in found}


def _among(context: Context, days: list[str]) -> str:
    """SQL test of a coaching row: is its period one of these? Of none, no row is read for it."""
    return "false" if not days else f"coalesce({_period(context)} IN ({dates(days)}), false)"


def _period(context: Context) -> str:
    return f"date_trunc('{context.disclosure.coaching.period}', period)::DATE"


def _untold(
    connection: duckdb.DuckDBPyConnection, context: Context, tonight: list[str]
) -> dict[str, int]:
    """Coaching's rows of periods that are not told tonight, in no table, by reason."""
    before = [
        known for known in publication_history.periods(context.layout) if known not in tonight
    ]
    tests = {
        "no date": "period IS NULL",
        "period told before": _among(context, before),
        "period not closed yet": f"period IS NOT NULL AND NOT {_among(context, before + tonight)}",
    }
    counted = ", ".join(f"count(*) FILTER ({test})" for test in tests.values())
    rows = pseudonymized(context.layout, Audience.COACHING)
    (found,) = connection.sql(f"SELECT {counted} FROM {rows}").fetchall()
    return dict(zip(tests, map(int, found), strict=True))


def _by_cell(context: Context, table: str, test: str, join: str, other: str) -> str:
    """SQL after FROM: coaching's rows that pass a test, joined to a table's cells."""
    same = " AND ".join(
        f"r.{name} IS NOT DISTINCT FROM t.{name}" for name in ("period", *CELL[table])
    )
    return (
        f"(SELECT * REPLACE ({_period(context)} AS period), "
        f"{context.disclosure.category_sql('course_code')} AS category "
        f"FROM {pseudonymized(context.layout, Audience.COACHING)} WHERE {test}) r "
        f"{join} JOIN {other} t ON {same}"
    )


def reconcile(
    connection: duckdb.DuckDBPyConnection, context: Context, partition: str
) -> list[TableCount]:
    """Count every staged table's way, over all deliveries in the store."""
    layout, data_map = context.layout, context.data_map
    make_restrictions(connection, context)
    until = run_snapshot.read(layout).until
    rows = records(layout)
    lines = count(connection, f"SELECT count(*) FROM {rejects(layout)}")
    total = count(connection, f"SELECT count(*) FROM {rows}")
    bad = count(connection, f"SELECT count(*) FROM {rows} WHERE problem IS NOT NULL")
    superseded = count(connection, superseded_model(good_rows(layout)))
    withheld = {
        p: _withheld(
            connection,
            classified(layout),
            p,
            make_cutoffs(connection, f"cutoffs_{p.value}", context.rules, data_map, until, p),
        )
        for p in Audience
    }
    tonight = publication_history.new_periods(layout, partition)
    withheld[Audience.COACHING] |= _untold(connection, context, tonight)
    counts = []
    for table, spec in data_map.published.items():
        suppressed = dict(withheld[spec.audience])
        with attached(connection, context, layout.staged(partition), table, "counted"):
            relation = f"counted.{identifier(table)}"
            what = f"count(*) FROM {relation}"
            if spec.audience is Audience.ANALYTICS:
                suppressed["could give people away"] = count(
                    connection,
                    equivalence_classes.suppressed_sql(
                        pseudonymized(layout, spec.audience), relation
                    ),
                )
            if spec.audience is Audience.COACHING:
                by_cell = _by_cell(context, table, _among(context, tonight), "ANTI", relation)
                suppressed["could give people away"] = count(
                    connection, f"SELECT count(*) FROM {by_cell}"
                )
                cells = f"{relation} WHERE period IN ({dates(tonight)})"
                what = f"sum(records) FROM {cells}"
                if table in context.disclosure.coaching.noise:
                    # Its figures say another number than that of the records.
                    by_cell = _by_cell(context, table, "true", "SEMI", f"(FROM {cells})")
                    what = f"count(*) FROM {by_cell}"
            published = count(connection, f"SELECT {what}")
        counts.append(
            TableCount(table, total + lines, bad + lines, superseded, suppressed, published)
        )
    return counts
