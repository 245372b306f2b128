"""How safe, and how much told: numbers about a staged release, without values.

Re-identification risks follow El Emam, Guide to the De-Identification of Personal Health
Information (2013), ch. 16-17, with people in place of rows:
    prosecutor  the attacker knows that the target is in the table: 1 / people of the class
    journalist  knows not: 1 / people of the population who could stand in that class
    marketer    wants to link as many as possible: expected share of rows linked rightly
The population is everybody of the store who may be in the table, by region and department.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from pipeline.context import Context
from pipeline.policy.data_map import Published
from pipeline.policy.disclosure import ClassRule, Generalization
from pipeline.policy.fields import Audience
from pipeline.published import equivalence_classes
from pipeline.published.reconciliation import TableCount
from pipeline.published.tables import attached
from pipeline.storage.engine import count
from pipeline.storage.relations import pseudonymized
from pipeline.storage.sql import identifier, literal

# Upper ends of the bands in which class sizes are told; the last is open.
BANDS = (4, 9, 19, 49, 99)
BAND_NAMES = ("1–4", "5–9", "10–19", "20–49", "50–99", "100 and more")


@dataclass(frozen=True)
class AggregateRisk:
    """One coaching table, all told periods.

    Attributes:
        k: people behind the smallest figure; None without a figure.
        l: outcomes (complete, incomplete) that the least diverse figure has.
        told: share of the records told of the company that this table tells as well.
        withheld: share of the records of tonight's new periods that stayed out; None without one.
    """

    table: str
    figures: int
    k: int | None
    l: int | None  # noqa: E741 - the name of the measure
    told: float | None
    withheld: float | None


@dataclass(frozen=True)
class ClassRisk:
    """One row-level table told in classes.

    Attributes:
        k, l: people, and distinct outcomes (status, score band), of the class that has fewest.
        prosecutor, journalist: the highest risk of a row; prosecutor_mean: the mean one.
        marketer: expected share of rows linked rightly.
        withheld: share of rows that never reached k.
        loss: share of the quasi-identifiers' detail that was taken away; withheld rows lose all.
        by_detail: rows by how coarse they are told. by_size: rows by people of their class.
    """

    table: str
    rows: int
    people: int
    classes: int
    k: int | None
    l: int | None  # noqa: E741
    prosecutor: float
    prosecutor_mean: float
    journalist: float
    marketer: float
    withheld: float
    loss: float
    by_detail: dict[str, int]
    by_size: dict[str, int]


@dataclass(frozen=True)
class Risk:
    """A release's risk report."""

    aggregates: tuple[AggregateRisk, ...]
    classes: tuple[ClassRisk, ...]


def _aggregate(
    connection: duckdb.DuckDBPyConnection, table: str, counted: TableCount
) -> AggregateRisk:
    figures, least, outcomes, records, company = connection.sql(
        "SELECT count(*), min(learners), "
        "min(1 + (completion_rate > 0 AND completion_rate < 1)::INT), "
        "coalesce(sum(records), 0), (SELECT coalesce(sum(records), 0) FROM staged.coaching_period) "
        f"FROM staged.{identifier(table)}"
    ).fetchall()[0]
    away = counted.suppressed["could give people away"]
    tonight = counted.published + away
    return AggregateRisk(
        table, figures, least, outcomes, int(records) / int(company) if company else None,
        away / tonight if tonight else None,
    )  # fmt: skip


def _population(connection: duckdb.DuckDBPyConnection, rows: str, rule: ClassRule) -> str:
    """SQL over `class`: the people who could stand in it. Makes `population`."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE population AS SELECT region, department, "
        "grouping(region) AS any_region, grouping(department) AS any_department, "
        "count(DISTINCT learner_ref) AS everyone "
        # A person has many rows; of few columns few of them are distinct.
        f"FROM (SELECT DISTINCT region, department, learner_ref FROM {rows}) "
        "GROUP BY GROUPING SETS ((region, department), (region), (department), ())"
    )

    def gone(step: Generalization) -> str:
        at = rule.generalize.index(step) if step in rule.generalize else len(rule.generalize)
        names = ", ".join(literal(one.value) for one in rule.generalize[at:]) or "NULL"
        return f"coalesce(c.detail IN ({names}), false)"

    return (
        "SELECT c.*, p.everyone FROM class c JOIN population p ON "
        f"p.any_region = {gone(Generalization.REGION)}::INT AND "
        f"p.any_department = {gone(Generalization.DEPARTMENT)}::INT AND "
        "c.region IS NOT DISTINCT FROM p.region AND "
        "c.department IS NOT DISTINCT FROM p.department"
    )


def _classes(
    connection: duckdb.DuckDBPyConnection, context: Context, table: str, spec: Published,
    counted: TableCount,
) -> ClassRisk:  # fmt: skip
    rule, staged = context.disclosure.classes[table], f"staged.{identifier(table)}"
    key = ", ".join(equivalence_classes.GENERALIZED)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE class AS SELECT {key}, count(*) AS size, "
        "count(DISTINCT learner_ref) AS people, count(DISTINCT (status, score_band)) AS outcomes "
        f"FROM {staged} GROUP BY ALL"
    )
    whole = _population(connection, pseudonymized(context.layout, spec.audience), rule)
    number, rows, k, outcomes, worst, mean, journalist, marketer = connection.sql(
        "SELECT count(*), coalesce(sum(size), 0), min(people), min(outcomes), "
        "coalesce(max(1 / people), 0), coalesce(sum(size / people) / sum(size), 0), "
        "coalesce(max(1 / everyone), 0), coalesce(sum(size / everyone) / sum(size), 0) "
        f"FROM ({whole})"
    ).fetchall()[0]
    lost = equivalence_classes.loss_of(rule)
    by_detail = dict.fromkeys(lost, 0) | dict(
        connection.sql("SELECT detail, sum(size)::BIGINT FROM class GROUP BY 1").fetchall()
    )
    band = " ".join(f"WHEN people <= {top} THEN {at}" for at, top in enumerate(BANDS))
    by_size = dict(
        connection.sql(
            f"SELECT CASE {band} ELSE {len(BANDS)} END, sum(size)::BIGINT FROM class GROUP BY 1"
        ).fetchall()
    )
    withheld = counted.suppressed["could give people away"]
    everything = int(rows) + withheld
    lost_rows = sum(lost[name] * rows for name, rows in by_detail.items()) + withheld
    return ClassRisk(
        table, int(rows), count(connection, f"SELECT count(DISTINCT learner_ref) FROM {staged}"),
        number, k, outcomes, float(worst), float(mean), float(journalist), float(marketer),
        withheld / everything if everything else 0.0,
        lost_rows / everything if everything else 0.0,
        by_detail, {name: by_size.get(at, 0) for at, name in enumerate(BAND_NAMES)},
    )  # fmt: skip


def measure(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    partition: str,
    counts: list[TableCount],
) -> Risk:
    """Measure tonight's staged tables.

    Args:
        counts: their reconciliation.
    """
    counted = {one.table: one for one in counts}
    aggregates: list[AggregateRisk] = []
    told: list[ClassRisk] = []
    for table, spec in context.data_map.published.items():
        if spec.audience not in (Audience.COACHING, Audience.ANALYTICS):
            continue
        with attached(connection, context, context.layout.staged(partition), table, "staged"):
            if spec.audience is Audience.COACHING:
                aggregates.append(_aggregate(connection, table, counted[table]))
            else:
                told.append(_classes(connection, context, table, spec, counted[table]))
    return Risk(tuple(aggregates), tuple(told))
